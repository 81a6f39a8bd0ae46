//! Proves from outside that commit logs and tables agree: no gap, no double, no orphan, sizes and checksums right.
//!
//! May run beside a running host: tables are listed before logs are read, so a file that is seen has its COMMIT; and what
//! the newest COMMIT of a task has decided may still be on its way.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt};
use object_store::{Error as StoreError, ObjectStoreExt};
use serde::Serialize;

use super::entry::{self, CommittedFile, CommittedRecords, CommittedState, Entry, FORMAT};
use super::retry::retried;
use super::store::{Location, Store};
use super::task_log::{LogError, fingerprint};

/// Files read at once.
const READS: usize = 8;

/// What was found.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Tasks (topic and partition) that have a log.
    pub tasks: usize,
    /// Entries read.
    pub entries: usize,
    /// Records that the logs account for: the sum of all epochs' offsets.
    pub offsets: i64,
    /// Files that were compared with their COMMIT, byte by byte.
    pub files: usize,
    /// Rows in them, as the COMMITs say.
    pub rows: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// Records in the dead letters, as the COMMITs say.
    pub dead_letters: u64,
    /// Records for topics, as the COMMITs say. Kafka isn't asked for them.
    pub records: u64,
    /// Files decided by a newest COMMIT, but not published yet: the next claim publishes them.
    pub pending: usize,
    /// Staged files of records decided by a newest COMMIT: the next claim sends them, if they aren't sent.
    pub pending_records: usize,
    /// Files older than what is left of their log: neither proved nor doubted.
    pub uncovered: usize,
    /// Offsets that Kafka no longer had when the pipeline went on, as `topic/partition start..end`.
    pub lost_by_kafka: Vec<String>,
    /// Files of states that the newest COMMITs name.
    pub state_files: usize,
    /// Everything that is wrong. Empty: verified.
    pub problems: Vec<String>,
}

/// One pipeline to verify.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The pipeline's name.
    pub pipeline: String,
    /// The folders it writes, tables and dead letters, below the store's root.
    pub tables: Vec<String>,
}

/// Verifies one pipeline. An error means that the store could not be read; what is wrong is in the report.
pub async fn verify(store: &Store, subject: &Subject) -> Result<Report, LogError> {
    let mut report = Report::default();
    let mut seen: Listed = BTreeMap::new();
    for table in &subject.tables {
        seen.extend(list(&store.tables, table).await?);
    }
    let logs = list(&store.control, &format!("_rillgate/{}", subject.pipeline)).await?;
    let tasks = numbers(&logs);
    report.tasks = tasks.len();
    let mut decided: HashMap<String, String> = HashMap::new();
    for (folder, entries) in tasks {
        let history = read_log(store, &folder, entries, &mut report).await?;
        let task = folder.strip_prefix(&format!("_rillgate/{}/", subject.pipeline)).unwrap_or(&folder).to_owned();
        check_offsets(&task, &history, &mut report);
        if history.first().is_some_and(|(first, _)| *first > 0) {
            forget_uncovered(&task, &history, &mut seen, &mut report);
        }
        let last_commit = history.iter().rposition(|(_, entry)| matches!(entry, Entry::Commit(_)));
        for (index, (sequence, entry)) in history.iter().enumerate() {
            let Entry::Commit(commit) = entry else { continue };
            report.dead_letters += commit.dead_letters;
            for file in &commit.files {
                let here = format!("{task} entry {sequence}");
                if let Some(before) = decided.insert(file.path.clone(), here.clone()) {
                    report.problems.push(format!("{}: decided twice, by {before} and by {here}", file.path));
                }
            }
            let is_last = last_commit == Some(index);
            compare(store, &folder, &commit.files, is_last, &mut report).await?;
            if is_last && let Some(state) = &commit.state {
                let newest = history.last().map(|(sequence, _)| *sequence);
                compare_state(store, &folder, state, newest, &mut report).await?;
            }
            report.records += commit.records.iter().map(|file| file.rows).sum::<u64>();
            if is_last {
                compare_records(store, &folder, &commit.records, &mut report).await?;
            }
        }
    }
    for path in seen.keys().filter(|path| !decided.contains_key(*path)) {
        report.problems.push(format!("{path}: an orphan; no COMMIT of pipeline {} lists it", subject.pipeline));
    }
    Ok(report)
}

