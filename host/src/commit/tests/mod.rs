//! Tests of claim, stage, commit and verify against stores that fail. The oracle is a reader who knows nothing of
//! rillgate: it lists the tables and counts the ids of the records it finds in the files.
//!
//! Time is paused in all of them: retries wait for nothing, and nothing depends on how fast the machine is.

mod cleaned;
mod clocks;
mod crash_points;
mod every_step;
mod fencing;
mod lineage;
mod retention;
mod sending;
mod staging;
mod verifying;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::runtime::Handle;

use super::entry::{self, Commit, Entry};
use super::faults::{Answer, Fault, Faults, Faulty, Gate, Operation};
use super::stage::Stage;
use super::store::{Location, Store, StoreOptions};
use super::task_log::{LogError, LogOptions, TaskLog, folder};
use super::verify::{Report, Subject, verify};

const PIPELINE: &str = "rides";
const TABLES: [&str; 2] = ["city/rides", "_dead/rides"];
/// The ids of all records: `0..END`, each its own offset.
const END: i64 = 30;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const OPTIONS: LogOptions = LogOptions::new(DAY.saturating_mul(7), true);

/// What survives every crash.
struct World {
    tables: Arc<dyn ObjectStore>,
    control: Arc<dyn ObjectStore>,
    apart: bool,
}

impl World {
    /// Tables and control files in one store.
    fn new() -> Self {
        Self::together(Arc::new(InMemory::new()))
    }

    /// Control files in another store than the tables, so that nothing can be copied inside one.
    fn apart() -> Self {
        Self { tables: Arc::new(InMemory::new()), control: Arc::new(InMemory::new()), apart: true }
    }

    fn local(folder: &std::path::Path) -> Self {
        Self::together(Arc::new(LocalFileSystem::new_with_prefix(folder).unwrap()))
    }

    fn together(store: Arc<dyn ObjectStore>) -> Self {
        Self { tables: Arc::clone(&store), control: store, apart: false }
    }

    /// The stores as one process sees them.
    fn view(&self) -> View {
        let faults = Arc::new(Faults::default());
        let see = |inner: &Arc<dyn ObjectStore>| {
            let store = Faulty { inner: Arc::clone(inner), faults: Arc::clone(&faults) };
            Arc::new(store) as Arc<dyn ObjectStore>
        };
        let tables = Location::of(see(&self.tables), "lake", "tables:");
        let control = match self.apart {
            true => Location::of(see(&self.control), "elsewhere/control", "control:"),
            false => tables.clone(),
        };
        View { store: Store { tables, control }, faults, options: OPTIONS }
    }

    /// A whole life of an attempt at which nothing fails.
    async fn finish(&self) {
        life(&self.view(), 7).await.unwrap();
    }

    /// Paths and contents of all table files, as any reader finds them.
    async fn files(&self) -> Vec<(Path, Bytes)> {
        let mut files = Vec::new();
        for table in TABLES {
            let folder = Path::from(format!("lake/{table}"));
            let found: Vec<_> = self.tables.list(Some(&folder)).try_collect().await.unwrap();
            for meta in found {
                let bytes = self.tables.get(&meta.location).await.unwrap().bytes().await.unwrap();
                files.push((meta.location, bytes));
            }
        }
        files
    }

    /// The ids of all records a reader finds, sorted. A file that isn't whole is found out, and so is a double.
    async fn seen(&self) -> Vec<i64> {
        let mut ids = Vec::new();
        for (path, bytes) in self.files().await {
            let text = std::str::from_utf8(&bytes).unwrap();
            let mut lines = text.lines().filter(|line| !line.starts_with('#')).map(|line| line.parse::<i64>().unwrap());
            let count = lines.next().unwrap_or_else(|| panic!("{path} is empty"));
            let before = ids.len();
            ids.extend(lines);
            assert_eq!(ids.len() - before, count as usize, "{path} is not whole");
        }
        ids.sort_unstable();
        assert!(ids.windows(2).all(|pair| pair[0] != pair[1]), "a reader sees a record twice: {ids:?}");
        ids
    }

    /// Everything is there once, the logs prove it, and nothing is left over.
    async fn assert_whole(&self) {
        assert_eq!(self.seen().await, (0..END).collect::<Vec<_>>());
        let report = self.verify().await;
        assert_eq!(report.problems, Vec::<String>::new());
        assert_eq!((report.offsets, report.pending, report.rows), (END, 0, END as u64));
        assert_eq!(self.staged().await, Vec::<String>::new());
    }

    async fn verify(&self) -> Report {
        let subject = Subject { pipeline: PIPELINE.to_owned(), tables: TABLES.map(str::to_owned).to_vec() };
        verify(&self.view().store, &subject).await.unwrap()
    }

