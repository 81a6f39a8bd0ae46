;; Imports an interface that the host does not have.
;; => refused: can't be loaded: it imports `my:own/thing@1.0.0`, which this host does not have: a plugin can import `rillgate:plugin/log@0.1.0` and what its language's standard library asks of WASI
;; imports:
(import "my:own/thing@1.0.0" (instance (export "f" (func))))
