//! One pipeline that runs: its consumer, its tasks, and how it ends.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::status::{PipelineStatus, State, TaskStatus};
use super::{Surroundings, connect};
use crate::commit::{LogError, LogOptions, StoredState, TaskLog, folder};
use crate::plugin::{PluginError, Plugins};
use crate::sink::Sink;
use crate::source::{Consumer, Offsets, Owner, PartitionQueue, SourceError, TopicPartition};
use crate::task::{LastBatch, Progress, Resources, Targets, Task, TaskError, Version};

/// How long a partition that goes may take to commit what it has. Well below Kafka's `max.poll.interval.ms`.
const GRACE: Duration = Duration::from_secs(60);
/// Before a task that could not go on begins anew.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest such pause: they double until the task commits again.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// What makes one part of a pipeline: before an exchange, behind it, or all of it where there is none.
pub(super) struct Part {
    pub(super) version: Arc<Version>,
    /// Its groups may be in no more than one partition.
    pub(super) one_partition: bool,
    pub(super) log: LogOptions,
    pub(super) sink: Sink,
    pub(super) consumer: Consumer,
    /// Where each partition is to be caught up with; `None` for a pipeline that runs on.
    pub(super) targets: Option<Targets>,
    /// The part before the exchange that this one reads.
    pub(super) before: Option<Arc<Running>>,
    /// Why the pipeline can't go on: no part of it.
    pub(super) failure: Arc<OnceLock<String>>,
}

/// One pipeline that runs, or one part of it.
pub struct Running {
    name: String,
    /// What tasks begin with. One that failed on probation has failed for good: see [`Running::version`].
    version: Mutex<Arc<Version>>,
    one_partition: bool,
    log: LogOptions,
    sink: Sink,
    around: Surroundings,
    consumer: Mutex<Consumer>,
    offsets: Offsets,
    targets: Option<Targets>,
    before: Option<Arc<Running>>,
    tasks: Mutex<HashMap<TopicPartition, Held>>,
    /// Told whenever a task has ended.
    ended: Condvar,
    stopping: AtomicBool,
    failure: Arc<OnceLock<String>>,
    /// Which worker takes the next task.
    turn: AtomicUsize,
    this: Weak<Self>,
}

/// A partition that this instance holds.
struct Held {
    progress: Arc<Progress>,
    last_batch: Arc<LastBatch>,
    /// The worker that has the task; `None` while there is none.
    worker: Option<usize>,
    /// When to begin anew, and how long the pause after that is.
    again: Option<Instant>,
    pause: Duration,
    /// What was committed when it last began: progress resets the pause.
    began_at: i64,
}

/// A version that nothing keeps a part from going on with.
struct Ready {
    version: Arc<Version>,
    /// For each worker that has tasks of the part.
    plugins: Vec<Plugins>,
}

/// Has all parts of a pipeline go on with other versions, or none.
///
/// # Errors
/// A plugin fails in `open` that didn't before: nothing has changed.
pub(super) fn swap_all(parts: &[Arc<Running>], versions: impl Iterator<Item = Version>) -> Result<(), PluginError> {
    let ready = parts.iter().zip(versions).map(|(part, version)| part.ready(version));
    let ready = ready.collect::<Result<Vec<_>, _>>()?;
    parts.iter().zip(ready).for_each(|(part, ready)| part.swap(ready));
    Ok(())
}

impl Running {
    pub(super) fn new(part: Part, around: &Surroundings) -> Arc<Self> {
        let Part { version, one_partition, log, sink, consumer, targets, before, failure } = part;
        Arc::new_cyclic(|this| Self {
            name: version.plan.pipeline.clone(),
            version: Mutex::new(version),
            one_partition,
            log,
            sink,
            around: around.clone(),
            offsets: consumer.offsets(),
            consumer: Mutex::new(consumer),
            targets,
            before,
            tasks: Mutex::default(),
            ended: Condvar::new(),
            stopping: AtomicBool::new(false),
            failure,
            turn: AtomicUsize::new(0),
            this: this.clone(),
        })
    }

    /// Joins the group.
    pub(super) fn join(&self) -> Result<(), SourceError> {
        let Some(this) = self.this.upgrade() else { return Ok(()) };
        metrics::gauge!(crate::metrics::PIPELINE_UP, "pipeline" => self.name().to_owned()).set(1.0);
        lock(&self.consumer).join(this)
    }

