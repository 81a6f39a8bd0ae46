//! Done again: a call that a plugin failed in, and the dead letters of a pipeline, by the plugin that there is now or by another.
//!
//! - [`call`]: one kept call, exactly as it was made
//! - [`letters`]: dead letters as they are read back
//! - [`again`]: dead letters, one after another, on the way that records take
//! - [`redrive`]: those that pass, sent back to where they came from
//!
//! What never happens: anything is written to a table, or to the commit log of a pipeline.

mod again;
mod call;
mod letters;
mod redrive;

pub use again::{Again, Verdict};
pub use call::{Answer, call_again};
pub use letters::{Letter, files, read};
pub use redrive::{Redriven, redrive, sent_back};
