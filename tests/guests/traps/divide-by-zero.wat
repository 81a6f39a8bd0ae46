;; Divides by zero.
;; => fails: trap: integer divide by zero
;; in-apply:
(drop (i32.div_u (local.get $rows) (i32.const 0)))
