//! The groups that a batch touches, as a fold wants them: numbered from 0, those that have a state first.

use arrow::array::{BooleanArray, BooleanBufferBuilder};
use arrow::compute::filter_record_batch;

use super::calls::Call;
use super::event_time::Row;
use super::{Fold, Refused, Window};
use crate::batch::RecordBatch;
use crate::state::{KeyBytes, KeyRows, Span, Table};

/// Numbers are given anew for each batch.
#[derive(Debug, Default)]
pub(super) struct Touched {
    /// Slots that have a state.
    known: Vec<u32>,
    /// Slots that have none yet.
    fresh: Vec<u32>,
    /// By slot: the batch in which it was last touched, and its number among `known` or `fresh`.
    numbers: Vec<(u32, u32)>,
    batch: u32,
    /// Rows that have a group, once for each of theirs, and its number: fresh ones marked, until [`Self::fold`].
    rows: Vec<u32>,
    group_of_row: Vec<u32>,
    looked_up: LookedUp,
}

/// Groups that are looked up together: memory that is used again.
#[derive(Debug, Default)]
struct LookedUp {
    /// Of each row.
    keys: KeyBytes,
    /// Which row, in which window, under which tag.
    places: Vec<(usize, Span, u32)>,
}

/// Up to one row in so many goes to the fold though it counts for nothing: to copy all others takes longer.
const SPARED: usize = 8;
/// Marks a number among `fresh`.
const FRESH: u32 = 1 << 31;

impl Touched {
    /// Begins a batch.
    pub(super) fn begin(&mut self) {
        self.known.clear();
        self.fresh.clear();
        self.rows.clear();
        self.group_of_row.clear();
        self.batch = self.batch.wrapping_add(1);
        if self.batch == 0 {
            // Numbers of four thousand million batches ago are not to be taken for this one's.
            self.numbers.clear();
            self.batch = 1;
        }
    }

    /// Finds the groups of rows, or makes them: one for each window of a row that isn't past by its watermark.
    pub(super) fn find(
        &mut self,
        table: &mut Table,
        keys: &KeyRows,
        rows: &[Row],
        window: Option<Window>,
        lateness_us: i64,
    ) {
        let mut looked_up = std::mem::take(&mut self.looked_up);
        let LookedUp { keys: bytes, places } = &mut looked_up;
        keys.put(rows.iter().map(|row| row.row), bytes);
        places.clear();
        // All tags first: the loops are short, so that the processor looks for several groups at a time.
        for ((at, row), key) in rows.iter().enumerate().zip(bytes.iter()) {
            let mut add = |span: Span| places.push((at, span, table.keys.tag(key, span.start)));
            match window {
                None => add(Span::ALWAYS),
                Some(window) => {
                    window.of(row.time_us).filter(|span| !row.watermark.is_past(span.end, lateness_us)).for_each(add);
                }
            }
        }
        for &(at, span, tag) in &*places {
            let (slot, is_new) = table.keys.find_or_add_tagged(tag, bytes.get(at), span);
            self.rows.push(rows[at].row as u32);
            let number = self.number(slot, is_new);
            self.group_of_row.push(number);
        }
        self.looked_up = looked_up;
    }

    /// The number of a slot, marked if it is fresh. `is_new` tells that the slot has no state yet, the first time.
    pub(super) fn number(&mut self, slot: u32, is_new: bool) -> u32 {
        let place = slot as usize;
        if self.numbers.len() <= place {
            self.numbers.resize(place + 1, (0, 0));
        }
        let (batch, number) = self.numbers[place];
        if batch == self.batch {
            return number;
        }
        let slots = if is_new { &mut self.fresh } else { &mut self.known };
        let number = slots.len() as u32 | if is_new { FRESH } else { 0 };
        slots.push(slot);
        self.numbers[place] = (self.batch, number);
        number
    }

    /// How many slots the batch has touched so far.
    pub(super) fn count(&self) -> usize {
        self.known.len() + self.fresh.len()
    }

    /// Makes numbers dense: fresh ones follow those that have a state.
    fn make_dense(&mut self) {
        let known = self.known.len() as u32;
        let fresh = self.group_of_row.iter_mut().filter(|number| **number & FRESH != 0);
        fresh.for_each(|number| *number = (*number & !FRESH) + known);
    }

