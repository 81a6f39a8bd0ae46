;; Ends within its first word.
;; => refused: can't be loaded: it is not WebAssembly
;; cut: 3
;; in-apply:

