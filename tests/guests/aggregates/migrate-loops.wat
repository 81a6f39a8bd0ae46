;; Never ends `migrate`.
;; => migrate fails: {time}
;; in-migrate:
(call $spin)
