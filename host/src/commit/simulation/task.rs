//! A task of the simulation: what `crate::task` does with messages, over the real log and the real stage.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep_until};

use super::kafka::{Batch, Message};
use super::points::{Doing, Point};
use super::process::Process;
use super::topic::Client;
use super::view::View;
use super::world::{Attempt, World};
use super::{Commit, LogError, LogOptions, Stage, StateChange, Store, TaskLog, Topics, folder};

/// Rows in a file, at most: an epoch may close several files of one table.
const FILE_ROWS: u64 = 5;
/// Folders of the table, dead letters as one more, and a topic.
pub const WRITERS: usize = 4;
const DEAD: usize = 2;
const TOPIC: usize = 3;

/// Why a task ended before it was asked to.
#[derive(Debug)]
pub enum TaskError {
    Again(String),
    Fatal(String),
}

impl From<LogError> for TaskError {
    fn from(error: LogError) -> Self {
        match error.may_pass() {
            true => Self::Again(error.to_string()),
            false => Self::Fatal(error.to_string()),
        }
    }
}

/// What is not decided yet.
#[derive(Debug, Default)]
struct Epoch {
    start: i64,
    end: i64,
    since: Option<Instant>,
    files: u64,
    rows: u64,
    dead_letters: u64,
    /// Rows in the open file of each writer, and how many files it has closed.
    open: [(u64, u32); WRITERS],
}

impl Epoch {
    fn new(start: i64) -> Self {
        Self { start, end: start, ..Self::default() }
    }
}

type Deciding = Pin<Box<dyn Future<Output = Result<Box<TaskLog>, TaskError>> + Send>>;

/// A task that has been claimed.
pub struct Task {
    world: Arc<World>,
    process: Arc<Process>,
    partition: i32,
    attempt: String,
    stage: Stage,
    epoch: Epoch,
    generation: u32,
    /// A line for each epoch that was ever decided, by the file of the state that it is in.
    memory: Vec<Vec<String>>,
    log: Option<Box<TaskLog>>,
    deciding: Option<Deciding>,
    /// The offset after the last COMMIT.
    pub committed: Arc<AtomicI64>,
    /// Asks it to take nothing more and to commit what it has.
    pub finish: Arc<Notify>,
    finishing: bool,
}

/// Claims the task of a partition.
pub async fn claim(world: &Arc<World>, process: &Arc<Process>, partition: i32) -> Result<Task, TaskError> {
    let (attempt, plan) = world.with(|state| {
        let name = format!("a{}", state.attempts.len());
        let attempt = Attempt { process: process.id, partition, ..Attempt::default() };
        state.attempts.insert(name.clone(), attempt);
        (name, state.plan.clone())
    });
    let view = View { world: Arc::clone(world), process: Arc::clone(process), attempt: attempt.clone() };
    let topics: Arc<dyn Topics> = Arc::new(Client::new(view.clone(), partition));
    let options = LogOptions { topics: Some(topics), ..plan.log_options() };
    let store: Store = view.store(plan.is_apart);
    let folder = folder("rides", "trips", partition);
    let first_offset = |logged| world.first_offset(process, partition, logged);
    let claimed = TaskLog::claim(store.clone(), folder.clone(), attempt.clone(), options, first_offset).await;
    process.alive().await;
    let log = claimed.inspect_err(|error| world.ended(&attempt, Some(error)))?;
    let stored = log.load_state().await;
    process.alive().await;
    let stored = stored.inspect_err(|error| world.ended(&attempt, Some(error)))?;
    let lines = |file: &Bytes| String::from_utf8_lossy(file).lines().map(str::to_owned).collect::<Vec<String>>();
    let memory: Vec<Vec<String>> = stored.iter().flat_map(|stored| &stored.files).map(lines).collect();
    if !memory.is_empty() {
        world.with(|state| state.figures.reach(Point::StateRestored));
    }
    world.say(|| format!("p{} {attempt} claimed partition {partition} from {}", process.id, log.next_offset()));
    let stage = Stage::new(store, folder, attempt.clone(), Handle::current()).with_parts_of(plan.part_bytes);
    Ok(Task {
        world: Arc::clone(world),
        process: Arc::clone(process),
        partition,
        attempt,
        stage,
        epoch: Epoch::new(log.next_offset()),
        generation: log.generation(),
        memory,
        committed: Arc::new(AtomicI64::new(log.next_offset())),
        log: Some(Box::new(log)),
        deciding: None,
        finish: Arc::new(Notify::new()),
        finishing: false,
    })
}

