//! Code that stands in for a plugin's, built into the process: for the benchmark that asks what the boundary costs.
//!
//! Nothing that can be configured leads here, and the command never calls it. The plugin is still loaded and opened, so that
//! all else is the same.

use std::sync::OnceLock;

use super::returned::Applied;
use crate::batch::{RecordBatch, SchemaRef};

/// Makes the code for one transform on one thread, given the columns that come in, the settings, and the columns that go out.
pub type Open = fn(&SchemaRef, &[(String, String)], &SchemaRef) -> Apply;
/// What is called in the plugin's place.
pub type Apply = Box<dyn FnMut(&RecordBatch) -> Applied + Send>;

static OPEN: OnceLock<Open> = OnceLock::new();

/// From here on, what `open` makes is called in the place of every transform of one table that is opened.
pub fn stand_in(open: Open) {
    // The first one stays.
    let _ = OPEN.set(open);
}

pub(super) fn opened(input: &SchemaRef, settings: &[(String, String)], output: &SchemaRef) -> Option<Apply> {
    OPEN.get().map(|open| open(input, settings, output))
}
