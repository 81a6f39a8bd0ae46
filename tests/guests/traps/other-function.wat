;; Calls a function of another type.
;; => fails: trap: indirect call type mismatch
;; code:
(table $t funcref (elem $error))
;; in-apply:
(call_indirect $t (i32.const 0))
