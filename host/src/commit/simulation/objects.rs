//! What the store holds, and the reader who looks at every change of it.
//!
//! Files of tables only ever appear, so that looking at each one as it appears is as good as every listing that a reader
//! could have made: no record twice, no half file, nothing that wasn't decided, nothing that changes or goes.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use object_store::path::Path;
use object_store::{Error, Result};

use super::exchange::BEHIND;
use super::points::{Doing, Point};
use super::world::State;
use super::{Entry, StateFile, entry, topic};

/// A record as a reader knows it: partition, how often the topic had been made anew, offset.
pub type Record = (i32, u32, i64);

#[derive(Debug, Clone)]
pub struct Object {
    pub bytes: Bytes,
    pub modified: DateTime<Utc>,
}

/// What a task's log has held, whether it is still there or cleaned away.
#[derive(Debug, Default)]
pub struct Log {
    /// The number that comes next.
    pub next: u64,
    /// The attempt that claimed last.
    pub holder: Option<String>,
    /// The offset that comes next.
    pub offset: i64,
    pub generation: u32,
    /// The mark of the newest COMMIT, if it has records for topics.
    pub to_send: Option<String>,
    /// What a task remembers that lost or doubled nothing: a line for each epoch.
    pub remembered: String,
    /// By how much the store's clock was off at the newest entry, and what that says of its time.
    clock: TimeDelta,
    time: Option<DateTime<Utc>>,
}

#[derive(Debug, Default)]
pub struct Objects {
    pub all: BTreeMap<String, Object>,
    pub uploads: BTreeMap<u64, BTreeMap<usize, Bytes>>,
    pub uploads_begun: u64,
    pub logs: BTreeMap<i32, Log>,
    /// Final names that COMMITs list.
    decided: BTreeSet<String>,
    /// Every record that a reader has seen.
    pub seen: BTreeSet<Record>,
    /// What COMMITs list for topics, and who decided it, by their marks.
    pub to_send: BTreeMap<String, (BTreeSet<Record>, String)>,
    /// Records that whoever reads the exchange may see.
    pub exchanged: BTreeSet<Record>,
    /// The records of each group, as it was given out last.
    pub groups: BTreeMap<String, BTreeSet<Record>>,
    /// Records that Kafka had lost before they were read.
    pub lost: BTreeSet<Record>,
}

/// What a path is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    Log(i32),
    Entry(i32, u64),
    /// Staged by this attempt.
    Staged(String),
    Stage,
    /// Files of a task's state, or their folder.
    State,
    Table,
    Other,
}

impl Kind {
    pub fn of(path: &str) -> Self {
        if path.starts_with("lake/city/") || path.starts_with("lake/_dead/") {
            return Self::Table;
        }
        let Some((_, below)) = path.split_once("_rillgate/rides/") else { return Self::Other };
        let mut parts: Vec<&str> = below.split('/').collect();
        let first = if parts.remove(0) == "trips" { 0 } else { BEHIND };
        let Some(partition) = parts.first().and_then(|part| part.parse::<i32>().ok()) else { return Self::Other };
        let partition = first + partition;
        match parts[1..] {
            ["log"] => Self::Log(partition),
            ["log", name] => entry::sequence(name).map_or(Self::Other, |number| Self::Entry(partition, number)),
            ["stage", attempt, _] => Self::Staged(attempt.to_owned()),
            ["stage", ..] => Self::Stage,
            ["state", ..] => Self::State,
            _ => Self::Other,
        }
    }
}

impl Objects {
    pub fn new(tasks: &[i32]) -> Self {
        Self { logs: tasks.iter().map(|task| (*task, Log::default())).collect(), ..Self::default() }
    }

    pub fn is_published(&self, path: &str) -> bool {
        self.all.contains_key(&format!("lake/{path}"))
    }

    pub fn get(&self, path: &str) -> Result<Object> {
        self.all.get(path).cloned().ok_or_else(|| Error::NotFound { path: path.to_owned(), source: "404".into() })
    }

    /// Names after `after` below a folder, a page of them.
    pub fn page(&self, folder: &str, after: Option<&str>, page: usize) -> Vec<(String, Object)> {
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let from = after.map_or_else(|| prefix.clone(), |after| format!("{after}\0"));
        let below = self.all.range(from..).take_while(|(path, _)| path.starts_with(&prefix));
        below.take(page).map(|(path, object)| (path.clone(), object.clone())).collect()
    }
}

