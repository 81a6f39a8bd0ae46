;; Has 50,000 functions.
;; => passes
;; code:
(;repeat 50000;)(func (result i32) (i32.const 1))
(;end;)
