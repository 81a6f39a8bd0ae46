;; Does not accept its settings.
;; => refused: does not accept its settings: a reason
;; in-open:
(return (call $error (i32.const 0)))
