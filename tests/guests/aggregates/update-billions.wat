;; Returns four billion states from `update`.
;; => update fails: plugin returned 4294967295 rows for `state`; 1 are needed, one for each group
;; in-update:
(local.set $rows (i32.const -1))
