;; Keeps a MiB of each call. It is replaced before it has used up its memory.
;; => passes
;; in-update:
(drop (memory.grow (i32.const 16)))
;; in-merge:
(drop (memory.grow (i32.const 16)))
;; in-finish:
(drop (memory.grow (i32.const 16)))
