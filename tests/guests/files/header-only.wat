;; Ends after the first eight bytes.
;; => refused: can't be loaded: it is a component of another world: it exports nothing, and a plugin exports `rillgate:plugin/transform@0.1.0` or `rillgate:plugin/aggregate@0.1.0`
;; cut: 8
;; in-apply:

