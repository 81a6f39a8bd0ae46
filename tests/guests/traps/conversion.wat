;; Converts a number that is none.
;; => fails: trap: invalid conversion to integer
;; in-apply:
(drop (i32.trunc_f64_s (f64.const nan)))
