//! From bytes to columns: the values (and keys) of messages become typed Arrow columns.

mod options;

pub use options::{ColumnOptions, CsvOptions, DecodeOptions};
