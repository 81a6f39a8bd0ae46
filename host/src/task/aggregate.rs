//! The groups of a task: what it folds rows into, gives out, and writes down to go on from.

mod carried;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::idle::Idle;
use super::plan::AggregatePlan;
use super::{Resources, TaskError};
use crate::batch::{RecordBatch, Rejection, SchemaRef};
use crate::commit::{LogError, StateChange, StoredState, TaskLog};
use crate::exchange::{Heading, IdleWords, Remembered, Upstreams};
use crate::metrics::TaskMetrics;
use crate::plugin::{Aggregate, ApplyError, BatchTime, Refusal};
use crate::state::{self, Delta, FileError};
use crate::window::{Aggregation, Combiner, Deltas, Fold, Refused, Restored, WindowOptions, micros};

/// Names of the tables of a task's state.
pub const GROUPS: &str = "groups";
/// Rows remembered for `dedup`.
pub const SEEN: &str = "seen";

/// The groups of one task.
pub(super) struct Groups {
    aggregation: Aggregation,
    plan: AggregatePlan,
    /// Whose state it is: goes into each of its files.
    owner: String,
    /// Rows that came too late in the batch at hand.
    late: Vec<RecordBatch>,
    idle: Idle,
    /// The watermark after the last message.
    moves_from_us: Option<i64>,
    /// Behind an exchange: what is known of the tasks before it.
    upstreams: Option<Upstreams>,
    idle_words: IdleWords,
    /// Something has come since [`Self::take_late`]: rows, or event time that moves on. Word of a task that is idle still is neither.
    is_new: bool,
    /// The columns of states that come from before an exchange.
    states: SchemaRef,
}

/// What an epoch changes in the state.
pub(super) struct StateDeltas {
    deltas: Deltas,
    owner: String,
    /// What is remembered of an exchange.
    exchange: Option<Box<serde_json::Value>>,
}

/// The plugin, at one moment.
pub struct PluginFold<'a> {
    /// What rows are folded by.
    pub plugin: &'a mut Aggregate,
    /// The moment.
    pub now: BatchTime,
}

impl Fold for PluginFold<'_> {
    type Error = ApplyError;

    fn update(
        &mut self,
        rows: &RecordBatch,
        group_of_row: &[u32],
        group_count: u32,
        states: &RecordBatch,
    ) -> Result<(RecordBatch, Vec<Rejection>), ApplyError> {
        let updated = self.plugin.update(rows, group_of_row, group_count, states, self.now)?;
        Ok((updated.states, updated.rejected))
    }

    fn merge(&mut self, left: &RecordBatch, right: &RecordBatch) -> Result<RecordBatch, ApplyError> {
        self.plugin.merge(left, right, self.now)
    }

    fn finish(&mut self, groups: &RecordBatch, states: &RecordBatch) -> Result<RecordBatch, ApplyError> {
        self.plugin.finish(groups, states, self.now)
    }
}

/// What a state belongs to: a task, and rules that what it holds was made by.
pub fn owner(folder: &str, options: &WindowOptions) -> String {
    let WindowOptions { key, time, window, dedup, .. } = options;
    let window = match window {
        None => "no window".to_owned(),
        Some(window) => format!("{window:?}"),
    };
    let time = time.as_deref().unwrap_or("none");
    format!("{folder}, key {}, time {time}, {window}, dedup {}", key.join(" "), dedup.join(" "))
}

impl Groups {
    /// Groups as the last COMMIT left them.
    ///
    /// # Errors
    /// A state of another task, or one that can't be carried over: it isn't begun anew without being told.
    pub(super) fn new(plan: &AggregatePlan, folder: &str, stored: Option<StoredState>) -> Result<Self, TaskError> {
        let odd = |error: arrow::error::ArrowError| TaskError::Fatal(format!("{folder}: {error}"));
        let new = || -> Result<Aggregation, TaskError> {
            let aggregation = Aggregation::new(&plan.window, &plan.rows, &plan.state).map_err(odd)?;
            Ok(if plan.exchange.is_some() { aggregation.told_event_time() } else { aggregation })
        };
        let mut aggregation = new()?;
        let mut upstreams = plan.exchange.is_some().then(Upstreams::default);
        let owner = owner(folder, &plan.window);
        if let Some(stored) = stored {
            let remembered =
                stored.committed.exchange.clone().map(|remembered| serde_json::from_value(*remembered)).transpose();
            match (remembered, &mut upstreams) {
                (Ok(None), None) => {}
                (Ok(Some(Remembered::Behind(heard))), Some(upstreams)) => *upstreams = heard,
                _ => {
                    return Err(TaskError::Fatal(format!(
                        "{folder}: rows went through an exchange before, and are to go through none now: say exchange = \"kafka\", \
                         or give the pipeline another name to begin anew"
                    )));
                }
            }
            let restored = read(&aggregation, &owner, &stored).map_err(|(path, error)| {
                TaskError::Fatal(format!(
                    "state {folder}/{path}: {error}. Put configuration and plugin back as they were, give the pipeline another \
                     name, or move {folder} away to begin anew with nothing"
                ))
            })?;
            carried::restore(&mut aggregation, new, &restored, plan, folder)?;
        }
        Ok(Self {
            moves_from_us: aggregation.watermark_us(),
            aggregation,
            plan: plan.clone(),
            owner,
            late: Vec::new(),
            idle: Idle::new(plan.idle_after),
            upstreams,
            idle_words: IdleWords::default(),
            is_new: false,
            states: Combiner::new(&plan.window, &plan.rows, &plan.state).map_err(odd)?.schema().clone(),
        })
    }

