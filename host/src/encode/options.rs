//! What a sink says about its table: name, file format, compression, partitions.
//!
//! Triggers (when a table's files are closed) are not here: they belong to the task.

use schemars::JsonSchema;
use serde::Deserialize;

/// Files that a task keeps open, unless said otherwise.
const MAX_OPEN_FILES: u32 = 64;

/// A table of files in the object store.
#[derive(Debug, Clone, PartialEq)]
pub struct TableOptions {
    /// The table's folder in the store, for example `railway_station/passenger_flow`.
    pub table: String,
    /// How rows are written.
    pub format: Format,
    /// How the pages of a Parquet file are compressed: zstd unless said otherwise. Text formats are compressed as a
    /// whole and say so in `format`.
    pub compression: Option<Compression>,
    /// Level of zstd (1 to 19) or gzip (1 to 9), for formats that use them. 1, the fastest and the one that takes the
    /// least memory, unless said otherwise.
    pub compression_level: Option<u32>,
    /// Hive partitions, outermost first: a column (utf8, int32, int64, boolean or date), or `year(column)`,
    /// `month(column)`, `day(column)`, `hour(column)`, `date(column)` of a timestamp or date column, in UTC. Where the
    /// table has one timestamp column its name can be left out: `date`.
    pub partition_by: Vec<String>,
    /// How many files a task keeps open at once, at least 1. Past that, the file least recently written is closed
    /// before another is opened: partitions that take turns make more and smaller files, never more memory.
    pub max_open_files: u32,
}

impl TableOptions {
    /// Options of an unpartitioned table, all else by default.
    pub fn new(table: impl Into<String>, format: Format) -> Self {
        Self {
            table: table.into(),
            format,
            compression: None,
            compression_level: None,
            partition_by: Vec::new(),
            max_open_files: MAX_OPEN_FILES,
        }
    }
}

/// The formats that a table's files can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// Apache Parquet.
    #[default]
    Parquet,
    /// Comma-separated values with a header line; null is empty.
    Csv,
    /// CSV in one gzip stream.
    CsvGz,
    /// CSV in one zstd frame.
    CsvZst,
    /// One JSON object a line.
    Json,
    /// JSON lines in one gzip stream.
    JsonGz,
    /// JSON lines in one zstd frame.
    JsonZst,
}

impl Format {
    /// What the names of its files end in, without the first dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Csv => "csv",
            Self::CsvGz => "csv.gz",
            Self::CsvZst => "csv.zst",
            Self::Json => "jsonl",
            Self::JsonGz => "jsonl.gz",
            Self::JsonZst => "jsonl.zst",
        }
    }

    /// Its name in pipelines.toml.
    pub fn name(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Csv => "csv",
            Self::CsvGz => "csv.gz",
            Self::CsvZst => "csv.zst",
            Self::Json => "json",
            Self::JsonGz => "json.gz",
            Self::JsonZst => "json.zst",
        }
    }
}

/// How the pages of a Parquet file are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Zstandard: small and fast; every reader of the last years knows it.
    #[default]
    Zstd,
    /// Snappy, for old readers.
    Snappy,
    /// Pages as they are.
    None,
}
