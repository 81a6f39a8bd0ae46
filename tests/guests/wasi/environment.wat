;; Looks for variables and arguments. There are none.
;; => passes
;; imports:
(import "wasi:cli/environment@0.2.0" (instance $env
  (export "get-environment" (func (result (list (tuple string string)))))
  (export "get-arguments" (func (result (list string))))))
(core func $variables (canon lower (func $env "get-environment") (memory $memory) (realloc $realloc)))
(core func $arguments (canon lower (func $env "get-arguments") (memory $memory) (realloc $realloc)))
(core instance $core-wasi (export "variables" (func $variables)) (export "arguments" (func $arguments)))
;; with:
(with "wasi" (instance $core-wasi))
;; code:
(import "wasi" "variables" (func $variables (param i32)))
(import "wasi" "arguments" (func $arguments (param i32)))
;; in-apply:
(call $variables (i32.const 256))
(if (i32.load (i32.const 260)) (then unreachable))
(call $arguments (i32.const 256))
(if (i32.load (i32.const 260)) (then unreachable))
