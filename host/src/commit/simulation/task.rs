//! A task of the simulation: what `crate::task` does with messages, over the real log and the real stage.

mod passing;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep_until};

use super::attempts::Attempt;
use super::exchange::BEHIND;
use super::kafka::{Batch, Message};
use super::points::Point;
use super::process::Process;
use super::sides::{Before, Behind, Side};
use super::topic::Client;
use super::view::View;
use super::world::World;
use super::{Commit, LogError, LogOptions, Stage, Store, TaskLog, Topics, folder};
use crate::exchange;

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
    side: Side,
    /// When the last record came, and until when nobody looks whether there are more.
    idle_since: Instant,
    next_look: Instant,
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
    let folder = match partition < BEHIND {
        true => folder("rides", "trips", partition),
        false => folder("rides", &exchange::topic("rides"), partition - BEHIND),
    };
    let first_offset = |logged| world.first_offset(process, partition, logged);
    let claimed = TaskLog::claim(store.clone(), folder.clone(), attempt.clone(), options, first_offset).await;
    process.alive().await;
    let log = claimed.inspect_err(|error| world.ended(&attempt, Some(error)))?;
    let stored = log.load_state().await;
    process.alive().await;
    let stored = stored.inspect_err(|error| world.ended(&attempt, Some(error)))?;
    let side = match &plan.exchange {
        None => Side::Alone,
        Some(exchange) if partition < BEHIND => {
            Side::Before(Box::new(Before::new(&plan, exchange, partition, stored.as_ref())))
        }
        Some(exchange) => {
            let behind = Behind::new(exchange, &folder, stored.as_ref()).map_err(TaskError::Fatal)?;
            if stored.is_some() {
                world.with(|state| state.figures.reach(Point::GroupsRestored));
            }
            Side::Behind(Box::new(behind))
        }
    };
    let lines = |file: &Bytes| String::from_utf8_lossy(file).lines().map(str::to_owned).collect::<Vec<String>>();
    let stored = stored.filter(|_| partition < BEHIND);
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
        side,
        idle_since: Instant::now(),
        next_look: Instant::now(),
    })
}

impl Task {
    /// Runs until it can't go on, or has finished as asked.
    pub async fn run(mut self) -> Result<(), TaskError> {
        let (every, most) = self.world.with(|state| (state.plan.every, state.plan.rows));
        let idle_after = self.world.with(|state| state.plan.exchange.as_ref().and_then(|exchange| exchange.idle_after));
        loop {
            self.process.alive().await;
            let is_full = self.epoch.rows >= most || self.stage.is_full();
            let is_empty = self.epoch.since.is_none();
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
            let is_committed = is_empty && self.log.is_some() && !self.finishing;
            let look = idle_after
                .filter(|_| is_committed && matches!(self.side, Side::Before(_)))
                .map(|after| self.next_look.max(self.idle_since + after));
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
                () = sleep_until(look.unwrap_or_else(Instant::now)), if look.is_some() => self.look_idle(idle_after),
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
                // Below, with the others of its batch.
                Message::Keyed { .. } | Message::Closing { .. } => self.epoch.rows += 1,
                Message::Row(folder) => self.write(*folder, batch.generation, *offset),
                Message::Sent => self.write(TOPIC, batch.generation, *offset),
                Message::DeadLetter => {
                    self.epoch.dead_letters += 1;
                    self.write(DEAD, batch.generation, *offset);
                }
            }
        }
        self.pass_on(batch)?;
        self.epoch.end = batch.end;
        self.epoch.since.get_or_insert_with(Instant::now);
        Ok(())
    }

    /// Readers know a record by the topic it is of, too.
    fn write(&mut self, writer: usize, generation: u32, offset: i64) {
        self.write_line(writer, &format!("{}:{generation}:{offset}", self.partition));
    }

    fn write_line(&mut self, writer: usize, line: &str) {
        let (rows, file) = self.epoch.open[writer];
        self.stage.write(writer, file, Bytes::from(format!("{line}\n")));
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
            let (table, topic, partition) = match self.partition < BEHIND {
                true => {
                    let tables = ["city/rides/hour=0", "city/rides/hour=1", "_dead/rides"];
                    (tables[writer], "trips".to_owned(), self.partition)
                }
                false => ("city/counts", exchange::topic("rides"), self.partition - BEHIND),
            };
            let path = format!("{table}/{topic}-{partition}-{}-{n}.txt", self.epoch.start);
            self.stage.close(writer, file, path, rows);
        }
        self.epoch.files += 1;
        self.epoch.open[writer] = (0, file + 1);
    }

    /// Ends the epoch, and leaves uploading, deciding and publishing to others.
    fn commit(&mut self) {
        let Some(mut log) = self.log.take() else { return };
        let kept = self.end_epoch();
        (0..WRITERS).for_each(|writer| self.close(writer));
        let epoch = std::mem::replace(&mut self.epoch, Epoch::new(0));
        (self.epoch.start, self.epoch.end) = (epoch.end, epoch.end);
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
                let mut state = log.keep_state(kept.watermark_us, kept.changes).await?;
                state.exchange = kept.exchange;
                let state = Some(state);
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
