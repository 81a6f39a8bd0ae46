;; Traps while it is instantiated.
;; => refused: failed to open: trap: wasm `unreachable` instruction executed
;; code:
(func $boom unreachable)
(start $boom)
