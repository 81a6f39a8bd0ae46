//! What the tasks of a pipeline have in common.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;

use crate::batch::SchemaRef;
use crate::commit::lineage::FOOTER_PLUGINS;
use crate::decode::{ColumnOptions, DecodeOptions};
use crate::encode::{DeadLetterFormat, Target};
use crate::exchange::Placing;
use crate::plugin::{Aggregate, PluginError};
use crate::registry::Registry;
use crate::window::{OnStateChange, WindowOptions};

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
    /// Where the tables of the plugin chain go, in the chain's order; `None` for one that is dropped. Where rows are aggregated, the
    /// first is for what comes of the groups.
    pub tables: Vec<Option<(Target, SchemaRef)>>,
    /// How rows are aggregated, if they are.
    pub aggregate: Option<AggregatePlan>,
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
    /// On which side of an exchange its tasks are; `None`: there is none.
    pub fn side(&self) -> Option<Side> {
        self.aggregate.as_ref().and_then(|aggregate| aggregate.exchange.as_ref()).map(|(side, _)| *side)
    }

    /// What the footer of a Parquet file says of its making.
    pub(super) fn footer(&self) -> [(String, String); 3] {
        [
            ("rillgate.version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
            ("rillgate.pipeline".to_owned(), self.pipeline.clone()),
            (FOOTER_PLUGINS.to_owned(), self.plugins.join(",")),
        ]
    }
}

/// How the rows of a pipeline are folded into groups.
#[derive(Debug, Clone)]
pub struct AggregatePlan {
    /// How they are grouped.
    pub window: WindowOptions,
    /// The columns of the rows.
    pub rows: SchemaRef,
    /// The columns of a state.
    pub state: SchemaRef,
    /// Which of the tables gets rows that come too late; `None`: they are dropped.
    pub late: Option<usize>,
    /// A partition with nothing new for so long moves on by the clock.
    pub idle_after: Option<Duration>,
    /// The exchange that rows go through on their way to their groups, and on which side of it this is.
    pub exchange: Option<(Side, ExchangePlan)>,
    /// An instance of the plugin, for states that it has to migrate where they are restored.
    pub open: OpenAggregate,
    /// What becomes of states that can't be carried over.
    pub on_state_change: OnStateChange,
    /// This is the way back to the version before: what only the one after it kept may be dropped.
    pub allow_dropped: bool,
}

impl AggregatePlan {
    /// Whether its plugin is given the rows: before an exchange that they go through as they are it is not.
    pub(super) fn folds(&self) -> bool {
        self.exchange.as_ref().is_none_or(|(side, exchange)| *side == Side::Behind || exchange.sends_states)
    }
}

/// Opens the plugin that rows are folded by.
#[derive(Clone)]
pub struct OpenAggregate {
    /// Whether it takes over states of other columns than its own.
    pub has_migration: bool,
    /// Makes an instance.
    pub open: Arc<dyn Fn() -> Result<Aggregate, PluginError> + Send + Sync>,
}

impl std::fmt::Debug for OpenAggregate {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.debug_struct("OpenAggregate").field("has_migration", &self.has_migration).finish_non_exhaustive()
    }
}

/// On which side of an exchange a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// It sends rows, or what they come to.
    Before,
    /// It has the groups.
    Behind,
}

/// An exchange.
#[derive(Debug, Clone)]
pub struct ExchangePlan {
    /// Which partition of its topic a group is in.
    pub placing: Placing,
    /// How many partitions each of the topics has that are read before it.
    pub topics: BTreeMap<String, u32>,
    /// Whether states may be sent in the place of rows.
    pub sends_states: bool,
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
