;; Calls itself in each function until the stack is full.
;; => update fails: trap: call stack exhausted
;; => merge fails: trap: call stack exhausted
;; => finish fails: trap: call stack exhausted
;; in-update:
(call $recurse)
;; in-merge:
(call $recurse)
;; in-finish:
(call $recurse)
