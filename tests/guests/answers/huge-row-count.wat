;; Says that four billion rows are in a batch.
;; => fails: plugin returned 4294967295 rows for `main`; 16777216 are the most
;; in-apply:
(local.set $rows (i32.const -1))