    /// The pipeline's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The version that its tasks begin with: where that on probation has failed, the one before it.
    pub fn version(&self) -> Arc<Version> {
        let mut version = lock(&self.version);
        if version.failure().is_some()
            && let Some(back) = version.back()
        {
            *version = back;
        }
        Arc::clone(&version)
    }

    /// Makes what its tasks need to go on with another version, before anything waits for it.
    fn ready(&self, version: Version) -> Result<Ready, PluginError> {
        let count = lock(&self.tasks).values().filter_map(|held| held.worker).collect::<BTreeSet<_>>().len();
        let plugins = (0..count).map(|_| (version.open)()).collect::<Result<Vec<_>, _>>()?;
        Ok(Ready { version: Arc::new(version), plugins })
    }

    /// Has all its tasks go on with another version, each after the epoch at hand.
    fn swap(&self, Ready { version, mut plugins }: Ready) {
        // No task starts meanwhile.
        let tasks = lock(&self.tasks);
        *lock(&self.version) = Arc::clone(&version);
        let mut of_worker: BTreeMap<usize, Vec<TopicPartition>> = BTreeMap::new();
        for (partition, held) in tasks.iter() {
            if let Some(worker) = held.worker {
                of_worker.entry(worker).or_default().push(partition.clone());
            }
        }
        for (worker, partitions) in of_worker {
            self.around.workers[worker].swap(partitions, Arc::clone(&version), plugins.pop());
        }
    }

    /// Whether it has nothing more to do: failed, or caught up.
    pub fn is_over(&self) -> bool {
        self.failure.get().is_some() || self.is_caught_up()
    }

    /// What it is at.
    pub fn status(&self) -> PipelineStatus {
        let state = match self.failure.get() {
            Some(reason) => State::Failed(reason.clone()),
            None if self.is_caught_up() => State::CaughtUp,
            None if self.stopping.load(Ordering::Relaxed) => State::Stopped,
            None => State::Running,
        };
        let tasks = lock(&self.tasks);
        let mut tasks: Vec<TaskStatus> = tasks
            .iter()
            .map(|(partition, held)| TaskStatus {
                topic: partition.topic.clone(),
                partition: partition.partition,
                committed: held.progress.committed.load(Ordering::Acquire),
                position: held.progress.position.load(Ordering::Relaxed),
            })
            .collect();
        tasks.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
        let version = self.version();
        PipelineStatus {
            pipeline: self.name().to_owned(),
            state,
            plugins: version.plan.plugins.clone(),
            on_probation: version.back().is_some(),
            tasks,
        }
    }

    /// Gives all partitions back, which commits what they have, and leaves the group. Whoever asks a second time waits for that, too:
    /// the workers must not end before.
    pub(super) fn stop(&self) {
        let mut consumer = lock(&self.consumer);
        if !self.stopping.swap(true, Ordering::Relaxed) {
            consumer.stop();
            metrics::gauge!(crate::metrics::PIPELINE_UP, "pipeline" => self.name().to_owned()).set(0.0);
        }
    }

    fn is_caught_up(&self) -> bool {
        let Some(targets) = self.known_targets() else { return false };
        let tasks = lock(&self.tasks);
        let reached = |partition: &TopicPartition, target: i64| {
            tasks.get(partition).is_some_and(|held| held.progress.committed.load(Ordering::Acquire) >= target)
        };
        let open: Vec<(&TopicPartition, i64)> = targets
            .iter()
            .map(|(partition, target)| (partition, *target))
            .filter(|(partition, target)| !reached(partition, *target))
            .collect();
        if open.is_empty() {
            return true;
        }
        if open.iter().any(|(partition, _)| tasks.contains_key(*partition)) || tasks.is_empty() {
            return false;
        }
        drop(tasks);
        // What is left is another instance's: Kafka's book tells how far it has come.
        let partitions: Vec<TopicPartition> = open.iter().map(|(partition, _)| (*partition).clone()).collect();
        self.offsets.committed(&partitions).is_ok_and(|committed| {
            let pairs = committed.iter().zip(&open);
            pairs.into_iter().all(|(committed, (_, target))| committed.is_some_and(|offset| offset >= *target))
        })
    }

