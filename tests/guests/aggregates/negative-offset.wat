;; Returns a text from each function that ends before it begins.
;; => update fails: plugin returned offsets of column `id` of `state` that end at 4294967295, and there are 4 bytes
;; => merge fails: plugin returned offsets of column `id` of `state` that end at 4294967295, and there are 4 bytes
;; => finish fails: plugin returned offsets of column `id` of `output` that end at 4294967295, and there are 4 bytes
;; in-update:
(i32.store offset=4 (i32.load offset=36 (local.get $columns)) (i32.const -1))
;; in-merge:
(i32.store offset=4 (i32.load offset=36 (local.get $columns)) (i32.const -1))
;; in-finish:
(i32.store offset=4 (i32.load offset=36 (local.get $columns)) (i32.const -1))
