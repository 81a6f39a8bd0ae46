;; Is never done with being instantiated.
;; => refused: failed to open: {time}
;; code:
(func $never (loop (br 0)))
(start $never)
