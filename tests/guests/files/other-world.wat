;; Is a component of another world.
;; => refused: can't be loaded: it is a component of another world: it exports `wasi:cli/run@0.2.0`, and a plugin exports `rillgate:plugin/transform@0.1.0` or `rillgate:plugin/aggregate@0.1.0`
(component (instance $i) (export "wasi:cli/run@0.2.0" (instance $i)))
