;; Returns a column of a type that does not exist.
;; => fails: trap: unexpected discriminant: 99
;; in-apply:
(i32.store8 (local.get $columns) (i32.const 99))
