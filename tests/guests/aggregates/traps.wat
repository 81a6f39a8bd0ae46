;; Traps in each function but `open`.
;; => update fails: trap: wasm `unreachable` instruction executed
;; => merge fails: trap: wasm `unreachable` instruction executed
;; => finish fails: trap: wasm `unreachable` instruction executed
;; in-update:
unreachable
;; in-merge:
unreachable
;; in-finish:
unreachable
