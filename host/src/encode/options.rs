//! What a sink says about its table: name, file format, compression, partitions.
//!
//! Triggers (when a table's files are closed) are not here: they belong to the task, whose options flatten these.

use schemars::JsonSchema;
use serde::Deserialize;

/// A table of files in the object store. Other keys of a sink (`every`, `size`, `rows`) lie beside these, so unknown
/// keys are found by whoever flattens this struct into its own.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
pub struct TableOptions {
    /// The table's folder in the store, for example `railway_station/passenger_flow`.
    pub table: String,
    /// How rows are written.
    #[serde(default)]
    pub format: Format,
    /// How the pages of a Parquet file are compressed: zstd unless said otherwise. Text formats are compressed as a
    /// whole and say so in `format`.
    #[serde(default)]
    pub compression: Option<Compression>,
    /// Level of zstd (1 to 19) or gzip (1 to 9), for formats that use them. 1, the fastest and the one that takes the
    /// least memory, unless said otherwise.
    #[serde(default)]
    pub compression_level: Option<u32>,
    /// Hive partitions, outermost first: a column (utf8, int32, int64, boolean or date), or `year(column)`,
    /// `month(column)`, `day(column)`, `hour(column)`, `date(column)` of a timestamp or date column, in UTC. Where the
    /// table has one timestamp column its name can be left out: `date`.
    #[serde(default)]
    pub partition_by: Vec<String>,
    /// How many files a task keeps open at once, at least 1. Past that, the file least recently written is closed
    /// before another is opened: partitions that take turns make more and smaller files, never more memory.
    #[serde(default = "default_max_open_files")]
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
            max_open_files: default_max_open_files(),
        }
    }
}

fn default_max_open_files() -> u32 {
    64
}

/// The formats that a table's files can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
pub enum Format {
    /// Apache Parquet.
    #[default]
    #[serde(rename = "parquet")]
    Parquet,
    /// Comma-separated values with a header line; null is empty.
    #[serde(rename = "csv")]
    Csv,
    /// CSV in one gzip stream.
    #[serde(rename = "csv.gz")]
    CsvGz,
    /// CSV in one zstd frame.
    #[serde(rename = "csv.zst")]
    CsvZst,
    /// One JSON object a line.
    #[serde(rename = "json")]
    Json,
    /// JSON lines in one gzip stream.
    #[serde(rename = "json.gz")]
    JsonGz,
    /// JSON lines in one zstd frame.
    #[serde(rename = "json.zst")]
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

#[cfg(test)]
mod tests {
    use super::*;

    /// As the task's options hold them.
    #[derive(Debug, PartialEq, Deserialize, JsonSchema)]
    struct Sink {
        #[serde(flatten)]
        table: TableOptions,
        every: Option<String>,
    }

    fn parse(text: &str) -> Result<Sink, String> {
        toml::from_str(text).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn defaults() {
        let sink = parse("table = 'a/b'\nevery = '180s'").unwrap();
        assert_eq!(sink, Sink { table: TableOptions::new("a/b", Format::Parquet), every: Some("180s".to_owned()) });
    }

    #[test]
    fn every_key_flattened() {
        let sink = parse(
            "table = 'a'\nformat = 'json.zst'\ncompression = 'snappy'\ncompression_level = 3\npartition_by = ['date']\nmax_open_files = 2",
        )
        .unwrap();
        let table = TableOptions {
            compression: Some(Compression::Snappy),
            compression_level: Some(3),
            partition_by: vec!["date".to_owned()],
            max_open_files: 2,
            ..TableOptions::new("a", Format::JsonZst)
        };
        assert_eq!(sink, Sink { table, every: None });
    }

    #[test]
    fn every_format_by_its_name() {
        use Format::*;
        for format in [Parquet, Csv, CsvGz, CsvZst, Json, JsonGz, JsonZst] {
            let sink = parse(&format!("table = 'a'\nformat = '{}'", format.name())).unwrap();
            assert_eq!(sink.table.format, format);
        }
        assert!(parse("table = 'a'\nformat = 'orc'").unwrap_err().contains("unknown variant `orc`"));
        assert!(parse("format = 'csv'").unwrap_err().contains("missing field `table`"));
    }

    #[test]
    fn descriptions_reach_the_json_schema() {
        let schema = serde_json::to_string(&schemars::schema_for!(Sink)).unwrap();
        for key in ["Hive partitions", "csv.zst", "snappy", "every"] {
            assert!(schema.contains(key), "{key} in {schema}");
        }
    }
}