    /// Folds the rows of a batch that [`Self::find`] has found groups for into their states. On failure everything is as before
    /// [`Self::begin`], but for the fresh keys, which are gone.
    pub(super) fn fold<F: Fold>(
        &mut self,
        table: &mut Table,
        rows: &RecordBatch,
        window: Option<Window>,
        fold: &mut F,
    ) -> Result<(), Refused<F::Error>> {
        self.make_dense();
        let folded = match window {
            _ if self.rows.is_empty() => return Ok(()),
            Some(Window::Hopping { size_us, slide_us }) => self.fold_often(table, rows, (size_us, slide_us), fold),
            _ => self.fold_once(table, rows, fold),
        };
        folded.inspect_err(|_| self.forget(table))
    }

    /// Rows that are in several groups.
    fn fold_often<F: Fold>(
        &self,
        table: &mut Table,
        rows: &RecordBatch,
        (size_us, slide_us): (i64, i64),
        fold: &mut F,
    ) -> Result<(), Refused<F::Error>> {
        let call = Call {
            rows: self.rows.clone(),
            group_of_row: self.group_of_row.clone(),
            slots: self.slots(),
            known: self.known.len(),
        };
        let mut folded = Vec::new();
        for call in call.divided(rows, size_us, slide_us, &table.keys) {
            let states =
                table.values.gather(&call.slots[..call.known]).map_err(|error| Refused::Row(error.to_string()))?;
            let states = call.fold(rows, &states, fold)?;
            folded.push((call.slots, states));
        }
        // All calls have succeeded, or nothing is kept of any.
        folded.into_iter().for_each(|(slots, states)| keep(table, &slots, &states));
        Ok(())
    }

    /// Rows that are in one group at most, in the batch's order.
    fn fold_once<F: Fold>(&self, table: &mut Table, rows: &RecordBatch, fold: &mut F) -> Result<(), Refused<F::Error>> {
        let left_out = rows.num_rows() - self.rows.len();
        if left_out == 0 {
            return self.call(table, rows, &self.group_of_row, None, fold);
        }
        if left_out <= rows.num_rows() / SPARED {
            match self.fold_all(table, rows, fold) {
                // Perhaps for a row that counts for nothing: once more without those.
                Err(Refused::Fold(_)) => {}
                folded => return folded,
            }
        }
        let mut mask = BooleanBufferBuilder::new(rows.num_rows());
        mask.append_n(rows.num_rows(), false);
        self.rows.iter().for_each(|&row| mask.set_bit(row as usize, true));
        let taken = filter_record_batch(rows, &BooleanArray::new(mask.finish(), None));
        let taken = taken.map_err(|error| Refused::Row(error.to_string()))?;
        self.call(table, &taken, &self.group_of_row, None, fold)
    }

    /// Folds all rows of a batch: those without a group into that of one of which nothing is kept, so that the others need not be copied.
    fn fold_all<F: Fold>(&self, table: &mut Table, rows: &RecordBatch, fold: &mut F) -> Result<(), Refused<F::Error>> {
        let no_group = self.count() as u32;
        let mut group_of_row = vec![no_group; rows.num_rows()];
        self.rows.iter().zip(&self.group_of_row).for_each(|(&row, &group)| group_of_row[row as usize] = group);
        self.call(table, rows, &group_of_row, Some(no_group), fold)
    }

    /// One call of the fold: what it says of rows of `no_group` counts for nothing. On failure nothing has changed.
    fn call<F: Fold>(
        &self,
        table: &mut Table,
        rows: &RecordBatch,
        group_of_row: &[u32],
        no_group: Option<u32>,
        fold: &mut F,
    ) -> Result<(), Refused<F::Error>> {
        let states = table.values.gather(&self.known).map_err(|error| Refused::Row(error.to_string()))?;
        let count = (self.count() + usize::from(no_group.is_some())) as u32;
        let (states, rejected) = fold.update(rows, group_of_row, count, &states).map_err(Refused::Fold)?;
        let has_group = |row: u32| Some(group_of_row[row as usize]) != no_group;
        if let Some(rejection) = rejected.into_iter().find(|rejection| has_group(rejection.row)) {
            return Err(Refused::Row(rejection.reason));
        }
        keep(table, &self.slots(), &states);
        Ok(())
    }

    /// By their numbers.
    fn slots(&self) -> Vec<u32> {
        self.known.iter().chain(&self.fresh).copied().collect()
    }

    /// Takes away the keys that the batch has brought.
    pub(super) fn forget(&self, table: &mut Table) {
        self.fresh.iter().for_each(|&slot| table.keys.remove(slot));
    }
}

/// Puts states to their slots.
fn keep(table: &mut Table, slots: &[u32], states: &RecordBatch) {
    table.values.scatter(slots, states);
    slots.iter().for_each(|&slot| table.changes.note(slot));
}
