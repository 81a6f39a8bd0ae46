;; Rejects rows 100,000 times, all of them with the same few bytes.
;; => update fails: plugin returned more than its output limit of 1 MiB
;; in-update:
(drop (memory.grow (i32.const 40)))
;; after-update:
(i32.store (i32.const 144) (i32.const 131072))
(i32.store (i32.const 148) (i32.const 100000))
