;; Returns a null from each function in a column that was announced without.
;; => update fails: plugin returned 1 nulls in column `n` of `state`, which `open` announced without nulls
;; => merge fails: plugin returned 1 nulls in column `n` of `state`, which `open` announced without nulls
;; => finish fails: plugin returned 1 nulls in column `n` of `output`, which `open` announced without nulls
;; in-update:
(i32.store8 offset=20 (local.get $columns) (i32.const 1))
(i64.store offset=24 (local.get $columns) (i64.load offset=88 (local.get $columns)))
;; in-merge:
(i32.store8 offset=20 (local.get $columns) (i32.const 1))
(i64.store offset=24 (local.get $columns) (i64.load offset=88 (local.get $columns)))
;; in-finish:
(i32.store8 offset=20 (local.get $columns) (i32.const 1))
(i64.store offset=24 (local.get $columns) (i64.load offset=88 (local.get $columns)))
