;; Returns a text from each function that ends past its bytes.
;; => update fails: plugin returned offsets of column `id` of `state` that end at 9, and there are 4 bytes
;; => merge fails: plugin returned offsets of column `id` of `state` that end at 9, and there are 4 bytes
;; => finish fails: plugin returned offsets of column `id` of `output` that end at 9, and there are 4 bytes
;; in-update:
(i32.store offset=4 (i32.load offset=36 (local.get $columns)) (i32.const 9))
;; in-merge:
(i32.store offset=4 (i32.load offset=36 (local.get $columns)) (i32.const 9))
;; in-finish:
(i32.store offset=4 (i32.load offset=36 (local.get $columns)) (i32.const 9))
