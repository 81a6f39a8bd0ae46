;; Ends in the middle: an upload that broke off.
;; => refused: can't be loaded: it is no valid component: unexpected end-of-file …
;; cut: 2000
;; in-apply:

