;; Announces 5,000 columns.
;; => refused: announces tables that can't be: table `main`: it has 5000 columns; 4096 are the most
;; in-open:
(drop (memory.grow (i32.const 2)))
(i32.store (i32.const 72) (i32.const 65536))
(i32.store (i32.const 76) (i32.const 5000))
