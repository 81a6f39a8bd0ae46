;; Returns a list that ends past its memory.
;; => fails: trap: list pointer/length out of bounds of memory
;; in-apply:
(i32.store offset=8 (local.get $columns) (i32.const 100000))
