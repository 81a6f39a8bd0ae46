;; Imports a function by itself.
;; => refused: can't be loaded: it imports `now`, which this host does not have: a plugin can import `rillgate:plugin/log@0.1.0` and what its language's standard library asks of WASI
;; imports:
(import "now" (func (result u64)))
