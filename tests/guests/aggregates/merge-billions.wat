;; Returns four billion states from `merge`.
;; => merge fails: plugin returned 4294967295 rows for `state`; 1 are needed, one for each group
;; in-merge:
(local.set $rows (i32.const -1))
