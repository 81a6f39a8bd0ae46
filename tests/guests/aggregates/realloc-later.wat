;; Traps where the host asks for room for the columns of any call but `open`.
;; => update fails: trap: wasm `unreachable` instruction executed
;; => merge fails: trap: wasm `unreachable` instruction executed
;; => finish fails: trap: wasm `unreachable` instruction executed
;; in-realloc:
(if (i32.load (i32.const 8)) (then unreachable))
;; in-open:
(i32.store (i32.const 8) (i32.const 1))
