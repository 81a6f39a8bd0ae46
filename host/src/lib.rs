//! Rillgate: Kafka in, WebAssembly plugins in the middle, object storage out, each record exactly once.
//!
//! A table of contents. The way of the data is `task`; each stage knows nothing of its neighbours.

pub mod batch;
pub mod config;
pub mod decode;
pub mod encode;
pub mod kafka;
pub mod plugin;
