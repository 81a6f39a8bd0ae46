;; Returns a null in a column that it announced without.
;; => fails: plugin returned 1 nulls in column `n` of `main`, which `open` announced without nulls
;; in-apply:
(i32.store8 offset=20 (local.get $columns) (i32.const 1))
(i32.store offset=24 (local.get $columns) (i32.const 0))
(i32.store offset=28 (local.get $columns) (i32.const 1))
