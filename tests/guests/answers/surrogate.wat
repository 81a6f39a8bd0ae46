;; Returns half a surrogate pair as text.
;; => fails: plugin returned text in row 0 of column `id` of `main` that is not UTF-8
;; in-apply:
(i32.store (i32.load offset=44 (local.get $columns)) (i32.const 0x20a0a0ed))
