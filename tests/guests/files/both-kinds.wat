;; Is a transform and an aggregate.
;; => refused: can't be loaded: it exports both `transform` and `aggregate`: a plugin is one of them
(component (instance $i) (export "rillgate:plugin/transform@0.1.0" (instance $i)) (export "rillgate:plugin/aggregate@0.1.0" (instance $i)))
