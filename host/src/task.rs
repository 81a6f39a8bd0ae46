//! One partition of one pipeline, from source to commit.
//!
//! What never happens: a task never waits for another, and never touches another's files; it never blocks on the store or
//! on Kafka (uploads and commits run on tokio while it goes on with the next epoch); rows that a COMMIT doesn't account for
//! are never seen by a reader.

mod aggregate;
mod before;
mod behind;
mod epoch;
mod failures;
mod folding;
mod gap;
mod idle;
mod plan;
mod probation;
mod recent;
mod staging;
mod swap;
mod taking;
pub(crate) mod version;

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::Thread;
use std::time::{Duration, Instant, SystemTime};

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::batch::{Messages, RecordBatch, Rejection};
use crate::commit::{LogError, Stage, Store, StoredState, TaskLog};
use crate::encode::{EncodeError, Output, TargetWriter};
use crate::metrics::TaskMetrics;
use crate::plugin::{BatchTime, Plugins, Refusal};
use crate::source::{KafkaMessages, PartitionQueue, TopicPartition};

use epoch::Epoch;
use folding::Folding;
use swap::{Tools, Turn};

pub use aggregate::{GROUPS, PluginFold, SEEN, fault, owner, refusal};
#[cfg(test)]
pub(crate) use aggregate::{change, read};
pub use failures::Failure;
pub use gap::LastBatch;
pub use plan::{AggregatePlan, ExchangePlan, OpenAggregate, Plan, Side, Trigger};
pub use probation::{Probation, ProbationLimits, Stats, Trial, is_slower};
pub use recent::Recent;
pub use version::{OpenPlugins, Version};

/// A batch is cut at this many bytes of keys and values, unless a single message is larger.
const BATCH_BYTES: usize = 16 << 20;
/// How long a message may wait for others to share its batch.
const LINGER: Duration = Duration::from_millis(10);

/// How soon to look again for what nobody tells.
const LOOK: Duration = Duration::from_millis(20);

/// What others may see of a task while it runs.
#[derive(Debug, Default)]
pub struct Progress {
    /// The offset after the last one whose rows every reader sees.
    pub committed: AtomicI64,
    /// The offset after the last message taken.
    pub position: AtomicI64,
}

/// Why a task ends before it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// It shall begin anew from its last COMMIT: fenced, the store was away for too long, an offset is gone.
    #[error("{0}")]
    Again(String),
    /// It shall begin anew from its last COMMIT at once, with the version of its pipeline that is live now.
    #[error("{0}")]
    Swapped(String),
    /// The pipeline can't go on. Nothing is lost: the commit log says how far it came.
    #[error("{0}")]
    Fatal(String),
}

/// What a step of a task came to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Stepped {
    /// There may be more to do at once.
    Worked,
    /// It goes on with another version of its pipeline.
    Swapped,
    /// Nothing to do before this time, unless the thread is unparked.
    Idle(Option<Instant>),
    /// The task was asked to finish, and all it had is committed.
    Finished,
}

/// Told how far a task has come.
pub type Acknowledge = Arc<dyn Fn(&TopicPartition, i64) + Send + Sync>;

/// Where each partition is to be caught up with, once that is known.
pub type Targets = Arc<OnceLock<HashMap<TopicPartition, i64>>>;

/// What a task needs beside its plan.
pub struct Resources {
    /// Where tables and control files go.
    pub store: Store,
    /// Where uploads and commits run.
    pub runtime: Handle,
    /// Told the offset after each COMMIT.
    pub acknowledge: Acknowledge,
    /// Read by the supervisor.
    pub progress: Arc<Progress>,
    /// That of the partition, whichever task it went through.
    pub last_batch: Arc<LastBatch>,
    /// Commit at once when the partition's offset is reached; `None`: go on for ever.
    pub targets: Option<Targets>,
    /// Asks the broker for the offset after the partition's last message; `None`: it doesn't answer. Blocks.
    pub end_offset: Arc<dyn Fn() -> Option<i64> + Send + Sync>,
}

