//! The groups of a task: what it folds rows into, gives out, and writes down to go on from.

use std::time::Instant;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::plan::AggregatePlan;
use super::{Resources, TaskError};
use crate::batch::{RecordBatch, Rejection};
use crate::commit::{LogError, StateChange, StoredState, TaskLog};
use crate::metrics::TaskMetrics;
use crate::plugin::{Aggregate, ApplyError, BatchTime, Refusal};
use crate::state::{self, Delta, FileError};
use crate::window::{Aggregation, Deltas, Fold, Refused, Restored, WindowOptions, micros};

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
}

/// Whether a partition has nothing new, and since when.
struct Idle {
    /// When its last message came, and the watermark after it.
    since: Instant,
    watermark_us: Option<i64>,
    /// The broker was asked where the partition ends, and when that was.
    asked: Option<(Instant, oneshot::Receiver<Option<i64>>)>,
    /// Until when the broker has nothing to be asked.
    next: Instant,
}

/// What an epoch changes in the state.
pub(super) struct StateDeltas {
    deltas: Deltas,
    owner: String,
}

/// The plugin, at one moment.
pub(super) struct PluginFold<'a> {
    pub(super) plugin: &'a mut Aggregate,
    pub(super) now: BatchTime,
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
    /// A state of other columns or another task: it isn't begun anew without being told.
    pub(super) fn new(plan: &AggregatePlan, folder: &str, stored: Option<StoredState>) -> Result<Self, TaskError> {
        let odd = |error: arrow::error::ArrowError| TaskError::Fatal(format!("{folder}: {error}"));
        let mut aggregation = Aggregation::new(&plan.window, &plan.rows, &plan.state).map_err(odd)?;
        let owner = owner(folder, &plan.window);
        if let Some(stored) = stored {
            let restored = read(&aggregation, &owner, &stored).map_err(|(path, error)| {
                TaskError::Fatal(format!(
                    "state {folder}/{path}: {error}. Put configuration and plugin back as they were, give the pipeline another \
                     name, or move {folder} away to begin anew with nothing"
                ))
            })?;
            aggregation.restore(&restored).map_err(odd)?;
        }
        let idle = Idle {
            since: Instant::now(),
            watermark_us: aggregation.watermark_us(),
            asked: None,
            next: Instant::now() + plan.idle_after.unwrap_or_default(),
        };
        Ok(Self { aggregation, plan: plan.clone(), owner, late: Vec::new(), idle })
    }

    /// Folds rows: all or none.
    pub(super) fn fold(
        &mut self,
        rows: &RecordBatch,
        plugin: &mut Aggregate,
        now: BatchTime,
        metrics: &TaskMetrics,
    ) -> Result<(), Refusal> {
        let folded = self.aggregation.fold(rows, &mut PluginFold { plugin, now }).map_err(|refused| match refused {
            Refused::Row(reason) => {
                Refusal::Row { stage: "aggregate", reason, plugin: Some(std::sync::Arc::clone(plugin.plugin())) }
            }
            Refused::Fold(error) => Refusal::Broke(std::sync::Arc::clone(plugin.plugin()), error),
        })?;
        metrics.duplicates.increment(folded.duplicates);
        if let Some(late) = folded.late {
            metrics.late_rows.increment(late.num_rows() as u64);
            self.late.push(late);
        }
        Ok(())
    }

    /// Takes note that messages came; returns the rows of theirs that were late, and which table they go to.
    pub(super) fn take_late(&mut self) -> Option<(usize, Vec<RecordBatch>)> {
        self.idle.since = Instant::now();
        self.idle.watermark_us = self.aggregation.watermark_us();
        self.idle.asked = None;
        let late = std::mem::take(&mut self.late);
        self.plan.late.map(|table| (table, late))
    }

    /// Ends an epoch: rows of groups that are complete or have changed, and what has to be written.
    ///
    /// The plugin's clock stands where the watermark is, however late the epoch ends.
    pub(super) fn end_epoch(&mut self, plugin: &mut Aggregate) -> Result<(Vec<RecordBatch>, StateDeltas), String> {
        let at = self.aggregation.watermark_us().unwrap_or_default();
        let now = BatchTime { timestamp_ms: at.div_euclid(1000), seed: at as u64 };
        let rows = self.aggregation.finish(&mut PluginFold { plugin, now }).map_err(|refused| match refused {
            Refused::Row(reason) => reason,
            Refused::Fold(error) => format!("{}: {error}", plugin.plugin().path.display()),
        })?;
        let deltas = self.aggregation.cut().map_err(|error| error.to_string())?;
        Ok((rows, StateDeltas { deltas, owner: self.owner.clone() }))
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
        let (Some(idle_after), Some(watermark_us)) = (self.plan.idle_after, self.idle.watermark_us) else {
            return (false, None);
        };
        let now = Instant::now();
        if let Some((asked_at, answer)) = &mut self.idle.asked {
            let ended = match answer.try_recv() {
                Err(oneshot::error::TryRecvError::Empty) => return (false, Some(now + super::LOOK)),
                Err(oneshot::error::TryRecvError::Closed) => None,
                Ok(end) => end,
            };
            let asked_at = *asked_at;
            self.idle.asked = None;
            self.idle.next = now + idle_after;
            if ended == Some(position) {
                let moved = watermark_us.saturating_add(micros(asked_at - self.idle.since));
                return (self.aggregation.advance(moved), Some(self.idle.next));
            }
        }
        let due = self.idle.next.max(self.idle.since + idle_after);
        if now < due {
            return (false, Some(due));
        }
        let (tell, answer) = oneshot::channel();
        let end_offset = std::sync::Arc::clone(&resources.end_offset);
        let thread = std::thread::current();
        resources.runtime.spawn_blocking(move || {
            // Nobody listens: the task has gone.
            let _ = tell.send(end_offset());
            thread.unpark();
        });
        self.idle.asked = Some((now, answer));
        (false, Some(now + super::LOOK))
    }
}

