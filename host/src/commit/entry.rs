//! What the commit log of a task says: one JSON object per entry, `log/<20 digits>.json`.
//!
//! Format 1. A reader must refuse a higher `format`. Unknown fields are ignored, so fields may be added.

use serde::{Deserialize, Serialize};

/// The newest format this version writes and reads.
pub const FORMAT: u32 = 1;

/// One entry of the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Entry {
    /// An attempt took the task over, and so fenced whoever had it before.
    Claim(Claim),
    /// An attempt decided an epoch.
    Commit(Commit),
}

impl Entry {
    /// The attempt that wrote it.
    pub fn attempt(&self) -> &str {
        match self {
            Self::Claim(claim) => &claim.attempt,
            Self::Commit(commit) => &commit.attempt,
        }
    }

    /// The offset that whoever comes next begins at.
    pub fn next_offset(&self) -> i64 {
        match self {
            Self::Claim(claim) => claim.start,
            Self::Commit(commit) => commit.end,
        }
    }

    /// How often the topic had been made anew.
    pub fn generation(&self) -> u32 {
        match self {
            Self::Claim(claim) => claim.generation,
            Self::Commit(commit) => commit.generation,
        }
    }

    /// The format it was written in.
    pub fn format(&self) -> u32 {
        match self {
            Self::Claim(claim) => claim.format,
            Self::Commit(commit) => commit.format,
        }
    }
}

/// An attempt begins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Claim {
    /// [`FORMAT`].
    pub format: u32,
    /// A name that no other attempt at any task has.
    pub attempt: String,
    /// When it was written by the writer's clock, RFC 3339. For people: nothing is decided by it.
    pub time: String,
    /// The first offset it will read. Written down so that `latest` means the same after a crash before the first COMMIT.
    pub start: i64,
    /// Number of the newest COMMIT, if there is one.
    pub last_commit: Option<u64>,
    /// How often the topic was made anew, so that its offsets began again: part of the files' names.
    #[serde(default)]
    pub generation: u32,
}

/// An epoch is decided: these files, and no others, hold the rows of these offsets.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Commit {
    /// [`FORMAT`].
    pub format: u32,
    /// The attempt that decided.
    pub attempt: String,
    /// When it was written by the writer's clock, RFC 3339. For people: nothing is decided by it.
    pub time: String,
    /// First offset of the epoch.
    pub start: i64,
    /// The offset after its last one.
    pub end: i64,
    /// How often the topic was made anew, as the attempt's CLAIM says.
    #[serde(default)]
    pub generation: u32,
    /// Records skipped for want of a value.
    pub skipped: u64,
    /// Records that became dead letters.
    pub dead_letters: u64,
    /// SHA-256 of the plugins, in the order of the pipeline's transforms.
    pub plugins: Vec<String>,
    /// SHA-256 of the pipeline's configuration.
    pub config: String,
    /// Files of tables and dead letters.
    pub files: Vec<CommittedFile>,
    /// Records for topics. Absent where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub records: Vec<CommittedRecords>,
    /// What the task remembers of all its epochs, where it remembers anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<CommittedState>,
    /// Number of the next file, in an epoch that begins where this one did: one that holds no offsets.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub next_file: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What a task remembers, as its last epoch left it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CommittedState {
    /// No more rows are expected from before it: microseconds of event time since 1970-01-01T00:00:00Z; absent before the first row.
    pub watermark_us: Option<i64>,
    /// Groups that ended by then have left, some with changes that are in no file: microseconds as above. Absent before the first row, in
    /// entries that are older than it, and where there are no groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over_us: Option<i64>,
    /// The lateness that was allowed, microseconds. Absent where `over_us` may be for want of groups or age.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_lateness_us: Option<i64>,
    /// All its files, those of a table from the oldest to the newest: what a later one says goes over what an earlier one said.
    pub files: Vec<StateFile>,
    /// Of a task before or behind an exchange: what it has heard, as the exchange writes it. Absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchange: Option<Box<serde_json::Value>>,
}

/// A file of a task's state. It stays as long as a COMMIT that may be the last one names it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct StateFile {
    /// Which of the task's tables it belongs to.
    pub table: String,
    /// Where it is, below the task's control folder: `state/<attempt>-<n>`.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// XXH3 (128 bits) of its content, 32 hex digits.
    pub xxh3: String,
    /// Rows in it.
    pub rows: u64,
}

/// A file of a decided epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CommittedFile {
    /// Where it is staged, below the task's control folder.
    pub staged: String,
    /// Where it is published, below the store's root.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// XXH3 (128 bits) of its content, 32 hex digits.
    pub xxh3: String,
    /// Rows in it.
    pub rows: u64,
}

/// Records of a decided epoch for one topic, in one staged file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CommittedRecords {
    /// Where they are staged, below the task's control folder. Removed once they are sent.
    pub staged: String,
    /// The topic that they are sent to.
    pub topic: String,
    /// Size of the staged file.
    pub bytes: u64,
    /// XXH3 (128 bits) of its content, 32 hex digits.
    pub xxh3: String,
    /// Records in it.
    pub rows: u64,
}

/// What the transaction that sends the records of a COMMIT leaves in Kafka: its number, and the attempt that wrote it,
/// since a log that was moved away begins at the same numbers again.
pub fn mark(sequence: u64, attempt: &str) -> String {
    format!("{sequence} {attempt}")
}

/// The name of an entry below `log/`.
pub fn file_name(sequence: u64) -> String {
    format!("{sequence:020}.json")
}

/// The number of an entry by its name; `None` for a name that is none.
pub fn sequence(file_name: &str) -> Option<u64> {
    let digits = file_name.strip_suffix(".json")?;
    (digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_as_numbers_do_and_read_back() {
        assert_eq!(file_name(7), "00000000000000000007.json");
        assert!(file_name(9) < file_name(10));
        assert_eq!(sequence(&file_name(u64::MAX)), Some(u64::MAX));
        assert_eq!(sequence("7.json"), None);
        assert_eq!(sequence("99999999999999999999.json"), None, "past u64");
        assert_eq!(sequence("0000000000000000000a.json"), None);
    }

    #[test]
    fn an_entry_reads_back_and_unknown_fields_are_ignored() {
        let text = r#"{"kind":"claim","format":1,"attempt":"a","time":"t","start":5,"last_commit":null,"later":true}"#;
        let entry: Entry = serde_json::from_str(text).unwrap();
        assert_eq!((entry.attempt(), entry.next_offset(), entry.format()), ("a", 5, 1));
    }

    #[test]
    fn records_are_in_a_commit_that_has_some_and_nowhere_else() {
        let without = Entry::Commit(Commit::default());
        let text = serde_json::to_string(&without).unwrap();
        assert!(!text.contains("records"), "{text}");
        assert_eq!(serde_json::from_str::<Entry>(&text).unwrap(), without);
        let (staged, topic, xxh3) = ("stage/a/1".to_owned(), "t".to_owned(), "0".to_owned());
        let records = CommittedRecords { staged, topic, bytes: 3, xxh3, rows: 2 };
        let with = Entry::Commit(Commit { records: vec![records], ..Commit::default() });
        assert_eq!(serde_json::from_str::<Entry>(&serde_json::to_string(&with).unwrap()).unwrap(), with);
    }
}
