;; Announces states of four billion columns.
;; => refused: failed to open: trap: list pointer/length out of bounds of memory
;; in-open:
(i32.store (i32.const 40) (i32.const -1))
