;; Makes handles of resources for ever: the host has a table of them for each instance.
;; => fails: trap: cannot allocate another handle: store handle limit exceeded
;; imports:
(type $thing (resource (rep i32)))
(core func $new (canon resource.new $thing))
(core instance $things (export "new" (func $new)))
;; with:
(with "things" (instance $things))
;; code:
(import "things" "new" (func $new (param i32) (result i32)))
;; in-apply:
(loop (drop (call $new (i32.const 1))) (br 0))
