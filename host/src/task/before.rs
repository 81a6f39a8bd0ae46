//! A task before an exchange: it sends rows, or what they come to by themselves, to where their groups are.

use arrow::array::{Array, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::error::ArrowError;

use super::aggregate::{PluginFold, StateDeltas, refusal};
use super::idle::Idle;
use super::plan::{AggregatePlan, ExchangePlan};
use super::{Resources, TaskError};
use crate::batch::RecordBatch;
use crate::commit::StoredState;
use crate::encode::{EncodeError, placed_records};
use crate::exchange::{self, EventTime, HEADER, Heading, Kind, Remembered};
use crate::plugin::{Aggregate, BatchTime, Refusal};
use crate::source::TopicPartition;
use crate::window::{Combiner, Deltas, KEY};

/// What one task sends to an exchange.
pub(super) struct Before {
    combiner: Combiner,
    plan: AggregatePlan,
    exchange: ExchangePlan,
    from: TopicPartition,
    event_time: EventTime,
    /// What everyone behind the exchange was told last.
    told: Option<EventTime>,
    /// It is to be told once more: nothing had come when it was looked.
    looked: bool,
    /// Partition, value and header of records that aren't written yet.
    made: Vec<(i32, Vec<u8>, Vec<u8>)>,
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
        Ok(Self {
            combiner: Combiner::new(&plan.window, &plan.rows, &plan.state).map_err(odd)?,
            plan: plan.clone(),
            exchange: exchange.clone(),
            from: from.clone(),
            event_time: EventTime { watermark_us, is_idle: false },
            told: None,
            looked: false,
            made: Vec::new(),
            idle: Idle::new(plan.idle_after),
        })
    }

    /// Goes on by a plan that differs in nothing that is remembered.
    pub(super) fn adopt(&mut self, plan: &AggregatePlan) {
        self.plan = plan.clone();
        if let Some((_, exchange)) = &plan.exchange {
            self.exchange = exchange.clone();
        }
    }

    /// Makes records of rows: all or none.
    pub(super) fn fold(&mut self, rows: &RecordBatch, plugin: &mut Aggregate, now: BatchTime) -> Result<(), Refusal> {
        let refused = |reason| Refusal::Row { stage: "aggregate", reason, plugin: None };
        let odd = |error: ArrowError| refused(error.to_string());
        let latest_us = self.combiner.latest_us(rows).map_err(refused)?;
        let states = match self.exchange.sends_states {
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
        let mut made = Vec::new();
        for (partition, rows) in self.exchange.placing.rows(&columns, prefix).map_err(odd)?.into_iter().enumerate() {
            if rows.is_empty() {
                continue;
            }
            let part = take_record_batch(&columns, &UInt32Array::from(rows)).map_err(odd)?;
            let values = exchange::encode(&part).map_err(odd)?.ok_or_else(|| {
                refused(format!("it is too large for an exchange: a record takes {} bytes", exchange::MAX_BYTES))
            })?;
            made.extend(values.into_iter().map(|value| {
                let header = self.heading(kind).seal(&value);
                (partition as i32, value, header)
            }));
        }
        self.made.append(&mut made);
        let watermark_us = latest_us.map(|latest| latest.saturating_sub(self.plan.window.delay_us));
        self.event_time.watermark_us = self.event_time.watermark_us.max(watermark_us);
        Ok(())
    }

    fn heading(&self, kind: Kind) -> Heading {
        let rule = self.exchange.placing.rule().to_owned();
        Heading { rule, ..Heading::new(kind, self.from.to_string()) }
    }

    /// Takes note that messages came, and returns what has to be sent of them.
    pub(super) fn take(&mut self) -> Result<RecordBatch, EncodeError> {
        self.idle.end();
        (self.event_time.is_idle, self.looked) = (false, false);
        placed_records(HEADER, &std::mem::take(&mut self.made))
    }

    /// Ends an epoch: tells everyone how far this task has come.
    pub(super) fn end_epoch(&mut self) -> Result<(RecordBatch, StateDeltas), EncodeError> {
        let mut records = Vec::new();
        let is_new = self.told != Some(self.event_time) || self.looked;
        if self.plan.window.time.is_some() && is_new {
            let mut topics = self.exchange.topics.clone();
            // A partition that came after the start.
            let own = topics.entry(self.from.topic.clone()).or_default();
            *own = (*own).max(self.from.partition as u32 + 1);
            let heading = Heading { event_time: self.event_time, topics, ..self.heading(Kind::EventTime) };
            let header = heading.seal(&[]);
            records.extend((0..self.exchange.placing.partitions()).map(|to| (to as i32, Vec::new(), header.clone())));
            (self.told, self.looked) = (Some(self.event_time), false);
        }
        let deltas = Deltas { watermark_us: self.event_time.watermark_us, ..Deltas::default() };
        Ok((placed_records(HEADER, &records)?, StateDeltas::sent(deltas, &Remembered::Before)))
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
            (self.event_time.is_idle, self.looked) = (true, true);
        }
        (idle.is_some(), look)
    }
}

fn bytes(columns: &RecordBatch) -> usize {
    let size = |column: &arrow::array::ArrayRef| column.to_data().get_slice_memory_size().unwrap_or_default();
    columns.columns().iter().map(size).sum()
}