/// One partition of one pipeline.
pub struct Task {
    version: Arc<Version>,
    /// What it goes on with after this epoch.
    next: Option<Arc<Version>>,
    /// That of `version`.
    plan: Arc<Plan>,
    resources: Resources,
    queue: PartitionQueue,
    /// Taken, and not decoded yet.
    pending: KafkaMessages,
    pending_since: Option<Instant>,
    /// The offset after all that was taken.
    position: i64,
    tools: Tools,
    /// What becomes of rows in the place of being written, where they are aggregated.
    folding: Option<Folding>,
    /// Told when the schemas are known that were lacking.
    schemas: Option<oneshot::Receiver<()>>,
    outputs: Vec<Output>,
    stage: Stage,
    epoch: Epoch,
    generation: u32,
    log: LogAt,
    finishing: bool,
    /// It has begun a batch.
    has_worked: bool,
    metrics: TaskMetrics,
}

/// Where the commit log is: with one epoch deciding at most, COMMIT n + 1 never overtakes n.
enum LogAt {
    Here(Box<TaskLog>),
    Deciding { began: Instant, answer: oneshot::Receiver<Result<Box<TaskLog>, LogError>> },
    Gone,
}

impl Task {
    /// A task that has been claimed: it begins where its log says.
    pub fn new(
        version: Arc<Version>,
        resources: Resources,
        queue: PartitionQueue,
        log: TaskLog,
        state: Option<StoredState>,
    ) -> Result<Self, TaskError> {
        let plan = Arc::clone(&version.plan);
        let partition = queue.partition.clone();
        let start = log.next_offset();
        let folder = crate::commit::folder(&plan.pipeline, &partition.topic, partition.partition);
        let folding = plan.aggregate.as_ref().map(|plan| Folding::new(plan, &partition, &folder, state));
        let folding = folding.transpose().map_err(|error| version.at_fault(error))?;
        let stage = Stage::new(resources.store.clone(), folder, log.attempt().to_owned(), resources.runtime.clone());
        resources.progress.committed.store(start, Ordering::Release);
        let metrics = TaskMetrics::new(&plan.pipeline, &partition.topic, partition.partition);
        metrics.committed_offset.set(start as f64);
        Ok(Self {
            metrics,
            pending: KafkaMessages::new(partition),
            pending_since: None,
            position: start,
            tools: Tools::new(&plan).map_err(|error| version.at_fault(error))?,
            folding,
            schemas: None,
            outputs: Vec::new(),
            stage,
            epoch: Epoch::new(start, log.next_file()),
            generation: log.generation(),
            log: LogAt::Here(Box::new(log)),
            finishing: false,
            has_worked: false,
            queue,
            plan,
            version,
            next: None,
            resources,
        })
    }

    /// Which partition.
    pub fn partition(&self) -> &TopicPartition {
        &self.queue.partition
    }

    /// The version of its pipeline that it works by.
    pub fn version(&self) -> &Arc<Version> {
        &self.version
    }

    /// Unparks `thread` when messages come. Step once after calling this.
    pub fn wake(&mut self, thread: Thread) {
        self.queue.wake(thread);
    }

    /// Asks it to take nothing more and to commit what it has: steps until [`Stepped::Finished`].
    pub fn finish(&mut self) {
        self.finishing = true;
        // What is taken and not processed is not ours to account for.
        self.pending.clear();
        self.pending_since = None;
        self.schemas = None;
        self.position = self.epoch.end;
    }

