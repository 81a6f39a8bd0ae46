//! Rows that are in several windows at once, folded in calls that each hold few of these windows: a copy of each row for all of them
//! would be many times a batch.
//!
//! What never happens: a group is in two calls of a batch.

use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::take_record_batch;

use super::{Fold, Refused};
use crate::batch::RecordBatch;
use crate::state::Keys;

/// Bytes of rows in one call, where a batch is no larger.
const CALL_BYTES: usize = if cfg!(test) { 512 } else { 16 << 20 };

/// Rows, and the groups that they are folded into.
#[derive(Debug, Default)]
pub(super) struct Call {
    /// Of a batch, once for each of their groups, in its order.
    pub(super) rows: Vec<u32>,
    /// Of each row: its group's place in `slots`.
    pub(super) group_of_row: Vec<u32>,
    /// Groups: those that have a state first.
    pub(super) slots: Vec<u32>,
    /// How many have a state.
    pub(super) known: usize,
}

impl Call {
    /// The same in several calls, each of which holds a row no oftener than [`CALL_BYTES`] allow of a batch of this size, or once.
    pub(super) fn divided(self, rows: &RecordBatch, size_us: i64, slide_us: i64, keys: &Keys) -> Vec<Self> {
        let size = |column: &ArrayRef| column.to_data().get_slice_memory_size().unwrap_or_default();
        let bytes: usize = rows.columns().iter().map(size).sum();
        let at_once = (CALL_BYTES / bytes.max(1)).max(1) as i64;
        // The windows of a row follow one another, so of those that are so many apart it is in one.
        let apart = size_us.saturating_add(slide_us - 1) / slide_us;
        if apart <= at_once {
            return vec![self];
        }
        let call_of = |slot: u32| keys.span(slot).start.div_euclid(slide_us).rem_euclid(apart) / at_once;
        let mut calls: Vec<Self> = (0..apart).step_by(at_once as usize).map(|_| Self::default()).collect();
        let places: Vec<(usize, u32)> = (self.slots.iter().enumerate())
            .map(|(group, &slot)| {
                let at = call_of(slot) as usize;
                calls[at].slots.push(slot);
                calls[at].known += usize::from(group < self.known);
                (at, calls[at].slots.len() as u32 - 1)
            })
            .collect();
        for (row, group) in self.rows.into_iter().zip(self.group_of_row) {
            let (at, place) = places[group as usize];
            calls[at].rows.push(row);
            calls[at].group_of_row.push(place);
        }
        calls.retain(|call| !call.rows.is_empty());
        calls
    }

    /// The states of its groups, out of those that there are.
    pub(super) fn fold<F: Fold>(
        &self,
        rows: &RecordBatch,
        states: &RecordBatch,
        fold: &mut F,
    ) -> Result<RecordBatch, Refused<F::Error>> {
        let taken = take_record_batch(rows, &UInt32Array::from(self.rows.clone()));
        let taken = taken.map_err(|error| Refused::Row(error.to_string()))?;
        update(&taken, &self.group_of_row, self.slots.len() as u32, states, fold)
    }
}

/// As [`Fold::update`], where no row may be rejected.
pub(super) fn update<F: Fold>(
    rows: &RecordBatch,
    group_of_row: &[u32],
    group_count: u32,
    states: &RecordBatch,
    fold: &mut F,
) -> Result<RecordBatch, Refused<F::Error>> {
    let (states, rejected) = fold.update(rows, group_of_row, group_count, states).map_err(Refused::Fold)?;
    match rejected.into_iter().next() {
        Some(rejection) => Err(Refused::Row(rejection.reason)),
        None => Ok(states),
    }
}