/// What the newest COMMIT says that the task remembers must be there. Beside a running host it may have gone since: then the log has a
/// newer COMMIT.
async fn compare_state(
    store: &Store,
    folder: &str,
    state: &CommittedState,
    newest: Option<u64>,
    report: &mut Report,
) -> Result<(), LogError> {
    let mut problems = Vec::new();
    for file in &state.files {
        let path = store.control.path(&format!("{folder}/{}", file.path)).map_err(LogError::Store)?;
        report.state_files += 1;
        problems.extend(match fingerprint(&store.control, &path).await? {
            Some((bytes, xxh3)) if (bytes, &xxh3) == (file.bytes, &file.xxh3) => None,
            Some(_) => Some(format!("{path}: state with other content than was decided")),
            None => Some(format!("{path}: state that was decided is gone")),
        });
    }
    if !problems.is_empty() {
        let now = numbers(&list(&store.control, &format!("{folder}/log")).await?).remove(folder).unwrap_or_default();
        if now.last_key_value().map(|(sequence, _)| *sequence) == newest {
            report.problems.append(&mut problems);
        }
    }
    Ok(())
}

/// Path below the location's root -> when it was written, by the store's clock.
pub(super) type Listed = BTreeMap<String, DateTime<Utc>>;
/// The same of the entries of a log, by number.
pub(super) type Numbers = BTreeMap<u64, DateTime<Utc>>;
/// An entry as it was read; `None` where it was gone.
type Read = Option<Result<Entry, serde_json::Error>>;

/// Everything below `folder`.
pub(super) async fn list(location: &Location, folder: &str) -> Result<Listed, LogError> {
    let prefix = location.path(folder).map_err(LogError::Store)?;
    let skip = if location.root.as_ref().is_empty() { 0 } else { location.root.as_ref().len() + 1 };
    let read = || async {
        let found = location.store.list(Some(&prefix));
        found.map_ok(|meta| (meta.location.as_ref()[skip..].to_owned(), meta.last_modified)).try_collect().await
    };
    retried("list files", read).await
}

/// The entries of each task's log, by the task's folder.
pub(super) fn numbers(logs: &Listed) -> BTreeMap<String, Numbers> {
    let mut tasks: BTreeMap<String, Numbers> = BTreeMap::new();
    for (name, written) in logs {
        if let Some((folder, file)) = name.split_once("/log/")
            && let Some(sequence) = entry::sequence(file)
        {
            tasks.entry(folder.to_owned()).or_default().insert(sequence, *written);
        }
    }
    tasks
}

fn holes(entries: &Numbers) -> impl Iterator<Item = (u64, u64)> {
    let pairs = entries.keys().zip(entries.keys().skip(1));
    pairs.filter(|(number, next)| **next != **number + 1).map(|(number, next)| (*number, *next))
}

