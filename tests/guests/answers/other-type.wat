;; Returns a column of another type than announced.
;; => fails: plugin returned column `n` of `main` as float64, and `open` announced int64
;; in-apply:
(i32.store8 (local.get $columns) (i32.const 4))