    /// Goes on by a plan that differs in nothing that is remembered.
    pub(super) fn adopt(&mut self, plan: &AggregatePlan) {
        self.plan = plan.clone();
    }

    /// Folds rows: all or none.
    pub(super) fn fold(
        &mut self,
        rows: &RecordBatch,
        plugin: &mut Aggregate,
        now: BatchTime,
        metrics: &TaskMetrics,
    ) -> Result<(), Refusal> {
        self.is_new = true;
        let folded = self.aggregation.fold(rows, &mut PluginFold { plugin, now });
        let folded = folded.map_err(|refused| refusal(refused, plugin))?;
        metrics.duplicates.increment(folded.duplicates);
        if let Some(late) = folded.late {
            metrics.late_rows.increment(late.num_rows() as u64);
            self.late.push(late);
        }
        Ok(())
    }

    /// Takes note that messages came; returns the rows of theirs that were late, and which table they go to.
    pub(super) fn take_late(&mut self) -> Option<(usize, Vec<RecordBatch>)> {
        if std::mem::take(&mut self.is_new) || self.upstreams.is_none() {
            self.idle.end();
            self.moves_from_us = self.aggregation.watermark_us();
        }
        let late = std::mem::take(&mut self.late);
        self.plan.late.map(|table| (table, late))
    }

    /// Ends an epoch: rows of groups that are complete or have changed, and what has to be written.
    ///
    /// The plugin's clock stands where the watermark is, however late the epoch ends.
    pub(super) fn end_epoch(&mut self, plugin: &mut Aggregate) -> Result<(Vec<RecordBatch>, StateDeltas), String> {
        let at = self.aggregation.watermark_us().unwrap_or_default();
        let now = BatchTime { timestamp_ms: at.div_euclid(1000), seed: at as u64 };
        let rows = self.aggregation.finish(&mut PluginFold { plugin, now });
        let rows = rows.map_err(|refused| fault(refused, plugin))?;
        let deltas = self.aggregation.cut().map_err(|error| error.to_string())?;
        let exchange = self.upstreams.clone().map(|heard| remember(&Remembered::Behind(heard)));
        Ok((rows, StateDeltas { deltas, owner: self.owner.clone(), exchange }))
    }

    /// Joins states that were made before an exchange, by this version of the plugin or another: all or none.
    pub(super) fn merge(
        &mut self,
        states: &RecordBatch,
        plugin: &mut Aggregate,
        now: BatchTime,
        metrics: &TaskMetrics,
    ) -> Result<(), String> {
        let states = carried::partial(states, &self.states, &self.plan, plugin, now)?;
        self.is_new = true;
        let late = self.aggregation.merge(&states, &mut PluginFold { plugin, now });
        metrics.late_rows.increment(late.map_err(|refused| fault(refused, plugin))?);
        Ok(())
    }

    /// Takes note of how far a task before the exchange has come.
    pub(super) fn hear(&mut self, heading: &Heading) {
        let Some(upstreams) = &mut self.upstreams else { return };
        upstreams.hear(heading);
        self.idle_words.hear(heading, Instant::now());
        let before = self.aggregation.watermark_us();
        if let Some(watermark_us) = upstreams.watermark_us() {
            self.aggregation.advance(watermark_us);
        }
        self.is_new |= self.aggregation.watermark_us() != before;
    }

    /// Groups, and about how many bytes of memory they take.
    pub(super) fn size(&self) -> (usize, usize) {
        let (groups, seen) = self.aggregation.tables();
        let bytes = |table: &state::Table| table.keys.memory_bytes() + table.values.memory_bytes();
        (groups.keys.len(), bytes(groups) + seen.map_or(0, state::Seen::memory_bytes))
    }

