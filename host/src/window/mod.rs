//! Groups of rows by key and event time: which rows belong together, which come too late, which are doubled, and when a group is
//! complete.
//!
//! Each row is judged by the rows before it in its partition, never by how rows were cut into batches or epochs: done again after a
//! failure, everything comes out the same. What the rows of a group come to is a [`Fold`]'s business.
//!
//! What never happens: a batch is folded in part.

mod aggregation;
mod calls;
mod carrying;
mod combiner;
mod dedup;
mod event_time;
mod groups;
mod merging;
mod options;
mod session;
#[cfg(test)]
mod tests;

use crate::batch::{RecordBatch, Rejection};

pub use aggregation::{Aggregation, Deltas, Folded, Restored, WINDOW_END, WINDOW_START, group_schema};
pub use carrying::{Carrier, Migrate, NotCarried, StateChange, compatible};
pub use combiner::{Combiner, KEY};
pub use options::{Emit, OnStateChange, Window, WindowOptions, micros};

/// What rows of a group are folded into, and what comes of it. An aggregate plugin is one.
pub trait Fold {
    /// Why a call failed as a whole.
    type Error;

    /// Row `i` of `rows` belongs to group `group_of_row[i]` of `group_count`; row `g` of `states` is the state of group `g`, and the
    /// groups without one come last. Returns a state for each group, and the rows that can't be folded.
    ///
    /// # Errors
    /// When nothing was folded.
    fn update(
        &mut self,
        rows: &RecordBatch,
        group_of_row: &[u32],
        group_count: u32,
        states: &RecordBatch,
    ) -> Result<(RecordBatch, Vec<Rejection>), Self::Error>;

    /// Joins the states of the same groups, row by row.
    ///
    /// # Errors
    /// When nothing was joined.
    fn merge(&mut self, left: &RecordBatch, right: &RecordBatch) -> Result<RecordBatch, Self::Error>;

    /// Output rows for groups and their states.
    ///
    /// # Errors
    /// When nothing comes out.
    fn finish(&mut self, groups: &RecordBatch, states: &RecordBatch) -> Result<RecordBatch, Self::Error>;
}

/// Why rows were not folded. None of them was.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused<E> {
    /// One of them can't be placed in event time, or the fold rejects it: for this reason.
    Row(String),
    /// The fold failed.
    Fold(E),
}
