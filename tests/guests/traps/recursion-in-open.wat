;; Calls itself until the stack is used up, in `open`.
;; => refused: failed to open: trap: call stack exhausted
;; in-open:
(call $recurse)
