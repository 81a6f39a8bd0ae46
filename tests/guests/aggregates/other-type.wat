;; Returns bytes from each function where text was announced.
;; => update fails: plugin returned column `id` of `state` as binary, and `open` announced utf8
;; => merge fails: plugin returned column `id` of `state` as binary, and `open` announced utf8
;; => finish fails: plugin returned column `id` of `output` as binary, and `open` announced utf8
;; in-update:
(i32.store8 offset=32 (local.get $columns) (i32.const 6))
;; in-merge:
(i32.store8 offset=32 (local.get $columns) (i32.const 6))
;; in-finish:
(i32.store8 offset=32 (local.get $columns) (i32.const 6))
