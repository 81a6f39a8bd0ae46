//! The groups that a batch touches, as a fold wants them: numbered from 0, those that have a state first.

use super::{Fold, Refused};
use crate::batch::RecordBatch;
use crate::state::Table;

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
}

/// Marks a number among `fresh`.
const FRESH: u32 = 1 << 31;

impl Touched {
    /// Begins a batch.
    pub(super) fn begin(&mut self) {
        self.known.clear();
        self.fresh.clear();
        self.batch = self.batch.wrapping_add(1);
        if self.batch == 0 {
            // Numbers of four thousand million batches ago are not to be taken for this one's.
            self.numbers.clear();
            self.batch = 1;
        }
    }

    /// The number of a slot, to be made plain by [`Self::plain`]. `is_new` tells that the slot has no state yet, the first time.
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
    pub(super) fn plain(&self, numbers: &mut [u32]) {
        let known = self.known.len() as u32;
        numbers
            .iter_mut()
            .filter(|number| **number & FRESH != 0)
            .for_each(|number| *number = (*number & !FRESH) + known);
    }

    /// Folds rows into the states of their groups. On failure everything is as before [`Self::begin`], but for the fresh keys, which
    /// are gone.
    pub(super) fn fold<F: Fold>(
        &self,
        table: &mut Table,
        rows: &RecordBatch,
        group_of_row: &[u32],
        fold: &mut F,
    ) -> Result<(), Refused<F::Error>> {
        let states = table.values.gather(&self.known);
        let count = (self.known.len() + self.fresh.len()) as u32;
        let refused = match fold.update(rows, group_of_row, count, &states) {
            Ok((states, rejected)) if rejected.is_empty() => {
                let slots: Vec<u32> = self.known.iter().chain(&self.fresh).copied().collect();
                table.values.scatter(&slots, &states);
                slots.into_iter().for_each(|slot| table.changes.note(slot));
                return Ok(());
            }
            Ok((_, mut rejected)) => Refused::Row(rejected.swap_remove(0).reason),
            Err(error) => Refused::Fold(error),
        };
        self.forget(table);
        Err(refused)
    }

    /// Takes away the keys that the batch has brought.
    pub(super) fn forget(&self, table: &mut Table) {
        self.fresh.iter().for_each(|&slot| table.keys.remove(slot));
    }
}
