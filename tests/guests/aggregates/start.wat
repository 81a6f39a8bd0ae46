;; Traps before `open` is called.
;; => refused: failed to open: trap: wasm `unreachable` instruction executed
;; code:
(func $start unreachable) (start $start)
;; in-open:
