;; Returns a list whose end wraps around to the start of its memory.
;; => fails: trap: list pointer/length out of bounds of memory
;; in-apply:
(i32.store offset=4 (local.get $columns) (i32.const -8))
