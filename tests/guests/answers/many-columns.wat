;; Returns more columns than announced.
;; => fails: plugin returned 4 columns for `main`, which has 3
;; in-apply:
(memory.copy (i32.add (local.get $columns) (i32.const 96)) (local.get $columns) (i32.const 32))
(local.set $count (i32.const 4))
