//! Performs the steps of the commit protocol of one task against a real store: the only place that writes a commit log
//! or gives a file its final name.
//!
//! Whatever the store answers, nothing moves on before it is certain: errors that may pass are retried, with jitter, for
//! as long as it takes; a wrong or missing file stops the task.

use std::sync::Arc;

use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStoreExt, PutMode};
use tokio::time::Instant;

use super::cleaning::Strays;
use super::entry::{self, Commit, CommittedFile, CommittedRecords, CommittedState, Entry};
use super::machine::{Machine, Outcome, Step};
use super::retry::retried;
use super::send::{Sender, Topics};
use super::stage::checksum;
use super::state::{self, StateChange, StoredState};
use super::store::{Location, Store};

pub use super::error::LogError;

/// How long and how safely a log is kept.
#[derive(Debug, Clone)]
pub struct LogOptions {
    /// Entries older than this may be cleaned away. An attempt that has written nothing for half of it gives itself up,
    /// so that it never writes a number that was freed behind it.
    pub retention: Duration,
    /// `false` for stores without create-if-absent: later writers win, and a double is possible.
    pub exactly_once: bool,
    /// Entries are cleaned once in this many COMMITs: listing costs a request for each thousand of them.
    pub clean_every: u64,
    /// What entries say of when they were written. Nothing is decided by it.
    pub clock: fn() -> DateTime<Utc>,
    /// Who sends records to topics, for this attempt alone.
    pub topics: Option<Arc<dyn Topics>>,
}

impl LogOptions {
    /// As pipelines have them.
    pub const fn new(retention: Duration, exactly_once: bool) -> Self {
        Self { retention, exactly_once, clean_every: 64, clock: Utc::now, topics: None }
    }
}

/// Copies of one epoch under way at once, inside a store. Between two stores each is a whole file in memory, so it is one.
const COPIES: usize = 16;

/// The log of one task, held by one attempt.
#[derive(Debug)]
pub struct TaskLog {
    pub(super) store: Store,
    /// `_rillgate/<pipeline>/<topic>/<partition>`, below the control location's root.
    pub(super) folder: String,
    pub(super) options: LogOptions,
    pub(super) machine: Machine,
    sender: Sender,
    written: Instant,
    /// Files of the state that this attempt has written: their names are never used twice.
    state_files: u64,
}

/// Where a task's control files lie, below the control location's root.
pub fn folder(pipeline: &str, topic: &str, partition: i32) -> String {
    format!("_rillgate/{pipeline}/{topic}/{partition}")
}

impl TaskLog {
    /// Claims the task: fences whoever had it, publishes and sends what it had decided, and removes what it had not.
    /// No other attempt ever has the same name. `first_offset` is asked where to begin, given what the log says; its error is an [`LogError::FirstOffset`].
    pub async fn claim<F, R>(
        store: Store,
        folder: String,
        attempt: String,
        options: LogOptions,
        first_offset: F,
    ) -> Result<Self, LogError>
    where
        F: Fn(Option<i64>) -> R,
        R: Future<Output = Result<i64, LogError>>,
    {
        let machine = Machine::new(attempt);
        let sender = Sender::new(options.topics.clone());
        let written = Instant::now();
        let mut log = Self { store, folder, options, machine, sender, written, state_files: 0 };
        let mut strays = Strays::default();
        loop {
            let outcome = match log.machine.step(&log.now()) {
                Step::FirstOffset { logged } => Outcome::FirstOffset(first_offset(logged).await?),
                Step::Ready => break,
                step => {
                    if matches!(step, Step::Create { .. }) {
                        strays = log.strays().await;
                    }
                    log.perform(step).await?
                }
            };
            log.tell(outcome)?;
        }
        log.remove_strays(strays).await;
        Ok(log)
    }

    /// The name of the attempt that holds the log.
    pub fn attempt(&self) -> &str {
        self.machine.attempt()
    }

    /// How often the topic was made anew.
    pub fn generation(&self) -> u32 {
        self.machine.generation()
    }

