;; Returns a column from each function of a type that does not exist.
;; => update fails: trap: unexpected discriminant: 99
;; => merge fails: trap: unexpected discriminant: 99
;; => finish fails: trap: unexpected discriminant: 99
;; in-update:
(i32.store8 offset=32 (local.get $columns) (i32.const 99))
;; in-merge:
(i32.store8 offset=32 (local.get $columns) (i32.const 99))
;; in-finish:
(i32.store8 offset=32 (local.get $columns) (i32.const 99))
