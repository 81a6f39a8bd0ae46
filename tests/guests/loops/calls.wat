;; Calls a function for ever, without a loop.
;; => fails: {time}
;; code:
(func $again (return_call $again))
;; in-apply:
(call $again)
