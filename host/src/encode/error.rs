//! What can go wrong in encode.

use arrow::error::ArrowError;
use parquet::errors::ParquetError;

use crate::batch::Rejection;

/// Why a table can't be written.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// An option can't be as it is; found when the writer is made, before any row.
    #[error("{message}")]
    Option {
        /// The option's name in the sink: `table`, `format`, `compression`, `compression_level`, `partition_by` or
        /// `max_open_files`.
        key: &'static str,
        /// What is wrong and what to write instead.
        message: String,
    },
    /// A row can't be written and `TableWriter::check` wasn't asked about it.
    #[error("row {}: {}", .0.row, .0.reason)]
    Row(Rejection),
    /// A batch has other columns than the writer was made for: a fault of the program, not of the data.
    #[error("a batch with columns {found} came to a table with columns {expected}")]
    Columns {
        /// Names and types of the batch's columns.
        found: String,
        /// Names and types of the table's columns.
        expected: String,
    },
    /// The Parquet library refused.
    #[error("can't write Parquet: {0}")]
    Parquet(#[from] ParquetError),
    /// The CSV or JSON writer, or the splitting into partitions refused.
    #[error("can't write the batch: {0}")]
    Arrow(#[from] ArrowError),
    /// More than a column can hold.
    #[error("the records of one batch are more than 2 GiB: have the plugin return fewer rows at once, or shorter ones")]
    TooLong,
    /// The compressor refused.
    #[error("can't compress: {0}")]
    Compress(#[from] std::io::Error),
}

impl EncodeError {
    /// The option at fault, so that config can point to its line; `None` where it is none.
    pub fn key(&self) -> Option<&'static str> {
        match self {
            Self::Option { key, .. } => Some(key),
            _ => None,
        }
    }

    pub(super) fn option(key: &'static str, message: impl Into<String>) -> Self {
        Self::Option { key, message: message.into() }
    }
}

/// Names in backquotes, separated by commas, for messages.
pub(super) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}