    /// Where each partition is to be caught up with. Behind an exchange that is known once all has come through it that is to come.
    fn known_targets(&self) -> Option<&HashMap<TopicPartition, i64>> {
        let targets = self.targets.as_ref()?;
        if let Some(known) = targets.get() {
            return Some(known);
        }
        if !self.before.as_ref()?.is_caught_up() {
            return None;
        }
        match connect::ends(&lock(&self.consumer)) {
            Ok(ends) => Some(targets.get_or_init(|| ends)),
            Err(error) => {
                tracing::warn!(pipeline = self.name(), %error, "asking again where the exchange ends");
                None
            }
        }
    }

    fn fail(&self, reason: String) {
        tracing::error!(pipeline = self.name(), reason, "the pipeline stops");
        // The first reason is the one to mend.
        let _ = self.failure.set(reason);
    }

    async fn claim(&self, partition: &TopicPartition) -> Result<(TaskLog, Option<StoredState>), LogError> {
        let first_offset = |logged| async move {
            let (offsets, partition) = (self.offsets.clone(), partition.clone());
            let asked = self.around.runtime.spawn_blocking(move || offsets.first(&partition, logged)).await;
            let found = asked.map_err(|error| passing(error.to_string()))?;
            found.map_err(|error| LogError::FirstOffset {
                reason: error.to_string(),
                may_pass: !matches!(error, SourceError::DataLoss { .. }),
            })
        };
        let folder = folder(self.name(), &partition.topic, partition.partition);
        let attempt = uuid::Uuid::new_v4().simple().to_string();
        let options = LogOptions { topics: Some(self.sink.task(partition)), ..self.log.clone() };
        let log = TaskLog::claim(self.around.store.clone(), folder, attempt, options, first_offset).await?;
        let state = if self.version().plan.aggregate.is_some() { log.load_state().await? } else { None };
        Ok((log, state))
    }

    /// Starts a task that has been claimed; returns where it begins.
    fn start(&self, queue: PartitionQueue, log: TaskLog, state: Option<StoredState>) -> Result<i64, TaskError> {
        let (partition, start) = (queue.partition.clone(), log.next_offset());
        if partition.partition > 0 && self.one_partition {
            return Err(TaskError::Fatal(format!(
                "{} had one partition at the start, and has {partition} now: the rows of a group may be in any of them, and the results \
                 would be wrong. Start again, so that they go through an exchange; or say exchange = \"none\" in `aggregate`, if \
                 records are in partitions by what makes the group",
                partition.topic
            )));
        }
        // Tells which entries of the commit log are this instance's.
        tracing::debug!(pipeline = self.name(), %partition, attempt = log.attempt(), start, "claimed");
        let progress = Arc::new(Progress::default());
        let offsets = self.offsets.clone();
        let acknowledge = move |partition: &TopicPartition, end| offsets.acknowledge(partition, end);
        let mut resources = Resources {
            store: self.around.store.clone(),
            runtime: self.around.runtime.clone(),
            acknowledge: Arc::new(acknowledge),
            progress: Arc::clone(&progress),
            last_batch: Arc::default(),
            end_offset: {
                let (offsets, partition) = (self.offsets.clone(), partition.clone());
                Arc::new(move || offsets.bounds(&partition).ok().map(|(_, end)| end))
            },
            targets: self.targets.clone(),
        };
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % self.around.workers.len();
        // Held until the worker has the task: a swap finds it there, or comes first.
        let mut tasks = lock(&self.tasks);
        let mut pause = FIRST_PAUSE;
        if let Some(held) = tasks.get(&partition) {
            pause = held.pause;
            resources.last_batch = Arc::clone(&held.last_batch);
        }
        let last_batch = Arc::clone(&resources.last_batch);
        let task = Task::new(self.version(), resources, queue, log, state)?;
        let held = Held { progress, last_batch, worker: Some(turn), again: None, pause, began_at: start };
        tasks.insert(partition.clone(), held);
        let this = self.this.clone();
        let ended = Box::new(move |result| {
            if let Some(this) = this.upgrade() {
                this.task_ended(&partition, result);
            }
        });
        self.around.workers[turn].add(task, ended);
        Ok(start)
    }

