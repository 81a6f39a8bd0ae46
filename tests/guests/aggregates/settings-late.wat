;; Refuses its settings in each function, after it took them.
;; => update fails: invalid setting: a reason
;; => merge fails: invalid setting: a reason
;; => finish fails: invalid setting: a reason
;; in-update:
(return (call $error (i32.const 0)))
;; in-merge:
(return (call $error (i32.const 0)))
;; in-finish:
(return (call $error (i32.const 0)))
