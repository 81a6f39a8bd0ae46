//! Which rows were seen before.

use arrow::error::ArrowError;

use super::event_time::Watermark;
use crate::batch::{RecordBatch, Schema};
use crate::state::{KeyColumns, KeyRows, Lookup, Span, Table};

/// Rows are remembered for as long as their like wouldn't be late.
#[derive(Debug)]
pub(super) struct Dedup {
    pub(super) table: Table,
    /// Slots of the batch at hand, and until when they were remembered before it; `None` for new ones.
    fresh: Vec<(u32, Option<i64>)>,
}

impl Dedup {
    pub(super) fn new(table: &Schema, columns: &[String]) -> Result<Self, ArrowError> {
        let none = std::sync::Arc::new(Schema::empty());
        let table = Table::new(KeyColumns::new(table, columns)?, &none, Lookup::ByStart);
        Ok(Self { table, fresh: Vec::new() })
    }

    pub(super) fn rows(&self, rows: &RecordBatch) -> Result<KeyRows, ArrowError> {
        self.table.key_columns.rows(rows)
    }

    /// Whether a row is the first of its kind, at this watermark. It is remembered until `end_us` is past.
    pub(super) fn is_first(&mut self, key: &[u8], end_us: i64, watermark: Watermark) -> bool {
        let keys = &mut self.table.keys;
        let (slot, is_new) = keys.find_or_add(key, Span { start: 0, end: end_us });
        if is_new {
            self.fresh.push((slot, None));
            return true;
        }
        let until = keys.span(slot).end;
        // Forgotten, only that no epoch has ended since.
        let is_over = watermark.is_past(until, 0);
        if is_over {
            keys.set_end(slot, end_us);
            self.fresh.push((slot, Some(until)));
        }
        is_over
    }

    /// The batch was folded.
    pub(super) fn keep(&mut self) {
        self.fresh.drain(..).for_each(|(slot, _)| self.table.changes.note(slot));
    }

    /// The batch was not folded.
    pub(super) fn forget(&mut self) {
        for (slot, before) in self.fresh.drain(..).rev() {
            match before {
                Some(end) => self.table.keys.set_end(slot, end),
                None => self.table.keys.remove(slot),
            }
        }
    }
}
