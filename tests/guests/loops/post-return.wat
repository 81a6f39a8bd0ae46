;; Never returns after the host has taken the answer.
;; => fails: {time}
;; in-reset:
(if (i32.load (i32.const 8)) (then (loop (br 0))))
;; in-apply:
(i32.store (i32.const 8) (i32.const 1))
