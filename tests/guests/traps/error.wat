;; Returns an error for every batch.
;; => fails: a reason
;; in-apply:
(return (call $error (i32.const 2)))
