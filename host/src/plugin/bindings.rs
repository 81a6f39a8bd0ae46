//! Bindings of the WIT world that transforms implement, made from `wit/` by wasmtime.

wasmtime::component::bindgen!({
    path: "../wit",
    world: "transform-plugin",
    ownership: Borrowing { duplicate_if_necessary: true },
});
