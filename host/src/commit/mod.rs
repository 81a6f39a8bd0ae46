//! Stage, decide, publish: how each record comes to be seen exactly once on plain files.
//!
//! - [`machine`]: the protocol, free of I/O
//! - [`entry`]: what the commit log says
//! - [`task_log`]: the protocol performed against a store
//! - [`send`]: records for topics, whose transactions are someone else's
//! - [`stage`]: uploads of what isn't decided yet
//! - [`state`]: the files of what a task remembers
//! - [`store`]: stores by URL
//! - [`verify`]: proof from outside that log and tables agree
//! - [`lineage`]: which plugins made what

mod cleaning;
pub mod entry;
mod error;
#[cfg(test)]
mod faults;
pub mod lineage;
pub mod machine;
#[cfg(test)]
mod machine_tests;
mod retry;
pub mod send;
#[cfg(test)]
mod simulation;
pub mod stage;
pub mod state;
pub mod store;
pub mod task_log;
#[cfg(test)]
mod tests;
pub mod verify;

pub use entry::{Commit, CommittedFile, CommittedRecords, CommittedState, StateFile};
pub use send::{Outgoing, Topics, TopicsError};
pub use stage::{Stage, Staged};
pub use state::{StateChange, StoredState, last_states};
pub use store::{Location, OpenError, Store, StoreOptions};
pub use task_log::{LogError, LogOptions, TaskLog, folder};
