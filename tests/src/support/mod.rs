//! What the tests stand on: servers, topics, stores, the host as a process, readers, and a proxy that misbehaves.

pub mod flow;
pub mod host;
pub mod kafka;
pub mod letters;
pub mod proxy;
pub mod reader;
pub mod registry;
pub mod servers;
pub mod store;
pub mod wait;
pub mod watch;
