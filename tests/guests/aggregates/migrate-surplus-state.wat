;; Returns a state more from `migrate` than it was given.
;; => migrate fails: plugin returned 2 rows for `state`; 1 are needed, one for each group
;; in-migrate:
(local.set $rows (i32.add (local.get $rows) (i32.const 1)))
