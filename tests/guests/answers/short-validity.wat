;; Returns fewer bits of validity than rows.
;; => fails: plugin returned 1 rows but column `x` of `main` has too few or too many bytes of validity: 1 are needed, it has 0
;; in-apply:
(i32.store8 offset=84 (local.get $columns) (i32.const 1))
(i32.store offset=88 (local.get $columns) (i32.const 0))
(i32.store offset=92 (local.get $columns) (i32.const 0))
