//! Batches into the bytes of files: Parquet, CSV or JSON lines, by Hive partition; and into records for topics.
//!
//! Encode never does I/O and never waits: whoever calls it streams the bytes on as they are complete.

mod avro;
mod chunks;
mod dead;
mod error;
mod iso;
mod options;
mod parquet;
mod partition;
mod plan;
mod records;
mod split;
mod table;
mod target;
mod text;
mod topic;

pub use avro::{AvroEncoder, AvroRows};
pub use dead::{DeadLetterFormat, DeadLetters, ROW_HEADER};
pub use error::EncodeError;
pub use options::{Compression, Format, TableOptions};
pub use records::{RecordWriter, Records, StagedRecords, placed_records, placed_schema};
pub use table::{FileId, Output, TableWriter};
pub use target::{Sifted, Target, TargetWriter};
pub use text::json_lines;
pub use topic::{RecordFormat, TopicOptions};

#[cfg(test)]
mod tests;
