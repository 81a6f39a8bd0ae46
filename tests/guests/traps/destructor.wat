;; Traps in the destructor of a resource of its own.
;; => fails: trap: wasm `unreachable` instruction executed
;; imports:
(core module $end-module (func (export "end") (param i32) unreachable))
(core instance $end (instantiate $end-module))
(type $thing (resource (rep i32) (dtor (core func $end "end"))))
(core func $new (canon resource.new $thing))
(core func $drop (canon resource.drop $thing))
(core instance $things (export "new" (func $new)) (export "drop" (func $drop)))
;; with:
(with "things" (instance $things))
;; code:
(import "things" "new" (func $new (param i32) (result i32)))
(import "things" "drop" (func $drop (param i32)))
;; in-apply:
(call $drop (call $new (i32.const 7)))
