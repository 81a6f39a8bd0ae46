;; Calls itself in `open` until the stack is full.
;; => refused: failed to open: trap: call stack exhausted
;; in-open:
(call $recurse)
