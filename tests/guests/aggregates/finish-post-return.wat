;; Traps when the host has taken what `finish` returned.
;; => finish fails: trap: wasm `unreachable` instruction executed
;; in-reset:
(if (i32.load (i32.const 8)) (then unreachable))
;; in-finish:
(i32.store (i32.const 8) (i32.const 1))
