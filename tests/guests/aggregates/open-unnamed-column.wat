;; Announces an output with a column that has no name.
;; => refused: announces tables that can't be: table `output`: a column has no name
;; code:
(data (i32.const 1024) "\00\04\00\00\00\00\00\00\00\00\00\00")
;; in-open:
(i32.store (i32.const 44) (i32.const 1024))
(i32.store (i32.const 48) (i32.const 1))
