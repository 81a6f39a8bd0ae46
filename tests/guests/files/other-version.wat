;; Is built for an interface that is still to come.
;; => refused: can't be loaded: it is built for version 0.2.0 of the plugin interface, and this host speaks 0.1.0: build it again with an SDK of that version
(component (instance $i) (export "rillgate:plugin/transform@0.2.0" (instance $i)))