impl StateDeltas {
    /// Writes the state's files; returns what the COMMIT has to say of them.
    pub(super) async fn keep(self, log: &mut TaskLog) -> Result<crate::commit::CommittedState, LogError> {
        let Self { deltas, owner } = self;
        let watermark_us = deltas.watermark_us;
        let tables = [(GROUPS, deltas.groups), (SEEN, deltas.seen)];
        // Off the threads that uploads run on.
        let encoded = tokio::task::spawn_blocking(move || {
            let changes = tables.into_iter().filter_map(|(table, delta)| Some((table, delta?)));
            changes.map(|(table, delta)| change(table, delta, &owner)).collect::<Result<Vec<_>, FileError>>()
        });
        let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
            LogError::Store(object_store::Error::Generic { store: "state", source: error })
        };
        let changes = encoded.await.map_err(|error| failed(error.into()))?.map_err(|error| failed(error.into()))?;
        log.keep_state(watermark_us, changes).await
    }
}

fn change(table: &'static str, Delta { kept, file }: Delta, owner: &str) -> Result<StateChange, FileError> {
    let encode =
        |rows: RecordBatch| Ok::<(Bytes, u64), FileError>((state::encode(&rows, owner)?, rows.num_rows() as u64));
    Ok(StateChange { table, kept, file: file.map(encode).transpose()? })
}

/// The files of a state, for an aggregation; the path of one that doesn't fit.
fn read(aggregation: &Aggregation, owner: &str, stored: &StoredState) -> Result<Restored, (String, FileError)> {
    let (groups, seen) = aggregation.tables();
    let mut restored = Restored { watermark_us: stored.committed.watermark_us, ..Restored::default() };
    for (file, content) in stored.committed.files.iter().zip(&stored.files) {
        let (files, schema) = match (file.table.as_str(), seen) {
            (SEEN, Some(seen)) => (&mut restored.seen, seen.file_schema()),
            _ => (&mut restored.groups, groups.file_schema()),
        };
        let batches = state::decode(content.clone(), owner, schema);
        files.push(batches.map_err(|error| (file.path.clone(), error))?);
    }
    Ok(restored)
}
