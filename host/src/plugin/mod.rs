//! Plugins: WebAssembly components that work on batches, with limits on all they can use.

mod error;
mod limits;

pub use error::{ApplyError, ChainError, PluginError};
pub use limits::Limits;
