;; Returns bytes from each function that are no text.
;; => update fails: plugin returned text in row 0 of column `id` of `state` that is not UTF-8
;; => merge fails: plugin returned text in row 0 of column `id` of `state` that is not UTF-8
;; => finish fails: plugin returned text in row 0 of column `id` of `output` that is not UTF-8
;; in-update:
(i32.store8 (i32.load offset=44 (local.get $columns)) (i32.const 0xff))
;; in-merge:
(i32.store8 (i32.load offset=44 (local.get $columns)) (i32.const 0xff))
;; in-finish:
(i32.store8 (i32.load offset=44 (local.get $columns)) (i32.const 0xff))
