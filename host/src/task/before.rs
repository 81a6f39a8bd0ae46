//! A task before an exchange: it sends rows, or what they come to by themselves, to where their groups are.

use arrow::array::Array;
use arrow::error::ArrowError;

use super::aggregate::{PluginFold, StateDeltas, refusal};
use super::idle::Idle;
use super::plan::{AggregatePlan, ExchangePlan};
use super::{Resources, TaskError};
use crate::batch::RecordBatch;
use crate::commit::StoredState;
use crate::encode::{EncodeError, placed_records};
use crate::exchange::{self, HEADER, Kind, Remembered, Sending};
use crate::plugin::{Aggregate, BatchTime, Refusal};
use crate::source::TopicPartition;
use crate::window::{Combiner, Deltas, KEY};

/// What one task sends to an exchange.
pub(super) struct Before {
    combiner: Combiner,
    plan: AggregatePlan,
    sends_states: bool,
    sending: Sending,
    idle: Idle,
}

impl Before {
    /// Goes on as the last COMMIT left it.
    ///
    /// # Errors
    /// A state of groups: this pipeline had no exchange before.
    pub(super) fn new(
        plan: &AggregatePlan,
        exchange: &ExchangePlan,
        from: &TopicPartition,
        folder: &str,
        stored: Option<StoredState>,
    ) -> Result<Self, TaskError> {
        let odd = |error: ArrowError| TaskError::Fatal(format!("{folder}: {error}"));
        if stored.as_ref().is_some_and(|stored| stored.committed.exchange.is_none()) {
            return Err(TaskError::Fatal(format!(
                "{folder} has groups of its own, and rows are to go through an exchange now, because several partitions are read: give \
                 the pipeline another name to begin anew, or say exchange = \"none\" if records are in partitions by what makes \
                 the group"
            )));
        }
        let watermark_us = stored.and_then(|stored| stored.committed.watermark_us);
        let ExchangePlan { placing, topics, sends_states } = exchange.clone();
        Ok(Self {
            combiner: Combiner::new(&plan.window, &plan.rows, &plan.state).map_err(odd)?,
            plan: plan.clone(),
            sends_states,
            sending: Sending::new(placing, topics, (from.topic.clone(), from.partition), watermark_us),
            idle: Idle::new(plan.idle_after),
        })
    }

    /// Goes on by a plan that differs in nothing that is remembered.
    pub(super) fn adopt(&mut self, plan: &AggregatePlan) {
        self.plan = plan.clone();
        if let Some((_, exchange)) = &plan.exchange {
            let ExchangePlan { placing, topics, sends_states } = exchange.clone();
            self.sending.adopt(placing, topics);
            self.sends_states = sends_states;
        }
    }

    /// Makes records of rows: all or none.
    pub(super) fn fold(&mut self, rows: &RecordBatch, plugin: &mut Aggregate, now: BatchTime) -> Result<(), Refusal> {
        let refused = |reason| Refusal::Row { stage: "aggregate", reason, plugin: None };
        let odd = |error: ArrowError| refused(error.to_string());
        let latest_us = self.combiner.latest_us(rows).map_err(refused)?;
        let states = match self.sends_states {
            true => {
                let folded = self.combiner.fold(rows, &mut PluginFold { plugin, now });
                Some(folded.map_err(|refused| refusal(refused, plugin))?)
            }
            false => None,
        };
        let (kind, columns, prefix) = match states {
            Some(states) if bytes(&states) < bytes(rows) => (Kind::States, states, KEY),
            _ => (Kind::Rows, rows.clone(), ""),
        };
        let watermark_us = latest_us.map(|latest| latest.saturating_sub(self.plan.window.delay_us));
        match self.sending.add(kind, &columns, prefix, watermark_us).map_err(odd)? {
            true => Ok(()),
            false => {
                let most = exchange::MAX_BYTES;
                Err(refused(format!("it is too large for an exchange: a record takes {most} bytes")))
            }
        }
    }

    /// Takes note that messages came, and returns what has to be sent of them.
    pub(super) fn take(&mut self) -> Result<RecordBatch, EncodeError> {
        self.idle.end();
        placed_records(HEADER, &self.sending.take())
    }

    /// Ends an epoch: tells everyone how far this task has come.
    pub(super) fn end_epoch(&mut self) -> Result<(RecordBatch, StateDeltas), EncodeError> {
        let told = if self.plan.window.time.is_some() { self.sending.tell() } else { Vec::new() };
        let deltas = Deltas { watermark_us: self.sending.watermark_us(), ..Deltas::default() };
        Ok((placed_records(HEADER, &told)?, StateDeltas::sent(deltas, &Remembered::Before)))
    }

    /// Whether there is word for everyone that nothing new has come for long, and when to look again. That is said again and again, since
    /// the others may go on meanwhile; and looked for only when all that was said before `is_committed`.
    pub(super) fn look_idle(
        &mut self,
        position: i64,
        is_committed: bool,
        resources: &Resources,
    ) -> (bool, Option<std::time::Instant>) {
        let Some(idle_after) = self.plan.idle_after.filter(|_| is_committed) else { return (false, None) };
        let (idle, look) = self.idle.look(idle_after, position, resources);
        if idle.is_some() {
            self.sending.is_idle();
        }
        (idle.is_some(), look)
    }
}

fn bytes(columns: &RecordBatch) -> usize {
    let size = |column: &arrow::array::ArrayRef| column.to_data().get_slice_memory_size().unwrap_or_default();
    columns.columns().iter().map(size).sum()
}
