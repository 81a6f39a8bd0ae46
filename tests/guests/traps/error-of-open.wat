;; Returns from `apply` an error that only `open` has.
;; => fails: invalid setting: a reason
;; in-apply:
(return (call $error (i32.const 0)))
