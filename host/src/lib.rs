//! Rillgate: Kafka in, WebAssembly plugins in the middle, object storage out, each record exactly once.
//!
//! A table of contents. The way of the data is `task`; each stage knows nothing of its neighbours.

pub mod avro;
pub mod batch;
pub mod cli;
pub mod commit;
pub mod config;
pub mod decode;
pub mod encode;
pub mod exchange;
pub mod feed;
pub mod http;
pub mod kafka;
pub mod metrics;
pub mod pipeline;
pub mod plugin;
pub mod registry;
pub mod reload;
pub mod sink;
pub mod source;
pub mod state;
pub mod supervisor;
pub mod task;
pub mod window;
pub mod worker;