    /// Does what there is to do: at most one batch. `plugins` are the worker's, for this pipeline.
    pub fn step(&mut self, plugins: &mut Plugins) -> Result<Stepped, TaskError> {
        self.hear_of_commit()?;
        match self.turn(plugins)? {
            Turn::No => {}
            Turn::Done => return Ok(Stepped::Swapped),
            Turn::Waits => return Ok(Stepped::Idle(None)),
        }
        let taken = self.take()?;
        let now = Instant::now();
        let full = self.pending.len() >= self.plan.batch_rows || self.pending.bytes() >= BATCH_BYTES;
        let batch_due = self.pending_since.map(|since| since + LINGER);
        let complete = full || self.is_at_target() || batch_due.is_some_and(|due| due <= now);
        if !self.pending.is_empty() && complete && self.has_schemas()? {
            self.batch_begins(now);
            self.process(plugins)?;
            self.batch_ended();
            return Ok(Stepped::Worked);
        }
        // What waits for schemas is woken when they come.
        let batch_due = batch_due.filter(|_| self.schemas.is_none());
        if self.pending.is_empty() && self.position > self.epoch.end {
            // Offsets that hold no message for us count as done.
            self.epoch.end = self.position;
            self.epoch.since.get_or_insert(now);
        }
        if self.is_due(now) && matches!(self.log, LogAt::Here(_)) {
            self.commit(plugins)?;
            return Ok(Stepped::Worked);
        }
        if self.finishing && self.epoch.is_empty() && matches!(self.log, LogAt::Here(_)) {
            return Ok(Stepped::Finished);
        }
        if taken > 0 {
            return Ok(Stepped::Worked);
        }
        let look_idle = match &mut self.folding {
            Some(folding) if self.pending.is_empty() => {
                // The last offsets of a transactional topic hold no message.
                let position = self.position.max(self.queue.position().unwrap_or_default());
                let is_committed = self.epoch.since.is_none() && matches!(self.log, LogAt::Here(_));
                let (complete, look) = folding.look_idle(position, is_committed, &self.resources);
                if complete {
                    self.epoch.since.get_or_insert(now);
                }
                look
            }
            _ => None,
        };
        let deciding = matches!(self.log, LogAt::Deciding { .. });
        let epoch_due = self.epoch.since.filter(|_| !deciding).map(|since| since + self.plan.trigger.every);
        // Nobody tells when an upload has made room.
        let room = self.stage.is_full().then(|| now + LOOK);
        // Nor when the partition's last offsets turn out to hold no message.
        let end = self.resources.targets.as_ref().filter(|_| !self.is_at_target()).map(|_| now + LOOK);
        Ok(Stepped::Idle([batch_due, epoch_due, room, end, look_idle].into_iter().flatten().min()))
    }

    /// The way of the data: messages, rows, rows as plugins make them, bytes of files.
    fn process(&mut self, plugins: &mut Plugins) -> Result<(), TaskError> {
        // Plugins log within it.
        let _named =
            tracing::info_span!("task", pipeline = %self.plan.pipeline, partition = %self.queue.partition).entered();
        if self.plan.side() == Some(Side::Behind) {
            return self.process_chunks(plugins);
        }
        let messages = &self.pending;
        let decoded = self.tools.decoder.decode(messages);
        for rejection in &decoded.rejected {
            self.tools.dead.push(messages, rejection.row as usize, "decode", &rejection.reason, None);
        }

        let (mut dead, now) = (Vec::new(), batch_time(messages));
        let (writers, folding, metrics) = (&self.tools.writers, &mut self.folding, &self.metrics);
        let mut take = |table: usize, batch: &_| match (table, &mut *folding, &mut plugins.aggregate) {
            (0, Some(folding), Some(aggregate)) => folding.fold(batch, aggregate, now, metrics),
            _ => check(writers, table, batch),
        };
        let tables = self.version.apply(&mut plugins.chain, &decoded.rows, now, &mut take, &mut dead);
        self.keep_failures(plugins, tables.is_err());
        let tables = tables.map_err(|error| self.stopped(error))?;
        for letter in &dead {
            self.tools.dead.push(
                messages,
                letter.message as usize,
                &letter.stage,
                &letter.reason,
                letter.plugin.as_deref(),
            );
        }

        // Rows that were folded come out of their groups.
        let folded = usize::from(self.folding.is_some());
        for (index, batches) in tables.iter().enumerate().skip(folded) {
            self.write(index, batches)?;
        }
        let skipped = u64::from(decoded.skipped);
        self.version.recent.push(&decoded.rows, now);
        self.processed(skipped)
    }

    /// Writes what is left of messages whose rows have gone their way, and accounts for them.
    fn processed(&mut self, skipped: u64) -> Result<(), TaskError> {
        let taken = self.folding.as_mut().map(Folding::take).transpose().map_err(|error| self.unwritten(&error))?;
        if let Some((table, rows)) = taken.flatten() {
            self.write_fitting(table, &rows, self.position - 1)?;
        }
        self.write_dead_letters()?;

        self.epoch.skipped += skipped;
        self.epoch.end = self.position;
        self.epoch.since.get_or_insert(self.pending_since.unwrap_or_else(Instant::now));
        self.metrics.messages.increment(self.pending.len() as u64);
        self.metrics.message_bytes.increment(self.pending.bytes() as u64);
        self.metrics.skipped.increment(skipped);
        self.pending.clear();
        self.pending_since = None;
        Ok(())
    }