pub(super) async fn read_log(
    store: &Store,
    folder: &str,
    mut entries: Numbers,
    report: &mut Report,
) -> Result<Vec<(u64, Entry)>, LogError> {
    let read = |sequence: u64| async move {
        let path = store.control.path(&format!("{folder}/log/{}", entry::file_name(sequence)))?;
        let bytes = async { store.control.store.get(&path).await?.bytes().await };
        match bytes.await {
            Ok(bytes) => Ok((sequence, Some(serde_json::from_slice::<Entry>(&bytes)))),
            Err(StoreError::NotFound { .. }) => Ok((sequence, None)),
            Err(error) => Err(error),
        }
    };
    let sequences: Vec<u64> = entries.keys().copied().collect();
    let reads = futures::stream::iter(sequences).map(read).buffered(READS);
    let mut found: Vec<(u64, Read)> = reads.try_collect().await.map_err(LogError::Store)?;
    if holes(&entries).next().is_some() || found.iter().any(|(_, entry)| entry.is_none()) {
        // Listed and read page by page while a running host cleans the log: what it has removed since counts no more.
        let now = numbers(&list(&store.control, &format!("{folder}/log")).await?).remove(folder).unwrap_or_default();
        if let Some((&first, _)) = now.first_key_value() {
            entries.retain(|sequence, _| *sequence >= first);
            found.retain(|(sequence, _)| *sequence >= first);
            if entries.is_empty() {
                // Nothing is left of what was listed.
                return Box::pin(read_log(store, folder, now, report)).await;
            }
        }
    }
    if let Some(last) = late(&entries, &found) {
        entries.retain(|sequence, _| *sequence > last);
        found.retain(|(sequence, _)| *sequence > last);
    }
    report.entries += found.len();
    for (number, next) in holes(&entries) {
        report.problems.push(format!("{folder}: no entry between {number} and {next}"));
    }
    let mut history = Vec::with_capacity(found.len());
    for (sequence, entry) in found {
        match entry {
            Some(Ok(entry)) if entry.format() == FORMAT => history.push((sequence, entry)),
            Some(Ok(entry)) => {
                let format = entry.format();
                report.problems.push(format!("{folder}: entry {sequence} has format {format}, not {FORMAT}"));
            }
            Some(Err(error)) => report.problems.push(format!("{folder}: entry {sequence}: {error}")),
            None => report.problems.push(format!("{folder}: entry {sequence} is gone")),
        }
    }
    Ok(history)
}

/// The number of the last entry that is none of the log's any more. A writer who was stopped until its number had been
/// cleaned away writes it again, and gives itself up: nobody goes by that entry. It is younger than one that comes after it, and
/// doesn't lead to the next: numbers are missing, or what it says doesn't fit.
fn late(entries: &Numbers, found: &[(u64, Read)]) -> Option<u64> {
    let is_late = |pair: &&[(u64, Read)]| {
        let [(number, entry), (next, after)] = pair else { return false };
        let leads_on = match (entry, after) {
            _ if *next != *number + 1 => false,
            (Some(Ok(entry)), Some(Ok(after))) => follows(entry, after),
            _ => true,
        };
        // There may be several such entries, one after another.
        !leads_on && entries.range(next..).map(|(_, written)| written).min() < entries.get(number)
    };
    found.windows(2).rfind(is_late).map(|pair| pair[0].0)
}

/// Whether `after` may come right after `entry`.
fn follows(entry: &Entry, after: &Entry) -> bool {
    match after {
        Entry::Claim(claim) => claim.generation > entry.generation() || claim.start >= entry.next_offset(),
        Entry::Commit(commit) => commit.attempt == entry.attempt() && commit.start == entry.next_offset(),
    }
}

fn check_offsets(task: &str, history: &[(u64, Entry)], report: &mut Report) {
    let mut next: Option<i64> = None;
    let mut attempt: Option<&str> = None;
    let mut generation = history.first().map_or(0, |(_, entry)| entry.generation());
    for (sequence, entry) in history {
        match entry {
            Entry::Claim(claim) => {
                match next {
                    Some(end) if claim.start > end => {
                        report.lost_by_kafka.push(format!("{task} {end}..{}", claim.start));
                    }
                    Some(end) if claim.start < end && claim.generation == generation => report.problems.push(format!(
                        "{task}: entry {sequence} claims from offset {} what was decided up to {end}",
                        claim.start
                    )),
                    _ => {}
                }
                next = Some(claim.start);
                generation = claim.generation;
                attempt = Some(&claim.attempt);
            }
            Entry::Commit(commit) => {
                if next.is_some_and(|next| next != commit.start) || commit.end < commit.start {
                    let (start, end) = (commit.start, commit.end);
                    let expected = next.unwrap_or(start);
                    report.problems.push(format!(
                        "{task}: entry {sequence} holds offsets {start}..{end}, expected a start at {expected}"
                    ));
                }
                if attempt.is_some_and(|attempt| attempt != commit.attempt) {
                    report.problems.push(format!("{task}: entry {sequence} was decided by a fenced attempt"));
                }
                report.offsets += commit.end - commit.start;
                next = Some(commit.end);
            }
        }
    }
}

