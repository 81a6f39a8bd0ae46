;; Is made of 1,100 instances.
;; => refused: can't be loaded: it is no valid component: … instances count exceeds limit of 1000 …
;; imports:
(core module $empty)
(;repeat 1100;)(core instance (instantiate $empty))
(;end;)