    /// Writes rows to a table, if it goes anywhere.
    fn write(&mut self, table: usize, batches: &[RecordBatch]) -> Result<(), TaskError> {
        for batch in batches {
            let Some(writer) = &mut self.tools.writers[table] else { break };
            let written = writer.write(batch, &mut self.outputs);
            written.map_err(|error| self.unwritten(&error))?;
            self.stage_outputs(table);
            self.metrics.rows.increment(batch.num_rows() as u64);
        }
        Ok(())
    }

    /// Ends the epoch: closes its files, and leaves uploading, deciding and publishing to tokio.
    fn commit(&mut self, plugins: &mut Plugins) -> Result<(), TaskError> {
        self.version.commits()?;
        let LogAt::Here(mut log) = std::mem::replace(&mut self.log, LogAt::Gone) else { return Ok(()) };
        let state = self.give_out(plugins).inspect_err(|_| self.keep_failures(plugins, true))?;
        let metadata = self.plan.footer();
        for index in 0..=self.tools.writers.len() {
            let writer = match self.tools.writers.get_mut(index) {
                Some(None) => continue,
                Some(Some(writer)) => writer,
                None => &mut self.tools.dead_writer,
            };
            let finished = writer.finish(&metadata, &mut self.outputs);
            finished.map_err(|error| self.unwritten(&error))?;
            self.stage_outputs(index);
        }
        let following = self.epoch.following();
        let epoch = std::mem::replace(&mut self.epoch, following);
        let staged = self.stage.take();
        let (plan, partition) = (Arc::clone(&self.plan), self.queue.partition.clone());
        let acknowledge = Arc::clone(&self.resources.acknowledge);
        let (tell, answer) = oneshot::channel();
        let thread = std::thread::current();
        self.resources.runtime.spawn(async move {
            let decided = async {
                let mut commit = epoch.decide(staged.finish().await?, &plan);
                if let Some(state) = state {
                    commit.state = Some(state.keep(&mut log).await?);
                }
                log.commit(commit, |end| acknowledge(&partition, end)).await?;
                Ok(log)
            };
            // Where nobody listens the task has been dropped, and what it decided stands all the same.
            let _ = tell.send(decided.await);
            thread.unpark();
        });
        self.log = LogAt::Deciding { began: Instant::now(), answer };
        Ok(())
    }

    fn is_at_target(&self) -> bool {
        self.target().is_some_and(|target| self.position >= target)
    }

    fn target(&self) -> Option<i64> {
        self.resources.targets.as_ref()?.get()?.get(&self.queue.partition).copied()
    }

    fn is_due(&self, now: Instant) -> bool {
        let Some(since) = self.epoch.since else { return false };
        let caught_up = self.pending.is_empty() && self.is_at_target();
        self.finishing || caught_up || now >= since + self.plan.trigger.every || self.is_over_full()
    }

    /// Whether size or rows say that the epoch ends: past that it takes nothing more, even while the one before is deciding.
    fn is_over_full(&self) -> bool {
        let writers = || self.tools.writers.iter().flatten().chain([&self.tools.dead_writer]);
        let rows: u64 = writers().map(TargetWriter::open_rows).sum();
        rows >= self.plan.trigger.rows || writers().any(|writer| writer.largest_file_bytes() >= self.plan.trigger.bytes)
    }

    fn unwritten(&self, error: &EncodeError) -> TaskError {
        TaskError::Fatal(format!("{} from offset {}: {error}", self.queue.partition, self.epoch.end))
    }
}

/// Whether a table can take rows.
pub fn check(writers: &[Option<TargetWriter>], table: usize, batch: &RecordBatch) -> Result<(), Refusal> {
    let refused = |Rejection { reason, .. }| Refusal::Row { stage: "sink", reason, plugin: None };
    writers[table].as_ref().map_or(Ok(()), |writer| writer.check(batch).map_err(refused))
}

/// The time that plugins see: of the batch's last message, so that doing it again gives the same.
pub fn batch_time(messages: &impl Messages) -> BatchTime {
    let last = messages.len().checked_sub(1);
    let milliseconds = last.and_then(|last| messages.timestamp_ms(last)).unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        i64::try_from(now.as_millis()).unwrap_or_default()
    });
    BatchTime { timestamp_ms: milliseconds, seed: last.map_or(0, |last| messages.offset(last) as u64) }
}
