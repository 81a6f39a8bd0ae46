;; Announces 65 tables.
;; => refused: announces tables that can't be: 65 tables; 64 are the most
;; in-open:
(drop (memory.grow (i32.const 1)))
(i32.store (i32.const 36) (i32.const 65536))
(i32.store (i32.const 40) (i32.const 65))
