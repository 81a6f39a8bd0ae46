;; Returns more values than rows.
;; => fails: plugin returned 1 rows but column `n` of `main` has too few or too many values: 1 are needed, it has 2
;; in-apply:
(i32.store offset=8 (local.get $columns) (i32.add (local.get $rows) (i32.const 1)))
