;; Says from `migrate` that there are four thousand million states.
;; => migrate fails: plugin returned 4294967295 rows for `state`; 1 are needed, one for each group
;; in-migrate:
(local.set $rows (i32.const -1))
