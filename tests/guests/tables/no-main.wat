;; Announces tables, and none of them is `main`.
;; => refused: announces tables that can't be: there is no table `main`
;; in-open:
(i32.store (i32.const 64) (i32.const 24))
