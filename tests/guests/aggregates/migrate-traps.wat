;; Traps in `migrate`.
;; => migrate fails: trap: wasm `unreachable` instruction executed
;; in-migrate:
unreachable
