;; Never ends `open`.
;; => refused: failed to open: {time}
;; in-open:
(call $spin)
