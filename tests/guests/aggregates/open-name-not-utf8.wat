;; Announces states with a column whose name is no text.
;; => refused: failed to open: trap: invalid utf-8 sequence of 1 bytes from index 0
;; in-open:
(i32.store8 (i32.load (local.get $fields)) (i32.const 0xff))
