//! Batches into the bytes of files: Parquet, CSV or JSON lines, by Hive partition.
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
mod split;
mod table;
mod text;

pub use avro::{AvroEncoder, AvroRows};
pub use dead::{DeadLetterFormat, DeadLetters};
pub use error::EncodeError;
pub use options::{Compression, Format, TableOptions};
pub use table::{FileId, Output, TableWriter};

#[cfg(test)]
mod tests;
