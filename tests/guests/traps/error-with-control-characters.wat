;; Returns an error that would forge a line of the log and steer a terminal.
;; => fails: a  [mson
;; in-apply:
(i32.store (i32.const 513) (i32.const 0x6d5b1b0a))
(return (call $error (i32.const 2)))
