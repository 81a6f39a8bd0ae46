;; Announces states with a column of a type that does not exist.
;; => refused: failed to open: trap: unexpected discriminant: 99
;; in-open:
(i32.store8 offset=8 (local.get $fields) (i32.const 99))
