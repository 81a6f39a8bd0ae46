;; Returns no states from `merge`.
;; => merge fails: plugin returned 0 rows for `state`; 1 are needed, one for each group
;; in-merge:
(local.set $rows (i32.const 0))
