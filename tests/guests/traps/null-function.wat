;; Calls a function that is not there.
;; => fails: trap: uninitialized element
;; code:
(table $t 1 funcref)
;; in-apply:
(call_indirect $t (i32.const 0))
