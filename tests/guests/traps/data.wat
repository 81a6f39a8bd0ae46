;; Is given data that its memory has no room for.
;; => refused: failed to open: trap: out of bounds memory access
;; code:
(data (i32.const 65530) "more than there is")
