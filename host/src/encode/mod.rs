//! Batches into the bytes of files: Parquet, CSV or JSON lines, by Hive partition. Encode never does I/O.

mod options;

pub use options::{Compression, Format, TableOptions};