/// Leaves out of `seen` the files of a task that are older than the first epoch its cleaned log still has.
fn forget_uncovered(task: &str, history: &[(u64, Entry)], seen: &mut Listed, report: &mut Report) {
    let floor = history.iter().map(|(_, entry)| match entry {
        Entry::Claim(claim) => (u64::from(claim.generation), claim.start),
        Entry::Commit(commit) => (u64::from(commit.generation), commit.start),
    });
    let Some(floor) = floor.min() else { return };
    // Names of files begin with the topic's, but for a sign that would hide them.
    let stem = match task.strip_prefix(['_', '.']) {
        Some(rest) => format!("%{:02X}{rest}-", task.as_bytes()[0]),
        None => format!("{task}-"),
    };
    let stem = stem.replace('/', "-");
    let before = seen.len();
    seen.retain(|path, _| origin(path.rsplit('/').next().unwrap_or(path), &stem).is_none_or(|origin| origin >= floor));
    report.uncovered += before - seen.len();
}

/// Generation of the topic and start of the epoch, as the name of a file of the task tells them.
fn origin(name: &str, stem: &str) -> Option<(u64, i64)> {
    let (start, n) = name.strip_prefix(stem)?.split_once('-')?;
    let n: u64 = n.split('.').next()?.parse().ok()?;
    Some((n / 1_000_000, start.parse().ok()?))
}

async fn compare(
    store: &Store,
    folder: &str,
    files: &[CommittedFile],
    is_last: bool,
    report: &mut Report,
) -> Result<(), LogError> {
    let read = |file: CommittedFile| async move {
        let path = store.tables.path(&file.path).map_err(LogError::Store)?;
        let found = fingerprint(&store.tables, &path).await?;
        Ok::<_, LogError>((file, found))
    };
    let mut reads = futures::stream::iter(files.iter().cloned()).map(read).buffer_unordered(READS);
    while let Some(done) = reads.next().await {
        let (file, mut found) = done?;
        let is_pending = found.is_none() && is_last && staged(store, folder, &file).await?;
        if found.is_none() && is_last && !is_pending {
            // Published, and removed from the stage, between one look and the other.
            found = read(file.clone()).await?.1;
        }
        match found {
            Some((bytes, xxh3)) if bytes == file.bytes && xxh3 == file.xxh3 => {
                report.files += 1;
                report.rows += file.rows;
                report.bytes += bytes;
            }
            Some((bytes, xxh3)) => report.problems.push(format!(
                "{}: {bytes} bytes, xxh3 {xxh3}; its COMMIT says {} bytes, xxh3 {}",
                file.path, file.bytes, file.xxh3
            )),
            None if is_pending => report.pending += 1,
            None => report.problems.push(format!("{}: decided, but not there", file.path)),
        }
    }
    Ok(())
}

/// Records are staged until they are sent; what is still there must be what was decided.
async fn compare_records(
    store: &Store,
    folder: &str,
    records: &[CommittedRecords],
    report: &mut Report,
) -> Result<(), LogError> {
    for file in records {
        let path = store.control.path(&format!("{folder}/{}", file.staged)).map_err(LogError::Store)?;
        match fingerprint(&store.control, &path).await? {
            None => {}
            Some((bytes, xxh3)) if bytes == file.bytes && xxh3 == file.xxh3 => report.pending_records += 1,
            Some((bytes, xxh3)) => report.problems.push(format!(
                "{path}: {bytes} bytes, xxh3 {xxh3}; its COMMIT says {} bytes, xxh3 {}",
                file.bytes, file.xxh3
            )),
        }
    }
    Ok(())
}

async fn staged(store: &Store, folder: &str, file: &CommittedFile) -> Result<bool, LogError> {
    let path = store.control.path(&format!("{folder}/{}", file.staged)).map_err(LogError::Store)?;
    match retried("look for a staged file", || async { store.control.store.head(&path).await }).await {
        Ok(_) => Ok(true),
        Err(LogError::Store(object_store::Error::NotFound { .. })) => Ok(false),
        Err(error) => Err(error),
    }
}
