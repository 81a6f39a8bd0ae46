;; Exits, and would take the host with it.
;; => fails: trap: the plugin exited
;; imports:
(import "wasi:cli/exit@0.2.0" (instance $exit (export "exit" (func (param "status" (result))))))
(core func $exit (canon lower (func $exit "exit")))
(core instance $core-wasi (export "exit" (func $exit)))
;; with:
(with "wasi" (instance $core-wasi))
;; code:
(import "wasi" "exit" (func $exit (param i32)))
;; in-apply:
(call $exit (i32.const 0))
