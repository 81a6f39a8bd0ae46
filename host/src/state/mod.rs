//! What a task remembers from one epoch to the next: tables of keys and values, in memory and in files.
//!
//! Nothing here does I/O or knows what the values mean. A commit costs by what changed, not by what is there.

mod changes;
mod columns;
mod ends;
mod file;
mod key_columns;
mod keys;
mod seen;
mod table;

pub use columns::Columns;
pub use file::{FileError, decode, decode_any, encode};
pub use key_columns::{KeyBytes, KeyColumns, KeyRows};
pub use keys::{Keys, Lookup, Span};
pub use seen::{Noted, Seen};
pub use table::{Delta, Table};
