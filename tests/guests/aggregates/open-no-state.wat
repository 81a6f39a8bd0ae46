;; Announces states without columns.
;; => refused: announces tables that can't be: table `state`: it has no columns
;; in-open:
(i32.store (i32.const 40) (i32.const 0))