    /// Where the next epoch begins.
    pub fn next_offset(&self) -> i64 {
        self.machine.next_offset()
    }

    /// Number of the next file of an epoch that begins at [`Self::next_offset`].
    pub fn next_file(&self) -> u64 {
        self.machine.last_commit().map(|(_, commit)| commit.next_file).unwrap_or_default()
    }

    /// What the last COMMIT says of the task's state, if it says anything.
    pub fn last_state(&self) -> Option<&CommittedState> {
        self.machine.last_commit().and_then(|(_, commit)| commit.state.as_ref())
    }

    /// Reads the state that the last COMMIT names. `None`: nothing was ever committed, so there is none yet.
    pub async fn load_state(&self) -> Result<Option<StoredState>, LogError> {
        let Some((sequence, _)) = self.machine.last_commit() else { return Ok(None) };
        match self.last_state() {
            Some(committed) => match state::load(&self.store, &self.folder, committed).await {
                // Whoever came after us while we slept needs other files.
                Err(LogError::BadState { .. }) if self.newest().await? > self.machine.newest() => {
                    Err(LogError::Fenced { by: "an attempt that came after it".to_owned() })
                }
                loaded => loaded.map(Some),
            },
            None => Err(LogError::BadState {
                path: self.entry_path(*sequence),
                folder: self.folder.clone(),
                wrong: "names none: what came before it was not aggregated. Give the pipeline another name".to_owned(),
            }),
        }
    }

    /// Uploads what has changed of the state since the last COMMIT; the next one has to say what this returns.
    pub async fn keep_state(
        &mut self,
        watermark_us: Option<i64>,
        changes: Vec<StateChange>,
    ) -> Result<CommittedState, LogError> {
        let (attempt, files) = (self.machine.attempt(), &mut self.state_files);
        let name = || {
            *files += 1;
            format!("state/{attempt}-{files}")
        };
        let before = self.machine.last_commit().and_then(|(_, commit)| commit.state.as_ref());
        state::keep(&self.store, &self.folder, before, watermark_us, changes, name).await
    }

    /// That a table of the state can't be made a file.
    pub fn unwritable_state(&self, table: &'static str, reason: String) -> LogError {
        LogError::UnwritableState { folder: self.folder.clone(), table, reason }
    }

    /// Decides an epoch, publishes its files and sends its records. When this returns, every reader sees them.
    /// `acknowledge` is told the end offset afterwards, for Kafka's lag tools.
    pub async fn commit(&mut self, commit: Commit, acknowledge: impl Fn(i64)) -> Result<(), LogError> {
        let state_before = state::paths(&self.store, &self.folder, self.last_state());
        self.give_up_if_silent();
        if !matches!(self.machine.step(""), Step::Fenced { .. }) {
            let decided = self.machine.decide(commit);
            decided.map_err(|source| LogError::Protocol { folder: self.folder.clone(), source })?;
        }
        loop {
            match self.machine.step(&self.now()) {
                Step::Ready => break,
                Step::Acknowledge { end } => {
                    acknowledge(end);
                    self.remove_staged().await;
                    self.remove_state(state_before.clone()).await;
                    self.tell(Outcome::Acknowledged)?;
                }
                step => {
                    let outcome = self.perform(step).await?;
                    self.tell(outcome)?;
                }
            }
        }
        if self.machine.last_commit().is_some_and(|(sequence, _)| (sequence + 1) % self.options.clean_every == 0) {
            self.clean().await;
        }
        Ok(())
    }

    fn tell(&mut self, outcome: Outcome) -> Result<(), LogError> {
        if matches!(outcome, Outcome::Created | Outcome::Taken(_) | Outcome::Gone) {
            // The answer may have come late, to a number freed meanwhile; if it wasn't, the next claim publishes it.
            if self.give_up_if_silent() {
                return Ok(());
            }
            self.written = Instant::now();
        }
        self.machine.on(outcome).map_err(|source| LogError::Protocol { folder: self.folder.clone(), source })
    }

