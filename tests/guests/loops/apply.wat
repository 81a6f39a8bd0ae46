;; Never returns from `apply`.
;; => fails: {time}
;; in-apply:
(call $spin)
