;; Keeps the handles of a thousand resources of each call.
;; The host has a table of them for each instance.
;; => passes
;; imports:
(type $thing (resource (rep i32)))
(core func $new (canon resource.new $thing))
(core instance $things (export "new" (func $new)))
;; with:
(with "things" (instance $things))
;; code:
(import "things" "new" (func $new (param i32) (result i32)))
(global $left (mut i32) (i32.const 0))
;; in-apply:
(global.set $left (i32.const 1000))
(loop (drop (call $new (i32.const 1)))
  (br_if 0 (global.get $left) (global.set $left (i32.sub (global.get $left) (i32.const 1)))))
