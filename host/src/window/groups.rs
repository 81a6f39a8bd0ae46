//! The groups that a batch touches, as a fold wants them: numbered from 0, those that have a state first.

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
    /// Rows that have a group, once for each of theirs, and its number: fresh ones marked, until [`Self::numbered`].
    rows: Vec<u32>,
    group_of_row: Vec<u32>,
    /// The number that rows without a group have, if they have one.
    no_group: Option<u32>,
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

/// Marks a number among `fresh`.
const FRESH: u32 = 1 << 31;

impl Touched {
    /// Begins a batch.
    pub(super) fn begin(&mut self) {
        self.known.clear();
        self.fresh.clear();
        self.rows.clear();
        self.group_of_row.clear();
        self.no_group = None;
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

    /// Makes numbers dense: fresh ones follow those that have a state. Returns the rows that [`Self::find`] has found groups for.
    pub(super) fn numbered(&mut self) -> &[u32] {
        let known = self.known.len() as u32;
        let fresh = self.group_of_row.iter_mut().filter(|number| **number & FRESH != 0);
        fresh.for_each(|number| *number = (*number & !FRESH) + known);
        &self.rows
    }

    /// Gives the rows of [`Self::numbered`] and all between them a number, `rows` in all: those without a group that of one of which
    /// nothing is kept. So a batch need not be copied without them.
    pub(super) fn number_all(&mut self, rows: usize) {
        let no_group = self.count() as u32;
        let mut group_of_row = vec![no_group; rows];
        self.rows.iter().zip(&self.group_of_row).for_each(|(&row, &group)| group_of_row[row as usize] = group);
        self.group_of_row = group_of_row;
        self.no_group = Some(no_group);
    }

    /// Folds rows into the states of their groups: those of [`Self::numbered`], or of [`Self::number_all`]. On failure everything is as
    /// before [`Self::begin`], but for the fresh keys, which are gone.
    pub(super) fn fold<F: Fold>(
        &self,
        table: &mut Table,
        rows: &RecordBatch,
        fold: &mut F,
    ) -> Result<(), Refused<F::Error>> {
        let states = table.values.gather(&self.known).map_err(|error| Refused::Row(error.to_string()));
        let states = states.inspect_err(|_| self.forget(table))?;
        let count = (self.count() + usize::from(self.no_group.is_some())) as u32;
        let has_group = |row: u32| Some(self.group_of_row[row as usize]) != self.no_group;
        let refused = match fold.update(rows, &self.group_of_row, count, &states) {
            Ok((states, rejected)) => match rejected.into_iter().find(|rejection| has_group(rejection.row)) {
                None => {
                    let slots: Vec<u32> = self.known.iter().chain(&self.fresh).copied().collect();
                    table.values.scatter(&slots, &states);
                    slots.into_iter().for_each(|slot| table.changes.note(slot));
                    return Ok(());
                }
                Some(rejection) => Refused::Row(rejection.reason),
            },
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
