;; Reads past the end of its memory.
;; => fails: trap: out of bounds memory access
;; in-apply:
(drop (i32.load (i32.const -8)))
