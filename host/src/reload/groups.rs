//! Groups of no task: what rows come to in one version of an aggregate, and then nothing is left of them.

use crate::batch::{RecordBatch, Schema, SchemaRef};
use crate::plugin::{Aggregate, BatchTime, Refusal};
use crate::task::{PluginFold, fault, refusal};
use crate::window::{Aggregation, Folded, WindowOptions};

/// Groups of no task.
pub(super) struct Groups(Aggregation);

impl Groups {
    /// None yet, of `rows` that are folded into `states`.
    pub(super) fn new(window: &WindowOptions, rows: &Schema, states: &SchemaRef) -> Result<Self, String> {
        Ok(Self(Aggregation::new(window, rows, states).map_err(|error| error.to_string())?))
    }

    /// No row is late: they are of several partitions, of which each has its own event time.
    pub(super) fn of_any_time(self) -> Self {
        Self(self.0.told_event_time())
    }

    /// Folds rows: all or none.
    pub(super) fn fold(
        &mut self,
        rows: &RecordBatch,
        plugin: &mut Aggregate,
        now: BatchTime,
    ) -> Result<Folded, Refusal> {
        let folded = self.0.fold(rows, &mut PluginFold { plugin, now });
        folded.map_err(|refused| refusal(refused, plugin))
    }

    /// Rows of all groups, as if nothing more could come for any of them.
    pub(super) fn finish(&mut self, plugin: &mut Aggregate, now: BatchTime) -> Result<Vec<RecordBatch>, String> {
        self.0.advance(i64::MAX);
        let finished = self.0.finish(&mut PluginFold { plugin, now });
        finished.map_err(|refused| fault(refused, plugin))
    }
}
