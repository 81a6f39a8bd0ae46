;; Is an aggregate where a transform is asked for.
;; => refused: can't be loaded: it is an aggregate, and is asked for as a transform
(component (instance $i) (export "rillgate:plugin/aggregate@0.1.0" (instance $i)))