    /// The entries of the log with their numbers.
    async fn log(&self) -> Vec<(u64, Entry)> {
        let mut entries = Vec::new();
        for path in self.control_files("log").await {
            let bytes = self.control.get(&path).await.unwrap().bytes().await.unwrap();
            entries.push((entry::sequence(path.filename().unwrap()).unwrap(), serde_json::from_slice(&bytes).unwrap()));
        }
        entries
    }

    async fn commits(&self) -> Vec<Commit> {
        let commits = self.log().await.into_iter().filter_map(|(_, entry)| match entry {
            Entry::Commit(commit) => Some(commit),
            Entry::Claim(_) => None,
        });
        commits.collect()
    }

    /// Names of staged files.
    async fn staged(&self) -> Vec<String> {
        self.control_files("stage").await.iter().map(Path::to_string).collect()
    }

    async fn control_files(&self, below: &str) -> Vec<Path> {
        let prefix = self.control_path(below);
        let mut paths: Vec<Path> =
            self.control.list(Some(&prefix)).map_ok(|meta| meta.location).try_collect().await.unwrap();
        paths.sort();
        paths
    }

    fn control_path(&self, below: &str) -> Path {
        let root = if self.apart { "elsewhere/control" } else { "lake" };
        Path::from(format!("{root}/{}/{below}", folder(PIPELINE, "trips", 3)))
    }

    async fn remove_entry(&self, sequence: u64) {
        self.control.delete(&self.control_path(&format!("log/{}", entry::file_name(sequence)))).await.unwrap();
    }
}

/// The stores as one process sees them, and what befalls it there.
#[derive(Clone)]
struct View {
    store: Store,
    faults: Arc<Faults>,
    options: LogOptions,
}

impl View {
    /// Claims the task and goes on where the log says.
    async fn begin(&self) -> Result<Attempt, LogError> {
        self.begin_from(None).await
    }

    /// Claims the task and begins at `first`, whatever the log says.
    async fn begin_from(&self, first: Option<i64>) -> Result<Attempt, LogError> {
        let first_offset = |logged: Option<i64>| async move { Ok(first.or(logged).unwrap_or(0)) };
        let folder = folder(PIPELINE, "trips", 3);
        let attempt = uuid::Uuid::new_v4().to_string();
        let log =
            TaskLog::claim(self.store.clone(), folder.clone(), attempt, self.options.clone(), first_offset).await?;
        let stage = Stage::new(self.store.clone(), folder, log.attempt().to_owned(), Handle::current());
        Ok(Attempt { log, stage, acknowledged: Mutex::default() })
    }
}

/// One attempt at the task, as `task` makes it: it cuts epochs, stages two files for each, and commits.
struct Attempt {
    log: TaskLog,
    stage: Stage,
    acknowledged: Mutex<Vec<i64>>,
}

impl Attempt {
    /// Stages the next `count` records in two files, waits until they are there, and says what is to be decided.
    async fn stage(&mut self, count: i64) -> Result<Commit, LogError> {
        let (start, end) = (self.log.next_offset(), self.log.next_offset() + count);
        let middle = start + count / 2;
        for (writer, ids) in [(0, start..middle), (1, middle..end)] {
            let rows = ids.clone().count();
            self.stage.write(writer, 0, Bytes::from(format!("{rows}\n")));
            for id in ids {
                self.stage.write(writer, 0, Bytes::from(format!("{id}\n")));
            }
            let n = self.log.generation() as usize * 1_000_000 + writer;
            let path = format!("{}/hour=9/trips-3-{start}-{n}.txt", TABLES[writer]);
            self.stage.close(writer, 0, path, rows as u64);
        }
        let (files, records) = self.stage.take().finish().await?;
        Ok(Commit { start, end, files, records, ..Commit::default() })
    }

    async fn decide(&mut self, commit: Commit) -> Result<(), LogError> {
        self.log.commit(commit, |end| self.acknowledged.lock().unwrap().push(end)).await
    }

    async fn commit(&mut self, count: i64) -> Result<(), LogError> {
        let commit = self.stage(count).await?;
        self.decide(commit).await
    }
}

/// Claims the task and commits epochs of `each` records until all are there.
async fn life(view: &View, each: i64) -> Result<(), LogError> {
    let mut attempt = view.begin().await?;
    while attempt.log.next_offset() < END {
        let left = END - attempt.log.next_offset();
        attempt.commit(each.min(left)).await?;
    }
    Ok(())
}

/// Runs a life until it ends, or is killed: then `None`.
async fn until_killed(view: &View, each: i64) -> Option<Result<(), LogError>> {
    tokio::select! {
        biased;
        () = view.faults.death() => None,
        ended = life(view, each) => Some(ended),
    }
}

/// Runs a life that is killed by `fault` at an operation of a kind on a path.
async fn killed(world: &World, operation: Operation, path: &str, fault: Fault) {
    let view = world.view();
    view.faults.on(operation, path, 1, fault);
    assert!(until_killed(&view, 10).await.is_none(), "it was not killed");
}