    fn give_up_if_silent(&mut self) -> bool {
        let silent = self.written.elapsed() > self.options.retention / 2;
        if silent {
            self.machine.give_up("its own silence: nothing was written for half of log_retention");
        }
        silent
    }

    async fn perform(&mut self, step: Step) -> Result<Outcome, LogError> {
        Ok(match step {
            Step::List => Outcome::Listed(self.newest().await?),
            Step::Read { sequence } => self.read(sequence).await?.map_or(Outcome::Gone, Outcome::Entry),
            Step::Create { sequence, entry } => self.create(sequence, &entry).await?,
            Step::Publish { files } => {
                let log = &*self;
                let publish = |file| async move { log.publish(&file).await };
                let copies = if self.store.copies_inside() { COPIES } else { 1 };
                futures::stream::iter(files).map(publish).buffer_unordered(copies).try_collect::<()>().await?;
                Outcome::Published
            }
            Step::Mark { offset, mark } => {
                self.sender.mark(offset, mark).await?;
                Outcome::Marked
            }
            Step::Send { records, offset, mark } => {
                self.send(&records, &mark, offset).await?;
                Outcome::Sent
            }
            Step::Fenced { by } => return Err(LogError::Fenced { by }),
            // Answered by `claim` and `commit`, which know whom to ask.
            Step::FirstOffset { .. } | Step::Acknowledge { .. } | Step::Ready => Outcome::Unclear,
        })
    }

    async fn send(&mut self, records: &[CommittedRecords], mark: &str, offset: i64) -> Result<(), LogError> {
        if self.sender.take_over().await? {
            self.is_newest().await?;
        }
        let (store, folder, exactly_once) = (&self.store, &self.folder, self.options.exactly_once);
        let missing = self.sender.send(store, folder, exactly_once, records, (mark, offset)).await?;
        if let Some(file) = missing {
            self.sender.take_over_again().await?;
            self.is_newest().await?;
            self.sender.is_sent(file, mark).await?;
        }
        Ok(())
    }

    /// Fails if another attempt has claimed meanwhile. Whoever claims later takes the records over later, too: it fences
    /// this attempt at Kafka, or finds its mark there.
    async fn is_newest(&mut self) -> Result<(), LogError> {
        if self.give_up_if_silent() {
            let Step::Fenced { by } = self.machine.step("") else { return Ok(()) };
            return Err(LogError::Fenced { by });
        }
        let next = self.machine.newest().map_or(0, |newest| newest + 1);
        match self.read(next).await? {
            Some(entry) => Err(LogError::Fenced { by: entry.attempt().to_owned() }),
            None => Ok(()),
        }
    }

    async fn newest(&self) -> Result<Option<u64>, LogError> {
        let prefix = self.control(&format!("{}/log", self.folder))?;
        let list = || async {
            let names = self.store.control.store.list(Some(&prefix));
            names.try_fold(None, |newest, meta| async move { Ok(newest.max(sequence_of(&meta.location))) }).await
        };
        retried("list the commit log", list).await
    }

    /// An entry; `None` if there is none of that number any more.
    async fn read(&self, sequence: u64) -> Result<Option<Entry>, LogError> {
        let path = self.control(&self.entry_path(sequence))?;
        let read = || async { self.store.control.store.get(&path).await?.bytes().await };
        let bytes = match retried("read the commit log", read).await {
            Err(LogError::Store(StoreError::NotFound { .. })) => return Ok(None),
            other => other?,
        };
        serde_json::from_slice(&bytes).map(Some).map_err(|error| self.bad_entry(&path, &error.to_string()))
    }

