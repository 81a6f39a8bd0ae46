;; Announces states of 5,000 columns.
;; => refused: announces tables that can't be: table `state`: it has 5000 columns; 4096 are the most
;; in-open:
(drop (memory.grow (i32.const 2)))
(i32.store (i32.const 36) (i32.const 65536))
(i32.store (i32.const 40) (i32.const 5000))
