;; Refuses to open with an error that would forge a line of the log and steer a terminal.
;; => refused: failed to open: a  [mson
;; in-open:
(i32.store (i32.const 513) (i32.const 0x6d5b1b0a))
(return (call $error (i32.const 2)))
