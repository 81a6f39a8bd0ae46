;; Traps when the host has taken what `update` returned.
;; => update fails: trap: wasm `unreachable` instruction executed
;; in-reset:
(if (i32.load (i32.const 8)) (then unreachable))
;; in-update:
(i32.store (i32.const 8) (i32.const 1))
