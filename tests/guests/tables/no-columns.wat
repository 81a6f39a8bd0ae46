;; Announces a table without columns.
;; => refused: announces tables that can't be: table `main`: it has no columns
;; in-open:
(i32.store (i32.const 76) (i32.const 0))
