;; Returns an error from each function.
;; => update fails: a reason
;; => merge fails: a reason
;; => finish fails: a reason
;; in-update:
(return (call $error (i32.const 2)))
;; in-merge:
(return (call $error (i32.const 2)))
;; in-finish:
(return (call $error (i32.const 2)))
