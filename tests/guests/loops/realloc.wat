;; Never gives room for the arguments of `open`.
;; => refused: failed to open: {time}
;; in-realloc:
(loop (br 0))
