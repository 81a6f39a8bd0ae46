;; Traps where the host asks for room for the arguments of `open`.
;; => refused: failed to open: trap: wasm `unreachable` instruction executed
;; in-realloc:
unreachable
