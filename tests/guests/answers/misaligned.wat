;; Returns a list that is not aligned.
;; => fails: trap: list pointer is not aligned
;; in-apply:
(i32.store offset=4 (local.get $columns) (i32.const 4097))
