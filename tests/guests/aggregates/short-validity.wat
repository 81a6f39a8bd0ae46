;; Returns nulls from each function and no bitmap of them.
;; => update fails: plugin returned 1 rows but column `x` of `state` has too few or too many bytes of validity: 1 are needed, it has 0
;; => merge fails: plugin returned 1 rows but column `x` of `state` has too few or too many bytes of validity: 1 are needed, it has 0
;; => finish fails: plugin returned 1 rows but column `x` of `output` has too few or too many bytes of validity: 1 are needed, it has 0
;; in-update:
(i32.store offset=92 (local.get $columns) (i32.const 0))
;; in-merge:
(i32.store offset=92 (local.get $columns) (i32.const 0))
;; in-finish:
(i32.store offset=92 (local.get $columns) (i32.const 0))
