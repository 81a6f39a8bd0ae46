;; Is a component that exports nothing.
;; => refused: can't be loaded: it is a component of another world: it exports nothing, and a plugin exports `rillgate:plugin/transform@0.1.0` or `rillgate:plugin/aggregate@0.1.0`
(component)
