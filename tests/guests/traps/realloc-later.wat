;; Traps where the host asks for room for the columns of `apply`.
;; => fails: trap: wasm `unreachable` instruction executed
;; in-realloc:
(if (i32.load (i32.const 8)) (then unreachable))
;; in-open:
(i32.store (i32.const 8) (i32.const 1))
