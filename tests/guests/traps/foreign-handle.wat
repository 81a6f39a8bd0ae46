;; Gives back a resource that it was never given.
;; => fails: trap: unknown handle index 7
;; imports:
(type $thing (resource (rep i32)))
(core func $drop (canon resource.drop $thing))
(core instance $things (export "drop" (func $drop)))
;; with:
(with "things" (instance $things))
;; code:
(import "things" "drop" (func $drop (param i32)))
;; in-apply:
(call $drop (i32.const 7))