    fn task_ended(&self, partition: &TopicPartition, result: Result<(), TaskError>) {
        let mut tasks = lock(&self.tasks);
        if let Some(held) = tasks.get_mut(partition) {
            held.worker = None;
            match result {
                Ok(()) => {}
                Err(TaskError::Fatal(reason)) => self.fail(reason),
                Err(TaskError::Swapped(reason)) => {
                    tracing::info!(pipeline = self.name(), %partition, reason, "the task begins anew");
                    held.again = Some(Instant::now());
                }
                Err(TaskError::Again(reason)) => {
                    if held.progress.committed.load(Ordering::Acquire) > held.began_at {
                        held.pause = FIRST_PAUSE;
                    }
                    // No version is to blame for the time until it works again.
                    held.last_batch = Arc::default();
                    let pause = held.pause;
                    tracing::warn!(pipeline = self.name(), %partition, reason, ?pause, "the task begins anew");
                    metrics::counter!(crate::metrics::RESTARTS, "pipeline" => self.name().to_owned()).increment(1);
                    held.again = Some(Instant::now() + pause);
                    held.pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
        drop(tasks);
        self.ended.notify_all();
    }

    fn try_again(&self, partition: TopicPartition, reason: &str) {
        let mut tasks = lock(&self.tasks);
        let held = tasks.entry(partition.clone()).or_insert_with(|| Held {
            progress: Arc::default(),
            last_batch: Arc::default(),
            worker: None,
            again: None,
            pause: FIRST_PAUSE,
            began_at: i64::MAX,
        });
        tracing::warn!(pipeline = self.name(), %partition, reason, pause = ?held.pause, "not started; trying again");
        held.again = Some(Instant::now() + held.pause);
        held.pause = (held.pause * 2).min(LONGEST_PAUSE);
    }
}

impl Owner for Running {
    fn assigned(&self, queues: Vec<PartitionQueue>) -> Vec<(TopicPartition, i64)> {
        let claims = queues.into_iter().map(|queue| async {
            let claimed = self.claim(&queue.partition).await;
            (queue, claimed)
        });
        let claimed = self.around.runtime.block_on(futures::future::join_all(claims));
        let mut starts = Vec::with_capacity(claimed.len());
        for (queue, log) in claimed {
            let partition = queue.partition.clone();
            match log {
                Ok((log, state)) => match self.start(queue, log, state) {
                    Ok(offset) => starts.push((partition, offset)),
                    Err(TaskError::Fatal(reason)) => self.fail(reason),
                    // The next one begins with the version that is live then.
                    Err(error) => self.try_again(partition, &error.to_string()),
                },
                Err(error) if error.may_pass() => self.try_again(partition, &error.to_string()),
                Err(error) => self.fail(format!("{partition}: {error}")),
            }
        }
        starts
    }

    fn revoked(&self, partitions: &[TopicPartition], lost: bool) {
        let mut tasks = lock(&self.tasks);
        for partition in partitions {
            let Some(held) = tasks.get_mut(partition) else { continue };
            held.again = None;
            let Some(worker) = held.worker.map(|index| &self.around.workers[index]) else { continue };
            // Where the partition is lost another may have it already: its claim has fenced us, and committing is futile.
            if lost { worker.drop_task(self.name(), partition) } else { worker.finish(self.name(), partition) }
        }
        let working = |tasks: &mut HashMap<TopicPartition, Held>| {
            partitions.iter().any(|partition| tasks.get(partition).is_some_and(|held| held.worker.is_some()))
        };
        let (mut tasks, waited) =
            self.ended.wait_timeout_while(tasks, GRACE, working).unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            tracing::warn!(
                pipeline = self.name(),
                "some tasks could not commit within {GRACE:?}; what isn't decided is done again"
            );
            for (partition, held) in tasks.iter().filter(|(partition, _)| partitions.contains(partition)) {
                if let Some(index) = held.worker {
                    self.around.workers[index].drop_task(self.name(), partition);
                }
            }
        }
        // What was reached stays known while stopping, for the status at the end.
        if !self.stopping.load(Ordering::Relaxed) {
            tasks.retain(|partition, _| !partitions.contains(partition));
        }
    }

    fn wanted(&self) -> Vec<TopicPartition> {
        let now = Instant::now();
        let mut tasks = lock(&self.tasks);
        let due = tasks.iter_mut().filter(|(_, held)| held.again.is_some_and(|again| again <= now));
        due.map(|(partition, held)| {
            held.again = None;
            partition.clone()
        })
        .collect()
    }

    fn failed(&self, error: SourceError) {
        self.fail(error.to_string());
    }
}

fn passing(reason: String) -> LogError {
    LogError::FirstOffset { reason, may_pass: true }
}

/// A lock whose holder panicked holds plain data all the same.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
