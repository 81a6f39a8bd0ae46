;; Traps in `open`.
;; => refused: failed to open: trap: wasm `unreachable` instruction executed
;; in-open:
unreachable
