//! Bindings of the WIT worlds that plugins implement, made from `wit/` by wasmtime: one world of the host's own that has what all of
//! them export, so that they share their types. A plugin exports a part of it.

wasmtime::component::bindgen!({
    path: "../wit",
    inline: "
        package rillgate:host;
        world plugins {
            include rillgate:plugin/transform-plugin@0.1.0;
            include rillgate:plugin/migrating-aggregate-plugin@0.1.0;
        }
    ",
    ownership: Borrowing { duplicate_if_necessary: true },
});