impl Task {
    /// Runs until it can't go on, or has finished as asked.
    pub async fn run(mut self) -> Result<(), TaskError> {
        let (every, most) = self.world.with(|state| (state.plan.every, state.plan.rows));
        loop {
            self.process.alive().await;
            let is_full = self.epoch.rows >= most || self.stage.is_full();
            let is_empty = self.epoch.end == self.epoch.start;
            let due = match self.epoch.since {
                Some(_) if is_full || self.finishing => Some(Instant::now()),
                since => since.map(|since| since + every),
            };
            if self.log.is_some() {
                if self.finishing && is_empty {
                    self.world.ended(&self.attempt, None);
                    return Ok(());
                }
                if due.is_some_and(|due| due <= Instant::now()) {
                    self.commit();
                    continue;
                }
            }
            let (world, process) = (Arc::clone(&self.world), Arc::clone(&self.process));
            let (position, takes) = (self.epoch.end, !self.finishing && !is_full);
            let alarm = due.filter(|_| self.log.is_some()).unwrap_or_else(Instant::now);
            tokio::select! {
                biased;
                () = self.finish.notified(), if !self.finishing => self.finishing = true,
                decided = hear(&mut self.deciding), if self.deciding.is_some() => {
                    self.process.alive().await;
                    self.deciding = None;
                    let log = decided?;
                    self.committed.store(log.next_offset(), Ordering::SeqCst);
                    self.log = Some(log);
                }
                batch = world.fetch(&process, self.partition, position), if takes => match batch {
                    Some(batch) => self.process_batch(&batch)?,
                    None => return Err(TaskError::Again(format!("Kafka no longer has offset {position}"))),
                },
                () = sleep_until(alarm), if due.is_some() && self.log.is_some() => {}
            }
        }
    }

    fn process_batch(&mut self, batch: &Batch) -> Result<(), TaskError> {
        let trap = self.world.with(|state| {
            let rate = state.weather.traps;
            state.chance(rate).then(|| state.rng.usize(0..=batch.messages.len()))
        });
        for (index, (offset, message)) in batch.messages.iter().enumerate() {
            if trap == Some(index) && self.epoch.rows > 0 {
                self.world.with(|state| state.figures.reach(Point::TrapMidBatch));
                return Err(TaskError::Again("trap".to_owned()));
            }
            match message {
                Message::Gap => {}
                Message::Row(folder) => self.write(*folder, batch.generation, *offset),
                Message::Sent => self.write(TOPIC, batch.generation, *offset),
                Message::DeadLetter => {
                    self.epoch.dead_letters += 1;
                    self.write(DEAD, batch.generation, *offset);
                }
            }
        }
        self.epoch.end = batch.messages.last().map_or(self.epoch.end, |(offset, _)| offset + 1);
        self.epoch.since.get_or_insert_with(Instant::now);
        Ok(())
    }

    /// Readers know a record by the topic it is of, too.
    fn write(&mut self, writer: usize, generation: u32, offset: i64) {
        let (rows, file) = self.epoch.open[writer];
        let line = format!("{}:{generation}:{offset}\n", self.partition);
        self.stage.write(writer, file, Bytes::from(line));
        self.epoch.open[writer].0 = rows + 1;
        self.epoch.rows += 1;
        if rows + 1 == FILE_ROWS {
            self.close(writer);
        }
    }

    fn close(&mut self, writer: usize) {
        let (rows, file) = self.epoch.open[writer];
        if rows == 0 {
            return;
        }
        self.stage.write(writer, file, Bytes::from(format!("={rows}\n")));
        let n = u64::from(self.generation) * 1_000_000 + self.epoch.files;
        if writer == TOPIC {
            self.stage.close_records(writer, file, "tickets".to_owned(), rows);
        } else {
            let table = ["city/rides/hour=0", "city/rides/hour=1", "_dead/rides"][writer];
            let path = format!("{table}/trips-{}-{}-{n}.txt", self.partition, self.epoch.start);
            self.stage.close(writer, file, path, rows);
        }
        self.epoch.files += 1;
        self.epoch.open[writer] = (0, file + 1);
    }