impl State {
    /// Puts an object into its place, in one moment.
    pub fn put(&mut self, path: &str, bytes: Bytes, if_absent: bool) -> Result<()> {
        let there = self.objects.all.get(path);
        if if_absent && there.is_some() {
            return Err(Error::AlreadyExists { path: path.to_owned(), source: "412".into() });
        }
        let kind = Kind::of(path);
        let is_changed = there.is_some_and(|there| there.bytes != bytes);
        match kind {
            Kind::Table if is_changed => self.is_wrong(format!("{path} was there, and changed")),
            Kind::Table if there.is_none() => self.read_file(path, &bytes),
            Kind::Entry(..) if is_changed => self.is_wrong(format!("{path} was there, and changed")),
            Kind::Entry(partition, number) => self.read_entry(partition, number, &bytes),
            Kind::Staged(attempt) => {
                if let Some(attempt) = self.attempts.get_mut(&attempt) {
                    attempt.staged.insert(path.to_owned());
                }
            }
            _ => {}
        }
        let modified = DateTime::UNIX_EPOCH + TimeDelta::milliseconds(self.now_ms() as i64) + self.store_clock;
        self.objects.all.insert(path.to_owned(), Object { bytes, modified });
        Ok(())
    }

    pub fn delete(&mut self, path: &str) {
        if self.objects.all.remove(path).is_none() {
            return;
        }
        match Kind::of(path) {
            Kind::Table => self.is_wrong(format!("{path} was there, and is gone")),
            Kind::Entry(..) => self.figures.reach(Point::LogCleaned),
            Kind::Staged(attempt) => {
                if let Some(attempt) = self.attempts.get_mut(&attempt) {
                    attempt.staged.remove(path);
                }
            }
            _ => {}
        }
    }

    /// A file has appeared where readers look.
    fn read_file(&mut self, path: &str, bytes: &Bytes) {
        let text = String::from_utf8_lossy(bytes);
        let mut lines: Vec<&str> = text.lines().collect();
        let count = lines.pop().and_then(|last| last.strip_prefix('=')).and_then(|count| count.parse().ok());
        if count != Some(lines.len()) {
            return self.is_wrong(format!("{path} is half a file: {text:?}"));
        }
        if !self.objects.decided.contains(path.strip_prefix("lake/").unwrap_or(path)) {
            self.is_wrong(format!("{path} appeared, and was never decided"));
        }
        if path.starts_with("lake/city/counts/") {
            return self.read_groups(path, &lines);
        }
        for line in lines {
            let Some(record) = record(line) else { return self.is_wrong(format!("{path}: no record: {line}")) };
            if !self.objects.seen.insert(record) {
                self.is_wrong(format!("{path}: a reader sees record {record:?} twice"));
            }
            if self.objects.lost.contains(&record) {
                self.is_wrong(format!("{path}: record {record:?} was counted as lost, and is there"));
            }
        }
    }

