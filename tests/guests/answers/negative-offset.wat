;; Ends its texts at -1.
;; => fails: plugin returned offsets of column `id` of `main` that end at 4294967295, and there are 4 bytes
;; in-apply:
(i32.store offset=4 (i32.load offset=36 (local.get $columns)) (i32.const -1))
