;; Calls itself until the stack is used up.
;; => fails: trap: call stack exhausted
;; in-apply:
(call $recurse)
