;; Returns more bytes of validity than rows need.
;; => fails: plugin returned 1 rows but column `x` of `main` has too few or too many bytes of validity: 1 are needed, it has 2
;; in-apply:
(i32.store8 offset=84 (local.get $columns) (i32.const 1))
(i32.store offset=88 (local.get $columns) (i32.const 0))
(i32.store offset=92 (local.get $columns) (i32.add (i32.shr_u (i32.add (local.get $rows) (i32.const 7)) (i32.const 3)) (i32.const 1)))
