;; Traps when the host has taken what `open` returned.
;; => refused: failed to open: trap: wasm `unreachable` instruction executed
;; in-reset:
unreachable
