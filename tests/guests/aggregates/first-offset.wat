;; Returns a text from each function that does not begin where its bytes do.
;; => update fails: plugin returned offsets of column `id` of `state` that begin at 1, not at 0
;; => merge fails: plugin returned offsets of column `id` of `state` that begin at 1, not at 0
;; => finish fails: plugin returned offsets of column `id` of `output` that begin at 1, not at 0
;; in-update:
(i32.store (i32.load offset=36 (local.get $columns)) (i32.const 1))
;; in-merge:
(i32.store (i32.load offset=36 (local.get $columns)) (i32.const 1))
;; in-finish:
(i32.store (i32.load offset=36 (local.get $columns)) (i32.const 1))
