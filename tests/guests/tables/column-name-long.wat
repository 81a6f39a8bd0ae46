;; Announces a column with a name of 256 bytes.
;; => refused: announces tables that can't be: table `main`: a column has a name of over 255 bytes or with control characters
;; in-open:
(memory.fill (i32.const 1024) (i32.const 97) (i32.const 256))
(i32.store (local.get $fields) (i32.const 1024))
(i32.store offset=4 (local.get $fields) (i32.const 256))
