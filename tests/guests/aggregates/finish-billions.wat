;; Returns four billion rows from `finish`.
;; => finish fails: plugin returned 4294967295 rows for `output`; 16777216 are the most
;; in-finish:
(local.set $rows (i32.const -1))
