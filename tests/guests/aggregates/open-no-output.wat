;; Announces an output without columns.
;; => refused: announces tables that can't be: table `output`: it has no columns
;; in-open:
(i32.store (i32.const 48) (i32.const 0))
