;; Has memory that is addressed by 64 bits.
;; => refused: can't be loaded: it is no valid component: … memory64 must be enabled for 64-bit memories …
;; code:
(memory $own i64 1)
