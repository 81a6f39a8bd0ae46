;; Returns an error from each function without a word of what is wrong.
;; => update fails: an error without a reason
;; => merge fails: an error without a reason
;; => finish fails: an error without a reason
;; in-update:
(drop (call $error (i32.const 2)))
(i32.store (i32.const 44) (i32.const 0))
(return (i32.const 32))
;; in-merge:
(drop (call $error (i32.const 2)))
(i32.store (i32.const 44) (i32.const 0))
(return (i32.const 32))
;; in-finish:
(drop (call $error (i32.const 2)))
(i32.store (i32.const 44) (i32.const 0))
(return (i32.const 32))