    /// Ends the epoch, and leaves uploading, deciding and publishing to others.
    fn commit(&mut self) {
        let Some(mut log) = self.log.take() else { return };
        (0..WRITERS).for_each(|writer| self.close(writer));
        let epoch = std::mem::replace(&mut self.epoch, Epoch::new(0));
        (self.epoch.start, self.epoch.end) = (epoch.end, epoch.end);
        let changes = vec![self.remember(&epoch)];
        let staged = self.stage.take();
        self.world.set_writers_clock();
        self.world
            .say(|| format!("p{} {} ends its epoch {}..{}", self.process.id, self.attempt, epoch.start, epoch.end));
        let (world, attempt, process) = (Arc::clone(&self.world), self.attempt.clone(), Arc::clone(&self.process));
        let (tell, answer) = oneshot::channel();
        tokio::spawn(async move {
            let decided = async {
                let (files, records) = staged.finish().await?;
                let (start, end, dead_letters) = (epoch.start, epoch.end, epoch.dead_letters);
                let state = Some(log.keep_state(None, changes).await?);
                let commit = Commit { start, end, dead_letters, files, records, state, ..Commit::default() };
                log.commit(commit, |_| world.acknowledged(&attempt)).await?;
                Ok::<_, LogError>(log)
            };
            let decided = decided.await;
            process.alive().await;
            if let Err(error) = &decided {
                world.ended(&attempt, Some(error));
            }
            if let Err(Ok(_)) = tell.send(decided) {
                world.ended(&attempt, None);
            }
        });
        self.deciding = Some(Box::pin(async move {
            match answer.await {
                Ok(decided) => decided.map_err(TaskError::from),
                Err(_) => Err(TaskError::Again("the commit was cut off".to_owned())),
            }
        }));
    }

    /// Adds an epoch to the state: its line, and with it those of files that are not much larger.
    fn remember(&mut self, epoch: &Epoch) -> StateChange {
        let mut lines = vec![format!("{}:{}..{}", self.generation, epoch.start, epoch.end)];
        while let Some(mut before) = self.memory.pop_if(|before| before.len() <= 2 * lines.len()) {
            before.append(&mut lines);
            lines = before;
        }
        let content = lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        let (kept, rows) = (self.memory.len(), lines.len() as u64);
        self.memory.push(lines);
        StateChange { table: "groups", kept, file: Some((Bytes::from(content), rows)) }
    }

    /// The name of its attempt.
    pub fn attempt(&self) -> &str {
        &self.attempt
    }
}

/// Waits for the epoch that is being decided; for good where there is none.
async fn hear(deciding: &mut Option<Deciding>) -> Result<Box<TaskLog>, TaskError> {
    match deciding {
        Some(deciding) => deciding.await,
        None => std::future::pending().await,
    }
}

impl World {
    /// An attempt is over, and why.
    pub fn ended(&self, attempt: &str, error: Option<&LogError>) {
        self.with(|state| {
            state.say(|| format!("{attempt} ends: {}", error.map_or("finished".to_owned(), ToString::to_string)));
            if let Some(LogError::Fenced { by }) = error {
                let point = if by.contains("silence") { Point::SelfFenced } else { Point::Fenced };
                state.figures.reach(point);
            }
            if let Some(attempt) = state.attempts.get_mut(attempt) {
                attempt.has_ended = true;
            }
        });
    }

    fn acknowledged(&self, attempt: &str) {
        self.with(|state| {
            if let Some(attempt) = state.attempts.get_mut(attempt) {
                attempt.acknowledged = true;
            }
        });
    }

    /// A task was dropped; an epoch that is being decided goes on.
    pub fn dropped(&self, attempt: &str) {
        self.with(|state| {
            state.say(|| format!("{attempt} is dropped"));
            let Some(attempt) = state.attempts.get_mut(attempt) else { return };
            use Doing::{Deciding, Ending, Publishing, Removing, Sending, TakingOver};
            let goes_on =
                |doing: &Doing| matches!(doing, Deciding | Publishing | Removing | TakingOver | Sending | Ending);
            attempt.has_ended |= !attempt.under_way.iter().any(goes_on);
        });
    }

    /// Whether an attempt is uploading or deciding.
    pub fn is_flushing(&self, attempt: &str) -> bool {
        self.with(|state| {
            let doing = state.attempts.get(attempt).map(|attempt| attempt.under_way.clone()).unwrap_or_default();
            doing.iter().any(|doing| matches!(doing, Doing::Staging | Doing::Deciding))
        })
    }
}
