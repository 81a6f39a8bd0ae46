;; Returns a state more from `merge` than there are groups.
;; => merge fails: plugin returned 2 rows for `state`; 1 are needed, one for each group
;; in-merge:
(local.set $rows (i32.add (local.get $rows) (i32.const 1)))
