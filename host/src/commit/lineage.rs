//! Which plugins and which configuration made what: read off the commit logs, and for Parquet files off their footers, too.

use bytes::Bytes;
use futures::StreamExt;
use object_store::{Error as StoreError, ObjectStore, ObjectStoreExt};
use parquet::DecodeResult;
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataPushDecoder};
use serde::Serialize;

use super::entry::{Commit, CommittedFile, Entry};
use super::retry::retried;
use super::store::Store;
use super::task_log::LogError;
use super::verify::{Report, list, numbers, read_log};

/// The key of a Parquet footer under which the digests of the plugins are.
pub const FOOTER_PLUGINS: &str = "rillgate.plugins";
/// Footers read at once.
const READS: usize = 8;
/// Read at first of the end of a file: most footers are shorter.
const FOOTER_BYTES: u64 = 64 << 10;

/// Who made what of a pipeline.
#[derive(Debug, Default, Serialize)]
pub struct Lineage {
    /// By topic and partition.
    pub tasks: Vec<TaskLineage>,
    /// Parquet files whose footers name the plugins that their COMMIT does.
    pub footers: usize,
    /// Those that don't.
    #[serde(skip)]
    pub problems: Vec<String>,
}

/// Who made what of a partition.
#[derive(Debug, Serialize)]
pub struct TaskLineage {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: String,
    /// Number of the first entry that is left of the log. If it isn't 0, nothing is known of what came before.
    pub first_entry: u64,
    /// By whom, in the order of the log.
    pub ranges: Vec<Range>,
}

/// Consecutive epochs that the same plugins made with the same configuration.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Range {
    /// First offset.
    pub start: i64,
    /// The offset after the last one.
    pub end: i64,
    /// How often the topic had been made anew.
    pub generation: u32,
    /// SHA-256 of the plugins, in order.
    pub plugins: Vec<String>,
    /// SHA-256 of the pipeline's configuration.
    pub config: String,
    /// Epochs.
    pub commits: u64,
    /// Files of tables and dead letters.
    pub files: u64,
    /// Rows in them.
    pub rows: u64,
    /// Records for topics.
    pub records: u64,
    /// Records that became dead letters.
    pub dead_letters: u64,
    /// When the first was decided, by its writer's clock.
    pub from: String,
    /// When the last was.
    pub to: String,
}

impl Range {
    fn new(commit: &Commit) -> Self {
        Self {
            start: commit.start,
            end: commit.start,
            generation: commit.generation,
            plugins: commit.plugins.clone(),
            config: commit.config.clone(),
            commits: 0,
            files: 0,
            rows: 0,
            records: 0,
            dead_letters: 0,
            from: commit.time.clone(),
            to: commit.time.clone(),
        }
    }

    fn goes_on_with(&self, commit: &Commit) -> bool {
        (self.end, self.generation) == (commit.start, commit.generation)
            && self.plugins == commit.plugins
            && self.config == commit.config
    }

    fn add(&mut self, commit: &Commit) {
        self.end = commit.end;
        self.commits += 1;
        self.files += commit.files.len() as u64;
        self.rows += commit.files.iter().map(|file| file.rows).sum::<u64>();
        self.records += commit.records.iter().map(|file| file.rows).sum::<u64>();
        self.dead_letters += commit.dead_letters;
        self.to = commit.time.clone();
    }
}

