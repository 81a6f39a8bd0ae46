//! Which rows were seen before.

use arrow::error::ArrowError;

use super::event_time::Watermark;
use crate::batch::{RecordBatch, Schema};
use crate::state::{KeyColumns, KeyRows, Noted, Seen};

/// Rows are remembered for as long as their like wouldn't be late.
#[derive(Debug)]
pub(super) struct Dedup {
    pub(super) seen: Seen,
    /// Slots of the batch at hand, and until when they were remembered before it; `None` for new ones.
    fresh: Vec<(u32, Option<i64>)>,
}

impl Dedup {
    pub(super) fn new(table: &Schema, columns: &[String]) -> Result<Self, ArrowError> {
        Ok(Self { seen: Seen::new(KeyColumns::new(table, columns)?), fresh: Vec::new() })
    }

    /// Begins a batch: what is over by then is forgotten, so that no more is remembered in a long epoch than in a short one.
    pub(super) fn begin(&mut self, rows: &RecordBatch, watermark: Watermark) -> Result<KeyRows, ArrowError> {
        self.seen.forget_before(watermark.at_us);
        self.seen.rows(rows)
    }

    /// Whether a row is the first of its kind, at this watermark. It is remembered until `end_us` is past.
    pub(super) fn is_first(&mut self, rows: &KeyRows, row: usize, end_us: i64, watermark: Watermark) -> bool {
        let digest = self.seen.digest(rows, row);
        match self.seen.note(digest, end_us) {
            Noted::New(slot) => {
                self.fresh.push((slot, None));
                true
            }
            // Forgotten, only that it is still there.
            Noted::Known(slot, until) if watermark.is_past(until, 0) => {
                self.seen.set_until(slot, end_us);
                self.fresh.push((slot, Some(until)));
                true
            }
            Noted::Known(..) => false,
        }
    }

    /// The batch was folded.
    pub(super) fn keep(&mut self) {
        self.fresh.drain(..).for_each(|(slot, _)| self.seen.note_change(slot));
    }

    /// The batch was not folded.
    pub(super) fn forget(&mut self) {
        for (slot, before) in self.fresh.drain(..).rev() {
            match before {
                Some(end) => self.seen.set_until(slot, end),
                None => self.seen.remove(slot),
            }
        }
    }
}
