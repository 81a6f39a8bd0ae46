;; Traps in `apply`.
;; => fails: trap: wasm `unreachable` instruction executed
;; in-apply:
unreachable
