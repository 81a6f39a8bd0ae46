;; Returns fewer values than rows.
;; => fails: plugin returned 1 rows but column `n` of `main` has too few or too many values: 1 are needed, it has 0
;; in-apply:
(i32.store offset=8 (local.get $columns) (i32.const 0))
