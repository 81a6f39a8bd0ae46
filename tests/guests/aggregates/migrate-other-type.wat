;; Says from `migrate` that a column is of another type.
;; => migrate fails: plugin returned column `id` of `state` as binary, and `open` announced utf8
;; in-migrate:
(i32.store8 offset=32 (local.get $columns) (i32.const 6))
