//! Rows of a batch that are kept as they are, with all columns.
//!
//! What is kept is remembered and copied in runs: a batch of which all rows stay is passed on without touching it, one that
//! loses a row in a hundred costs a hundredth of copying row by row.

use std::ops::Range;

use crate::builder::BitBuilder;
use crate::wit::{Batch, Column, Values, Varlen, bit};

/// The rows to keep, as runs.
#[derive(Debug, Default, Clone)]
pub struct Kept {
    /// In order, never touching or overlapping, never empty.
    runs: Vec<Range<usize>>,
}

impl Kept {
    /// Keeps row `row`, which comes after all rows kept so far.
    ///
    /// # Panics
    /// If it doesn't.
    #[inline]
    pub fn keep(&mut self, row: usize) {
        match self.runs.last_mut() {
            Some(last) if last.end == row => last.end += 1,
            last => {
                assert!(last.is_none_or(|last| last.end < row), "rows are kept in order");
                self.runs.push(row..row + 1);
            }
        }
    }

    /// How many rows are kept.
    pub fn rows(&self) -> usize {
        self.runs.iter().map(Range::len).sum()
    }

    /// The rows of `batch` that are kept.
    ///
    /// # Panics
    /// If the batch has fewer rows.
    pub fn of(&self, batch: Batch) -> Batch {
        let rows = self.rows();
        if rows == batch.rows as usize {
            return batch;
        }
        let columns = batch.columns.iter().map(|column| self.column(column, rows)).collect();
        Batch { rows: rows as u32, columns }
    }

    fn column(&self, column: &Column, rows: usize) -> Column {
        let values = match &column.values {
            Values::Boolean(bits) => Values::Boolean(self.bits(bits, rows)),
            Values::Int32(list) => Values::Int32(self.list(list, rows)),
            Values::Int64(list) => Values::Int64(self.list(list, rows)),
            Values::Float32(list) => Values::Float32(self.list(list, rows)),
            Values::Float64(list) => Values::Float64(self.list(list, rows)),
            Values::Utf8(varlen) => Values::Utf8(self.varlen(varlen, rows)),
            Values::Binary(varlen) => Values::Binary(self.varlen(varlen, rows)),
            Values::Date(list) => Values::Date(self.list(list, rows)),
            Values::Timestamp(list) => Values::Timestamp(self.list(list, rows)),
        };
        Column { values, validity: column.validity.as_ref().map(|bits| self.bits(bits, rows)) }
    }

    fn list<T: Copy>(&self, list: &[T], rows: usize) -> Vec<T> {
        let mut kept = Vec::with_capacity(rows);
        self.runs.iter().for_each(|run| kept.extend_from_slice(&list[run.clone()]));
        kept
    }

    fn bits(&self, bits: &[u8], rows: usize) -> Vec<u8> {
        let mut kept = BitBuilder::with_capacity(rows);
        self.runs.iter().flat_map(Range::clone).for_each(|row| kept.push(bit(bits, row)));
        kept.finish()
    }

    fn varlen(&self, varlen: &Varlen, rows: usize) -> Varlen {
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        let mut bytes = Vec::with_capacity(varlen.bytes.len());
        for run in &self.runs {
            let from = varlen.offsets[run.start];
            let base = bytes.len() as u32;
            bytes.extend_from_slice(&varlen.bytes[from as usize..varlen.offsets[run.end] as usize]);
            offsets.extend(varlen.offsets[run.start + 1..=run.end].iter().map(|end| base + (end - from)));
        }
        Varlen { offsets, bytes }
    }
}
