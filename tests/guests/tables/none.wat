;; Announces no table.
;; => refused: announces tables that can't be: there is no table `main`
;; in-open:
(i32.store (i32.const 40) (i32.const 0))
