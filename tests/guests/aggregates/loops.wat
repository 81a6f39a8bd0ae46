;; Never ends any function.
;; => update fails: {time}
;; => merge fails: {time}
;; => finish fails: {time}
;; in-update:
(call $spin)
;; in-merge:
(call $spin)
;; in-finish:
(call $spin)
