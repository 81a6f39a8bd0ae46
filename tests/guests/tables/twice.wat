;; Announces `main` twice.
;; => refused: announces tables that can't be: there are two tables `main`
;; in-open:
(i32.store (i32.const 40) (i32.const 2))
(i32.store (i32.const 80) (i32.const 16))
