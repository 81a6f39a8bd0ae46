;; Declares 1,001 tables.
;; => refused: can't be loaded: it is no valid component: … tables count exceeds limit of 100 …
;; code:
(;repeat 1001;)(table 1 1 funcref)
(;end;)