    /// Moves event time on where nothing new has come for long enough, and the broker says that nothing is there up to `position`.
    /// Returns whether that makes groups complete, and when to look again.
    pub(super) fn look_idle(&mut self, position: i64, resources: &Resources) -> (bool, Option<Instant>) {
        // Behind an exchange more may be on its way.
        let until = match &self.upstreams {
            None => None,
            Some(upstreams) => match upstreams.idle_until(&self.idle_words) {
                None => return (false, None),
                until => until,
            },
        };
        let (Some(idle_after), Some(from)) = (self.plan.idle_after, self.moves_from_us) else { return (false, None) };
        let (idle, look) = self.idle.look(idle_after, position, resources);
        let most = until.map_or(Duration::MAX, |until| until.saturating_duration_since(self.idle.since));
        let moved = idle.map(|idle| from.saturating_add(micros(idle.min(most))));
        (moved.is_some_and(|moved| self.aggregation.advance(moved)), look)
    }
}

impl StateDeltas {
    /// Writes the state's files; returns what the COMMIT has to say of them.
    pub(super) async fn keep(self, log: &mut TaskLog) -> Result<crate::commit::CommittedState, LogError> {
        let Self { deltas, owner, exchange } = self;
        let Deltas { watermark_us, over_us, allowed_lateness_us, .. } = deltas;
        let tables = [(GROUPS, deltas.groups), (SEEN, deltas.seen)];
        let mut changes = Vec::new();
        for (table, delta) in tables.into_iter().filter_map(|(table, delta)| Some((table, delta?))) {
            let owner = owner.clone();
            // Off the threads that uploads run on.
            let encoded = tokio::task::spawn_blocking(move || change(table, delta, &owner)).await;
            let encoded = encoded.map_err(|error| error.to_string());
            let encoded = encoded.and_then(|change| change.map_err(|error| error.to_string()));
            changes.push(encoded.map_err(|reason| log.unwritable_state(table, reason))?);
        }
        let kept = log.keep_state(watermark_us, changes).await?;
        Ok(crate::commit::CommittedState { over_us, allowed_lateness_us, exchange, ..kept })
    }

    /// Of a task before an exchange.
    pub(super) fn sent(deltas: Deltas, remembered: &Remembered) -> Self {
        Self { deltas, owner: String::new(), exchange: Some(remember(remembered)) }
    }
}

/// Why rows aren't taken.
pub fn refusal(refused: Refused<ApplyError>, plugin: &Aggregate) -> Refusal {
    let plugin = std::sync::Arc::clone(plugin.plugin());
    match refused {
        Refused::Row(reason) => Refusal::Row { stage: "aggregate", reason, plugin: Some(plugin) },
        Refused::Fold(error) => Refusal::Broke(plugin, error),
    }
}

/// Why a task can't go on, where no row is to blame.
pub fn fault(refused: Refused<ApplyError>, plugin: &Aggregate) -> String {
    match refused {
        Refused::Row(reason) => reason,
        Refused::Fold(error) => format!("{}: {error}", plugin.plugin().path.display()),
    }
}

fn remember(remembered: &Remembered) -> Box<serde_json::Value> {
    // Maps by strings, numbers and flags: there is nothing that JSON can't say.
    Box::new(serde_json::to_value(remembered).expect("what is remembered is JSON"))
}

/// Writes what has changed of a table.
pub(crate) fn change(table: &'static str, Delta { kept, file }: Delta, owner: &str) -> Result<StateChange, FileError> {
    let encode =
        |rows: RecordBatch| Ok::<(Bytes, u64), FileError>((state::encode(&rows, owner)?, rows.num_rows() as u64));
    Ok(StateChange { table, kept, file: file.map(encode).transpose()? })
}

/// The files of a state, for an aggregation; the path of one that doesn't fit.
pub(crate) fn read(
    aggregation: &Aggregation,
    owner: &str,
    stored: &StoredState,
) -> Result<Restored, (String, FileError)> {
    let (groups, seen) = aggregation.tables();
    let committed = &stored.committed;
    let mut restored = Restored {
        watermark_us: committed.watermark_us,
        over_us: committed.over_us,
        allowed_lateness_us: committed.allowed_lateness_us,
        ..Restored::default()
    };
    for (file, content) in committed.files.iter().zip(&stored.files) {
        let (files, schema) = match (file.table.as_str(), seen) {
            (SEEN, Some(seen)) => (&mut restored.seen, seen.file_schema()),
            _ => (&mut restored.groups, groups.file_schema()),
        };
        let batches = state::decode(content.clone(), owner, schema);
        files.push(batches.map_err(|error| (file.path.clone(), error))?);
    }
    Ok(restored)
}
