;; Returns 100,000 batches, all of them the same few bytes.
;; => fails: plugin returned more than its output limit of 1 MiB
;; in-apply:
(drop (memory.grow (i32.const 40)))
;; after-apply:
(i32.store (i32.const 132) (i32.const 131072))
(i32.store (i32.const 136) (i32.const 100000))
