;; Traps in every second `update`: what comes out depends on what came before.
;; => some: trap: wasm `unreachable` instruction executed
;; code:
(global $calls (mut i32) (i32.const 0))
(func $count
  (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
  (if (i32.eqz (i32.rem_u (global.get $calls) (i32.const 2))) (then unreachable)))
;; in-update:
(call $count)
