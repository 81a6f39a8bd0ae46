;; Returns fewer columns from each function than announced.
;; => update fails: plugin returned 2 columns for `state`, which has 3
;; => merge fails: plugin returned 2 columns for `state`, which has 3
;; => finish fails: plugin returned 2 columns for `output`, which has 3
;; in-update:
(local.set $count (i32.const 2))
;; in-merge:
(local.set $count (i32.const 2))
;; in-finish:
(local.set $count (i32.const 2))
