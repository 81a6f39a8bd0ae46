;; Begins its texts at 7.
;; => fails: plugin returned offsets of column `id` of `main` that begin at 7, not at 0
;; in-apply:
(i32.store (i32.load offset=36 (local.get $columns)) (i32.const 7))