/// Reads the lineage of a pipeline. What is wrong with its logs and files otherwise, [`verify`](super::verify::verify) says.
pub async fn lineage(store: &Store, pipeline: &str) -> Result<Lineage, LogError> {
    let mut lineage = Lineage::default();
    let folder = format!("_rillgate/{pipeline}");
    for (task, entries) in numbers(&list(&store.control, &folder).await?) {
        let history = read_log(store, &task, entries, &mut Report::default()).await?;
        let Some((first_entry, _)) = history.first() else { continue };
        let name = task.strip_prefix(&folder).unwrap_or(&task).trim_start_matches('/');
        let (topic, partition) = name.rsplit_once('/').unwrap_or((name, ""));
        let mut ranges: Vec<Range> = Vec::new();
        for (sequence, entry) in &history {
            let Entry::Commit(commit) = entry else { continue };
            match ranges.last_mut().filter(|range| range.goes_on_with(commit)) {
                Some(range) => range.add(commit),
                None => {
                    let mut range = Range::new(commit);
                    range.add(commit);
                    ranges.push(range);
                }
            }
            let checks = futures::stream::iter(&commit.files)
                .filter(|file| std::future::ready(file.path.ends_with(".parquet")))
                .map(|file| check(store, file, &commit.plugins))
                .buffered(READS);
            let found: Vec<_> = checks.collect().await;
            for (file, found) in commit.files.iter().filter(|file| file.path.ends_with(".parquet")).zip(found) {
                match found? {
                    Footer::Agrees => lineage.footers += 1,
                    Footer::NotThere => {}
                    Footer::Wrong(wrong) => {
                        lineage
                            .problems
                            .push(format!("{}: {wrong} (entry {sequence} of {topic}/{partition})", file.path));
                    }
                }
            }
        }
        let (topic, partition) = (topic.to_owned(), partition.to_owned());
        lineage.tasks.push(TaskLineage { topic, partition, first_entry: *first_entry, ranges });
    }
    Ok(lineage)
}

/// What a footer says of who made the file.
enum Footer {
    Agrees,
    /// The file isn't there, or is none that was decided: that is found elsewhere.
    NotThere,
    Wrong(String),
}

async fn check(store: &Store, file: &CommittedFile, plugins: &[String]) -> Result<Footer, LogError> {
    let metadata = match footer(store, file).await? {
        None => return Ok(Footer::NotThere),
        Some(Err(error)) => return Ok(Footer::Wrong(format!("its footer can't be read: {error}"))),
        Some(Ok(metadata)) => metadata,
    };
    let pairs = metadata.file_metadata().key_value_metadata();
    let said = pairs.and_then(|pairs| pairs.iter().find(|pair| pair.key == FOOTER_PLUGINS)?.value.clone());
    let decided = plugins.join(",");
    Ok(match said {
        Some(said) if said == decided => Footer::Agrees,
        Some(said) => Footer::Wrong(format!("its footer says plugins {said:?}, its COMMIT {decided:?}")),
        None => Footer::Wrong(format!("its footer doesn't say which plugins made it; its COMMIT says {decided:?}")),
    })
}

/// Reads the footer of a file and nothing else of it; `None` where there is no such file of this length.
async fn footer(
    store: &Store,
    file: &CommittedFile,
) -> Result<Option<Result<ParquetMetaData, ParquetError>>, LogError> {
    let path = store.tables.path(&file.path).map_err(LogError::Store)?;
    let there = retried("look at a published file", || async { store.tables.store.head(&path).await }).await;
    match there {
        Ok(meta) if meta.size == file.bytes => {}
        Ok(_) | Err(LogError::Store(StoreError::NotFound { .. })) => return Ok(None),
        Err(error) => return Err(error),
    }
    let mut wanted: Vec<_> = std::iter::once(file.bytes.saturating_sub(FOOTER_BYTES)..file.bytes).collect();
    let decoder = ParquetMetaDataPushDecoder::try_new(file.bytes);
    let mut decoder = match decoder {
        Ok(decoder) => decoder.with_page_index_policy(PageIndexPolicy::Skip),
        Err(error) => return Ok(Some(Err(error))),
    };
    loop {
        let read = || async { store.tables.store.get_ranges(&path, &wanted).await };
        let parts: Vec<Bytes> = match retried("read the footer of a published file", read).await {
            Ok(parts) => parts,
            Err(LogError::Store(StoreError::NotFound { .. })) => return Ok(None),
            Err(error) => return Err(error),
        };
        let decoded = decoder.push_ranges(wanted, parts).and_then(|()| decoder.try_decode());
        wanted = match decoded {
            Ok(DecodeResult::Data(metadata)) => return Ok(Some(Ok(metadata))),
            Ok(DecodeResult::NeedsData(ranges)) => ranges,
            Ok(DecodeResult::Finished) => {
                return Ok(Some(Err(ParquetError::General("it has no footer".to_owned()))));
            }
            Err(error) => return Ok(Some(Err(error))),
        };
    }
}
