//! Plugins: WebAssembly components that work on batches, with limits on all they can use.
//!
//! [`Engine::load`] compiles a plugin, [`Transform::open`] and [`Aggregate::open`] negotiate its columns, and a [`Chain`] runs all the
//! transforms of a pipeline on one thread. Wasmtime's types stay in here.

mod aggregate;
mod bindings;
mod bounds;
mod cache;
mod chain;
mod columns;
mod compiler;
mod engine;
mod error;
mod failed;
#[cfg(fuzzing)]
pub mod fuzzing;
mod inspect;
mod instance;
mod limits;
mod load;
mod log;
#[doc(hidden)]
pub mod native;
mod opened;
mod output;
mod returned;
mod secrets;
mod tables;
mod transform;
mod wasi;

#[cfg(test)]
pub(crate) mod tests;

pub use aggregate::Aggregate;
pub use chain::{Chain, Dead, Refusal, Step};
pub use compiler::compile_for_parent;
pub use engine::Engine;
pub use error::{ApplyError, ChainError, PluginError};
pub use failed::{Call, Columns, FailedCall};
pub use inspect::{InspectedColumn, InspectedTable, Inspection, inspect, inspect_aggregate, inspect_transform};
pub use instance::BatchTime;
pub use limits::Limits;
pub use load::{Kind, Plugin, sha256};
pub use returned::{Applied, Updated};
pub use tables::{MAIN, Table};
pub use transform::Transform;

/// The plugins of a pipeline on one worker thread.
pub struct Plugins {
    /// Its transforms.
    pub chain: Chain,
    /// What its rows are folded by, if they are.
    pub aggregate: Option<Aggregate>,
}

impl Plugins {
    /// Calls that have failed since this was last asked, of each plugin the smallest: those on messages that failed alone; or, where the
    /// pipeline can't go on (`is_fatal`), any.
    pub fn take_failed(&mut self, is_fatal: bool) -> Vec<FailedCall> {
        let (broke, mut failed) = self.chain.take_failed();
        failed.extend(self.aggregate.as_mut().and_then(Aggregate::take_failed));
        if broke || is_fatal { failed } else { Vec::new() }
    }
}
