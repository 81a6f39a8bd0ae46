;; Returns no states from `migrate`.
;; => migrate fails: plugin returned 0 rows for `state`; 1 are needed, one for each group
;; in-migrate:
(local.set $rows (i32.const 0))
