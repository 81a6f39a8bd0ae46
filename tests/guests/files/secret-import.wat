;; Imports an interface of our package that does not exist.
;; => refused: can't be loaded: it imports `rillgate:plugin/secrets@0.1.0`, which this host does not have: a plugin can import `rillgate:plugin/log@0.1.0` and what its language's standard library asks of WASI
;; imports:
(import "rillgate:plugin/secrets@0.1.0" (instance (export "f" (func))))
