;; Has 20,000 blocks, one in another.
;; => passes
;; code:
(func $deep
(;repeat 20000;)block
(;end;)(;repeat 20000;)end
(;end;))
