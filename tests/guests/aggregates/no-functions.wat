;; Exports an aggregate without functions.
;; => refused: can't be loaded: instance export `rillgate:plugin/aggregate@0.1.0` does not have export `open`
(component (instance $i) (export "rillgate:plugin/aggregate@0.1.0" (instance $i)))
