;; Keeps a MiB of each call. It is replaced before it has used up its memory.
;; => passes
;; in-apply:
(drop (memory.grow (i32.const 16)))
