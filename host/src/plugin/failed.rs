//! Calls of plugins that failed, kept whole: so that they can be made again later, elsewhere, with another version.
//!
//! What never happens: the value of a setting is kept. It may be a secret; its name is enough to find it where it is configured.

use std::panic::catch_unwind;
use std::path::PathBuf;
use std::time::Duration;

use arrow::array::{Array, ArrayRef};
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

use super::{ApplyError, BatchTime, Limits};
use crate::batch::{RecordBatch, SchemaRef};

/// What a plugin was asked, and what it failed with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FailedCall {
    /// The plugin's file.
    pub plugin: PathBuf,
    /// SHA-256 of the file, in hexadecimal.
    pub digest: String,
    /// What went wrong.
    pub reason: String,
    /// The names of its settings.
    pub settings: Vec<String>,
    /// What it might use.
    pub limits: KeptLimits,
    /// The time that it saw, milliseconds since 1970-01-01T00:00:00Z.
    pub timestamp_ms: i64,
    /// Where its random numbers began.
    pub seed: u64,
    /// The columns of rows that it was opened for.
    pub input: Columns,
    /// The columns of groups that it was opened for; none for a transform.
    pub groups: Columns,
    /// The function, and what it was given.
    #[serde(flatten)]
    pub call: Call,
}

/// A function of a plugin, and what it is given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "function", rename_all = "lowercase")]
pub enum Call {
    /// `transform.apply`
    Apply {
        /// The batch.
        rows: Columns,
    },
    /// `aggregate.update`
    Update {
        /// The rows.
        rows: Columns,
        /// Which group each of them is of.
        group_of_row: Vec<u32>,
        /// How many groups there are.
        group_count: u32,
        /// The states of the first of them.
        states: Columns,
    },
    /// `aggregate.merge`
    Merge {
        /// States.
        left: Columns,
        /// Those that come after them.
        right: Columns,
    },
    /// `aggregate.finish`
    Finish {
        /// Keys and windows.
        of: Columns,
        /// Their states.
        states: Columns,
    },
    /// `state-migration.migrate`
    Migrate {
        /// States of an older version, in its columns.
        states: Columns,
    },
}

/// Columns: in a file the base64 of an Arrow IPC stream, which says everything of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Columns(pub RecordBatch);

/// [`Limits`], in plain numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeptLimits {
    memory_bytes: u64,
    time_ms: u64,
    output_bytes: u64,
}

impl KeptLimits {
    pub(super) fn new(limits: &Limits) -> Self {
        let time_ms = u64::try_from(limits.time.as_millis()).unwrap_or(u64::MAX);
        Self { memory_bytes: limits.memory, time_ms, output_bytes: limits.output }
    }

    /// As a plugin is opened with.
    pub fn limits(&self) -> Limits {
        Limits { memory: self.memory_bytes, time: Duration::from_millis(self.time_ms), output: self.output_bytes }
    }
}

impl FailedCall {
    /// The clock and the random numbers that it had.
    pub fn now(&self) -> BatchTime {
        BatchTime { timestamp_ms: self.timestamp_ms, seed: self.seed }
    }

    /// About how many bytes its columns take, without what else is in the batches that they are parts of.
    pub fn bytes(&self) -> usize {
        let bytes = |column: &ArrayRef| column.to_data().get_slice_memory_size().unwrap_or(usize::MAX);
        let batches = self.call.batches().into_iter();
        batches.flat_map(|(_, batch)| batch.columns()).map(bytes).fold(0, usize::saturating_add)
    }
}

impl Call {
    /// What it is given, under the names that the interface has for it.
    pub fn batches(&self) -> Vec<(&'static str, &RecordBatch)> {
        match self {
            Self::Apply { rows } => vec![("rows", &rows.0)],
            Self::Update { rows, states, .. } => vec![("rows", &rows.0), ("states", &states.0)],
            Self::Merge { left, right } => vec![("left", &left.0), ("right", &right.0)],
            Self::Finish { of, states } => vec![("groups", &of.0), ("states", &states.0)],
            Self::Migrate { states } => vec![("states", &states.0)],
        }
    }

    /// The function's name.
    pub fn function(&self) -> &'static str {
        match self {
            Self::Apply { .. } => "apply",
            Self::Update { .. } => "update",
            Self::Merge { .. } => "merge",
            Self::Finish { .. } => "finish",
            Self::Migrate { .. } => "migrate",
        }
    }

    fn rows(&self) -> usize {
        self.batches().first().map_or(0, |(_, batch)| batch.num_rows())
    }
}

impl Columns {
    /// No rows of these columns.
    pub(super) fn none(schema: &SchemaRef) -> Self {
        Self(RecordBatch::new_empty(schema.clone()))
    }
}

impl Serialize for Columns {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let write = || -> Result<Vec<u8>, ArrowError> {
            let mut writer = StreamWriter::try_new(Vec::new(), self.0.schema_ref())?;
            writer.write(&self.0)?;
            writer.into_inner()
        };
        serializer.serialize_str(&BASE64_STANDARD.encode(write().map_err(ser::Error::custom)?))
    }
}

impl<'de> Deserialize<'de> for Columns {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = BASE64_STANDARD.decode(String::deserialize(deserializer)?).map_err(de::Error::custom)?;
        // Arrow panics at lengths that make no sense, and files can be damaged.
        let read = catch_unwind(|| match StreamReader::try_new(&bytes[..], None) {
            Ok(mut batches) => batches.next().unwrap_or_else(|| Err(ArrowError::IpcError("no columns".to_owned()))),
            Err(error) => Err(error),
        });
        let read = read.map_err(|_| de::Error::custom("columns that are damaged"))?;
        Ok(Self(read.map_err(de::Error::custom)?))
    }
}

/// The smallest call of a plugin that has failed since this was last taken: while messages are halved, that of those that fail alone.
#[derive(Debug, Default)]
pub(super) struct Smallest(Option<(Call, BatchTime, String)>);

impl Smallest {
    pub(super) fn note(&mut self, call: Call, now: BatchTime, error: &ApplyError) {
        // Where no fresh instance can be had, that was not for what was given.
        let is_for_it = !matches!(error, ApplyError::Reopen(_));
        if is_for_it && self.0.as_ref().is_none_or(|(smallest, ..)| call.rows() < smallest.rows()) {
            self.0 = Some((call, now, error.to_string()));
        }
    }

    pub(super) fn take(&mut self) -> Option<(Call, BatchTime, String)> {
        self.0.take()
    }
}