    /// An entry has been written.
    fn read_entry(&mut self, partition: i32, number: u64, bytes: &Bytes) {
        let Ok(entry) = serde_json::from_slice::<Entry>(bytes) else {
            return self.is_wrong(format!("entry {number} of partition {partition} is none"));
        };
        self.count_clocks(partition, &entry);
        let Self { objects, topic, attempts, figures, .. } = self;
        let Some(log) = objects.logs.get_mut(&partition) else { return };
        if number < log.next {
            // Cleaned away, and written by a writer who came much too late: nobody may take it for decided.
            figures.reach(Point::NumberReused);
            return;
        }
        let mut wrong = None;
        if number > log.next {
            wrong = Some(format!("entry {number} leaves a hole after {} others", log.next));
        }
        match &entry {
            Entry::Claim(claim) => {
                let low = topic.low(partition);
                if claim.generation == log.generation && claim.start != log.offset {
                    if claim.start < log.offset || claim.start > low {
                        wrong = Some(format!("CLAIM {number} begins at {}, not at {}", claim.start, log.offset));
                    }
                    let lost = (log.offset..claim.start).map(|offset| (partition, claim.generation, offset));
                    objects.lost.extend(lost.filter(|record| topic.is_record(*record)));
                }
                if claim.generation > topic.generation(partition) {
                    wrong = Some(format!("CLAIM {number} takes the topic for made anew"));
                }
                (log.offset, log.generation) = (claim.start, claim.generation);
                log.holder = Some(claim.attempt.clone());
                if let Some(attempt) = attempts.get_mut(&claim.attempt) {
                    attempt.claimed = Some(number);
                }
            }
            Entry::Commit(commit) => {
                if log.holder.as_ref() != Some(&commit.attempt) {
                    wrong = Some(format!("COMMIT {number} is by {}, who was fenced", commit.attempt));
                }
                if commit.start != log.offset || commit.generation != log.generation {
                    wrong = Some(format!("COMMIT {number} begins at {}, not at {}", commit.start, log.offset));
                }
                let late = commit.files.iter().find(|file| !objects.decided.insert(file.path.clone()));
                if let Some(file) = late {
                    wrong = Some(format!("COMMIT {number} decides {} a second time", file.path));
                }
                log.remembered.push_str(&format!("{}:{}..{}\n", commit.generation, commit.start, commit.end));
                // Groups are looked at where they are given out.
                let content = |file: &StateFile| {
                    let found = objects.all.iter().find(|(path, _)| path.ends_with(&file.path));
                    found.map_or_else(
                        || "gone\n".to_owned(),
                        |(_, found)| String::from_utf8_lossy(&found.bytes).into_owned(),
                    )
                };
                let files = commit.state.iter().filter(|_| partition < BEHIND).flat_map(|state| &state.files);
                let remembered: String = files.map(content).collect();
                if partition < BEHIND && remembered != log.remembered {
                    wrong = Some(format!("COMMIT {number} remembers {remembered:?}, not {:?}", log.remembered));
                }
                let mark = entry::mark(number, &commit.attempt);
                let mut records = BTreeSet::new();
                for file in &commit.records {
                    let staged = objects.all.iter().find(|(path, _)| path.ends_with(&file.staged));
                    match staged {
                        Some((_, object)) => records.extend(topic::records(&object.bytes)),
                        None => wrong = Some(format!("COMMIT {number} lists {}, which isn't staged", file.staged)),
                    }
                }
                log.to_send = (!records.is_empty()).then(|| mark.clone());
                objects.to_send.insert(mark, (records, commit.attempt.clone()));
                log.offset = commit.end;
                figures.commits += 1;
                if let Some(attempt) = attempts.get_mut(&commit.attempt) {
                    attempt.staged.clear();
                    attempt.commit = Some(commit.clone());
                    attempt.acknowledged = false;
                }
            }
        }
        log.next = number + 1;
        if let Some(wrong) = wrong {
            self.is_wrong(format!("partition {partition}: {wrong}"));
        }
    }

    fn count_clocks(&mut self, partition: i32, entry: &Entry) {
        let text = match entry {
            Entry::Claim(claim) => &claim.time,
            Entry::Commit(commit) => &commit.time,
        };
        let time = DateTime::parse_from_rfc3339(text).map(|time| time.to_utc()).ok();
        let clock = self.store_clock;
        let Some(log) = self.objects.logs.get_mut(&partition) else { return };
        if log.next > 0 && log.clock != clock {
            self.figures.reach(Point::StoreClockOff);
        }
        let before = log.time.zip(time).is_some_and(|(before, now)| before - now > TimeDelta::minutes(30));
        if before {
            self.figures.reach(Point::WriterClockOff);
        }
        (log.clock, log.time) = (clock, time);
    }

    /// What an attempt is doing by asking for this.
    pub fn doing(kind: &Kind, is_listing: bool, is_delete: bool, attempt_has_claimed: bool) -> Doing {
        match kind {
            Kind::Log(_) | Kind::Stage if is_listing && attempt_has_claimed => Doing::Cleaning,
            Kind::Log(_) | Kind::Stage => Doing::Listing,
            Kind::State if is_listing => Doing::Listing,
            Kind::State if is_delete => Doing::Removing,
            Kind::State => Doing::Staging,
            Kind::Entry(..) if is_delete => Doing::Cleaning,
            Kind::Entry(..) => Doing::Reading,
            Kind::Staged(_) if is_delete => Doing::Removing,
            Kind::Staged(_) => Doing::Staging,
            Kind::Table | Kind::Other => Doing::Publishing,
        }
    }
}

/// A record by its name.
pub fn record(name: &str) -> Option<Record> {
    let parts: Vec<i64> = name.split(':').filter_map(|part| part.parse().ok()).collect();
    let [partition, generation, offset] = parts[..] else { return None };
    Some((partition as i32, generation as u32, offset))
}

pub fn path(text: &str) -> Path {
    Path::from(text)
}
