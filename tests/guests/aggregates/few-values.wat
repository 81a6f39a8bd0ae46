;; Returns no value from each function where there is one row.
;; => update fails: plugin returned 1 rows but column `n` of `state` has too few or too many values: 1 are needed, it has 0
;; => merge fails: plugin returned 1 rows but column `n` of `state` has too few or too many values: 1 are needed, it has 0
;; => finish fails: plugin returned 1 rows but column `n` of `output` has too few or too many values: 1 are needed, it has 0
;; in-update:
(i32.store offset=8 (local.get $columns) (i32.const 0))
;; in-merge:
(i32.store offset=8 (local.get $columns) (i32.const 0))
;; in-finish:
(i32.store offset=8 (local.get $columns) (i32.const 0))
