;; Returns a bitmap from each function that is too long.
;; => update fails: plugin returned 1 rows but column `x` of `state` has too few or too many bytes of validity: 1 are needed, it has 99
;; => merge fails: plugin returned 1 rows but column `x` of `state` has too few or too many bytes of validity: 1 are needed, it has 99
;; => finish fails: plugin returned 1 rows but column `x` of `output` has too few or too many bytes of validity: 1 are needed, it has 99
;; in-update:
(i32.store offset=92 (local.get $columns) (i32.const 99))
;; in-merge:
(i32.store offset=92 (local.get $columns) (i32.const 99))
;; in-finish:
(i32.store offset=92 (local.get $columns) (i32.const 99))
