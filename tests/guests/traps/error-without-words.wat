;; Returns an error without a word of what is wrong.
;; => fails: an error without a reason
;; in-apply:
(call $error (i32.const 2)) drop (i32.store (i32.const 44) (i32.const 0)) (return (i32.const 32))
