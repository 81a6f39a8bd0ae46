;; Is a core module, not a component.
;; => refused: can't be loaded: it is a core module, not a component: build it with `--target wasm32-wasip2`, or wrap it with `wasm-tools component new`
(module)
