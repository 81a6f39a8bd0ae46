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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::ToRow;

    #[derive(crate::Row, Debug, PartialEq, Clone)]
    struct Mixed {
        number: Option<i32>,
        text: String,
        bit: Option<bool>,
    }

    fn mixed(rows: Range<i32>) -> Vec<Mixed> {
        let row = |number: i32| Mixed {
            number: (number % 5 != 0).then_some(number),
            text: "x".repeat(number as usize % 4),
            bit: (number % 7 != 0).then_some(number % 2 == 0),
        };
        rows.map(row).collect()
    }

    fn batch(rows: Vec<Mixed>) -> Batch {
        let mut builders = Mixed::builders();
        let count = rows.into_iter().map(|row| row.push(&mut builders)).count();
        Batch { rows: count as u32, columns: Mixed::finish(&mut builders) }
    }

    /// Keeping rows of a batch and making a batch of the rows that stay are the same, whatever the runs are like.
    #[test]
    fn kept_rows_are_the_rows_that_stay() {
        let all = mixed(0..77);
        let patterns: [fn(usize) -> bool; 6] = [
            |_| true,
            |_| false,
            |row| row % 2 == 0,
            |row| row % 10 != 3,
            |row| (8..16).contains(&row),
            |row| row == 0 || row == 76,
        ];
        for keeps in patterns {
            let mut kept = Kept::default();
            (0..all.len()).filter(|row| keeps(*row)).for_each(|row| kept.keep(row));
            let left = kept.of(batch(all.clone()));
            let stays = all.iter().enumerate().filter(|(row, _)| keeps(*row)).map(|(_, row)| row.clone()).collect();
            assert_eq!(texts(&left), texts(&batch(stays)));
            assert_eq!(kept.rows(), left.rows as usize);
        }
    }

    /// The rows in words: bitmaps of equal rows may differ in whether they are there at all.
    fn texts(batch: &Batch) -> Vec<String> {
        let cell = |column: &Column, row| if column.is_valid(row) { column.values.text(row) } else { "-".to_owned() };
        (0..batch.rows as usize)
            .map(|row| batch.columns.iter().map(|column| cell(column, row)).collect::<Vec<_>>().join(" "))
            .collect()
    }

    #[test]
    #[should_panic(expected = "in order")]
    fn rows_are_kept_in_order() {
        let mut kept = Kept::default();
        kept.keep(3);
        kept.keep(2);
    }
}
