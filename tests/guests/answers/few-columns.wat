;; Returns fewer columns than announced.
;; => fails: plugin returned 2 columns for `main`, which has 3
;; in-apply:
(local.set $count (i32.const 2))