    async fn create(&self, sequence: u64, entry: &Entry) -> Result<Outcome, LogError> {
        let path = self.control(&self.entry_path(sequence))?;
        let text = serde_json::to_vec_pretty(entry).map_err(|error| self.bad_entry(&path, &error.to_string()))?;
        let mode = if self.options.exactly_once { PutMode::Create } else { PutMode::Overwrite };
        let body = Bytes::from(text);
        let put = || async { self.store.control.store.put_opts(&path, body.clone().into(), mode.clone().into()).await };
        // An answer that got lost and the retry that finds the number taken look alike: the entry itself tells whose it is.
        match retried("write the commit log", put).await {
            Ok(_) => Ok(Outcome::Created),
            Err(LogError::Store(StoreError::AlreadyExists { .. } | StoreError::Precondition { .. })) => {
                Ok(self.read(sequence).await?.map_or(Outcome::Gone, Outcome::Taken))
            }
            Err(error) => Err(error),
        }
    }

    /// Gives a staged file its final name. Idempotent: done again by whoever comes next.
    async fn publish(&self, file: &CommittedFile) -> Result<(), LogError> {
        let from = self.control(&format!("{}/{}", self.folder, file.staged))?;
        let to = self.store.tables.path(&file.path).map_err(LogError::Store)?;
        let copied = retried("publish a file", || async { self.copy(&from, &to).await }).await;
        match copied {
            Ok(()) => Ok(()),
            Err(LogError::Store(StoreError::AlreadyExists { .. } | StoreError::Precondition { .. })) => {
                self.compare(file, &to).await
            }
            // Staged files go only after every file of their epoch is published: look for the final one.
            Err(LogError::Store(StoreError::NotFound { .. })) => self.compare(file, &to).await,
            Err(error) => Err(error),
        }
    }

    async fn copy(&self, from: &Path, to: &Path) -> Result<(), StoreError> {
        let (control, tables) = (&self.store.control.store, &self.store.tables.store);
        if self.store.copies_inside() {
            return match self.options.exactly_once {
                true => control.copy_if_not_exists(from, to).await,
                false => control.copy(from, to).await,
            };
        }
        let body = control.get(from).await?.bytes().await?;
        let mode = if self.options.exactly_once { PutMode::Create } else { PutMode::Overwrite };
        tables.put_opts(to, body.into(), mode.into()).await.map(|_| ())
    }

    async fn compare(&self, file: &CommittedFile, path: &Path) -> Result<(), LogError> {
        let found = fingerprint(&self.store.tables, path).await?;
        match found {
            None => Err(LogError::Lost { path: path.to_string(), staged: file.staged.clone() }),
            Some((bytes, xxh3)) if bytes == file.bytes && xxh3 == file.xxh3 => Ok(()),
            Some((bytes, xxh3)) => Err(LogError::Conflict {
                path: path.to_string(),
                found: format!("{bytes} bytes, xxh3 {xxh3}"),
                decided: format!("{} bytes, xxh3 {}", file.bytes, file.xxh3),
            }),
        }
    }

    fn now(&self) -> String {
        (self.options.clock)().to_rfc3339_opts(SecondsFormat::Millis, true)
    }

    pub(super) fn control(&self, relative: &str) -> Result<Path, LogError> {
        self.store.control.path(relative).map_err(LogError::Store)
    }

    fn entry_path(&self, sequence: u64) -> String {
        format!("{}/log/{}", self.folder, entry::file_name(sequence))
    }

    fn bad_entry(&self, path: &Path, reason: &str) -> LogError {
        LogError::BadEntry { path: path.to_string(), folder: self.folder.clone(), reason: reason.to_owned() }
    }
}

/// Size and checksum of a file; `None` if there is none.
pub(super) async fn fingerprint(location: &Location, path: &Path) -> Result<Option<(u64, String)>, LogError> {
    let read = || async {
        let mut stream = location.store.get(path).await?.into_stream();
        let (mut bytes, mut hash) = (0, checksum::Hasher::default());
        while let Some(chunk) = stream.try_next().await? {
            bytes += chunk.len() as u64;
            hash.update(&chunk);
        }
        Ok((bytes, hash.finish()))
    };
    match retried("read a published file", read).await {
        Ok(found) => Ok(Some(found)),
        Err(LogError::Store(StoreError::NotFound { .. })) => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) fn sequence_of(path: &Path) -> Option<u64> {
    entry::sequence(path.filename()?)
}
