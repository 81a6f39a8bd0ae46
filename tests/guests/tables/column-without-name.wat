;; Announces a column without a name.
;; => refused: announces tables that can't be: table `main`: a column has no name
;; in-open:
(i32.store offset=4 (local.get $fields) (i32.const 0))
