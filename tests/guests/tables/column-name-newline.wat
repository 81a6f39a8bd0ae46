;; Announces a column whose name has a line break.
;; => refused: announces tables that can't be: table `main`: a column has a name of over 255 bytes or with control characters
;; code:
(data (i32.const 1024) "x\0ay")
;; in-open:
(i32.store (local.get $fields) (i32.const 1024))
(i32.store offset=4 (local.get $fields) (i32.const 3))
