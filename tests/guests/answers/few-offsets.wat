;; Returns no offset after the last text.
;; => fails: plugin returned 1 rows but column `id` of `main` has too few or too many offsets: 2 are needed, it has 1
;; in-apply:
(i32.store offset=40 (local.get $columns) (i32.const 1))
