//! What becomes of rows that are aggregated: they are folded into the groups of their task, or sent through an exchange to the task
//! that has their groups.

use std::time::Instant;

use super::aggregate::{Groups, StateDeltas};
use super::before::Before;
use super::plan::{AggregatePlan, Side};
use super::{Resources, TaskError};
use crate::batch::RecordBatch;
use crate::commit::StoredState;
use crate::encode::EncodeError;
use crate::metrics::TaskMetrics;
use crate::plugin::{Aggregate, BatchTime, Refusal};
use crate::source::TopicPartition;

/// What becomes of rows that are aggregated.
pub(super) enum Folding {
    Groups(Box<Groups>),
    Before(Box<Before>),
}

impl Folding {
    /// As the last COMMIT left it.
    pub(super) fn new(
        plan: &AggregatePlan,
        partition: &TopicPartition,
        folder: &str,
        stored: Option<StoredState>,
    ) -> Result<Self, TaskError> {
        Ok(match &plan.exchange {
            Some((Side::Before, exchange)) => {
                Self::Before(Box::new(Before::new(plan, exchange, partition, folder, stored)?))
            }
            Some((Side::Behind, _)) | None => Self::Groups(Box::new(Groups::new(plan, folder, stored)?)),
        })
    }

    /// Folds rows: all or none.
    pub(super) fn fold(
        &mut self,
        rows: &RecordBatch,
        plugin: &mut Aggregate,
        now: BatchTime,
        metrics: &TaskMetrics,
    ) -> Result<(), Refusal> {
        match self {
            Self::Groups(groups) => groups.fold(rows, plugin, now, metrics),
            Self::Before(before) => before.fold(rows, plugin, now),
        }
    }

    /// Goes on by a plan that differs in nothing that is remembered.
    pub(super) fn adopt(&mut self, plan: &AggregatePlan) {
        match self {
            Self::Groups(groups) => groups.adopt(plan),
            Self::Before(before) => before.adopt(plan),
        }
    }

    /// Takes note that messages came; returns what is written of them at once, and the table that it goes to.
    pub(super) fn take(&mut self) -> Result<Option<(usize, Vec<RecordBatch>)>, EncodeError> {
        Ok(match self {
            Self::Groups(groups) => groups.take_late(),
            Self::Before(before) => Some((0, vec![before.take()?])),
        })
    }

    /// Ends an epoch: what is written to the first table, and what the COMMIT has to say.
    pub(super) fn end_epoch(&mut self, plugin: &mut Aggregate) -> Result<(Vec<RecordBatch>, StateDeltas), String> {
        match self {
            Self::Groups(groups) => groups.end_epoch(plugin),
            Self::Before(before) => {
                let (records, state) = before.end_epoch().map_err(|error| error.to_string())?;
                Ok((vec![records], state))
            }
        }
    }

    /// Groups, and about how many bytes of memory they take.
    pub(super) fn size(&self) -> (usize, usize) {
        match self {
            Self::Groups(groups) => groups.size(),
            Self::Before(_) => (0, 0),
        }
    }

    /// Looks whether nothing new has come for long enough; `is_committed` says whether all that came before is. Returns whether that gives an epoch something to end with, and when to look
    /// again.
    pub(super) fn look_idle(
        &mut self,
        position: i64,
        is_committed: bool,
        resources: &Resources,
    ) -> (bool, Option<Instant>) {
        match self {
            Self::Groups(groups) => groups.look_idle(position, resources),
            Self::Before(before) => before.look_idle(position, is_committed, resources),
        }
    }
}
