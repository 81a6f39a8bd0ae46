//! What the tasks of a pipeline have in common.

use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;

use crate::batch::SchemaRef;
use crate::decode::{ColumnOptions, DecodeOptions};
use crate::encode::{DeadLetterFormat, Target};
use crate::registry::Registry;

/// What the tasks of a pipeline have in common.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The pipeline's name.
    pub pipeline: String,
    /// How values become columns.
    pub decode: DecodeOptions,
    /// Which columns.
    pub columns: IndexMap<String, ColumnOptions>,
    /// Where the schemas are that messages name.
    pub registry: Option<Arc<Registry>>,
    /// Where the tables of the plugin chain go, in the chain's order; `None` for one that is dropped.
    pub tables: Vec<Option<(Target, SchemaRef)>>,
    /// How dead letters are written.
    pub dead_letters: DeadLetterFormat,
    /// When an epoch ends.
    pub trigger: Trigger,
    /// Messages in a batch, at most.
    pub batch_rows: usize,
    /// Digests of the plugins.
    pub plugins: Vec<String>,
    /// Digest of the pipeline's configuration.
    pub config: String,
}

impl Plan {
    /// What the footer of a Parquet file says of its making.
    pub(super) fn footer(&self) -> [(String, String); 3] {
        [
            ("rillgate.version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
            ("rillgate.pipeline".to_owned(), self.pipeline.clone()),
            ("rillgate.plugins".to_owned(), self.plugins.join(",")),
        ]
    }
}

/// An epoch ends, for all its open files, when the first of these is reached.
#[derive(Debug, Clone, Copy)]
pub struct Trigger {
    /// Time since its first message.
    pub every: Duration,
    /// Size of its largest open file, in bytes.
    pub bytes: u64,
    /// Rows in all its tables.
    pub rows: u64,
}
