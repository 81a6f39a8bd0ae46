;; Returns half of a surrogate pair from each function, which UTF-8 does not have.
;; => update fails: plugin returned text in row 0 of column `id` of `state` that is not UTF-8
;; => merge fails: plugin returned text in row 0 of column `id` of `state` that is not UTF-8
;; => finish fails: plugin returned text in row 0 of column `id` of `output` that is not UTF-8
;; in-update:
(i32.store (i32.load offset=44 (local.get $columns)) (i32.const 0x2080a0ed))
;; in-merge:
(i32.store (i32.load offset=44 (local.get $columns)) (i32.const 0x2080a0ed))
;; in-finish:
(i32.store (i32.load offset=44 (local.get $columns)) (i32.const 0x2080a0ed))
