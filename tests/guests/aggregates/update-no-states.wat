;; Returns no states from `update`.
;; => update fails: plugin returned 0 rows for `state`; 1 are needed, one for each group
;; in-update:
(local.set $rows (i32.const 0))
