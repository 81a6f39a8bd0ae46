;; Returns a state more from `update` than there are groups.
;; => update fails: plugin returned 2 rows for `state`; 1 are needed, one for each group
;; in-update:
(local.set $rows (i32.add (local.get $rows) (i32.const 1)))
