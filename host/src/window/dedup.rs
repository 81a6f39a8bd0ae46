//! Which rows were seen before.

use arrow::error::ArrowError;

use super::event_time::{Row, Watermark};
use crate::batch::{RecordBatch, Schema};
use crate::state::{KeyColumns, KeyRows, Noted, Seen};

/// Rows are remembered for as long as their like wouldn't be late.
#[derive(Debug)]
pub(super) struct Dedup {
    pub(super) seen: Seen,
    /// Slots of the batch at hand, and until when they were remembered before it; `None` for new ones.
    fresh: Vec<(u32, Option<i64>)>,
    /// Of the rows at hand.
    digests: Vec<u128>,
}

impl Dedup {
    pub(super) fn new(table: &Schema, columns: &[String]) -> Result<Self, ArrowError> {
        Ok(Self { seen: Seen::new(KeyColumns::new(table, columns)?), fresh: Vec::new(), digests: Vec::new() })
    }

    /// Begins a batch: what is over by then is forgotten, so that no more is remembered in a long epoch than in a short one.
    pub(super) fn begin(&mut self, rows: &RecordBatch, watermark: Watermark) -> Result<KeyRows, ArrowError> {
        self.seen.forget_before(watermark.at_us);
        self.seen.rows(rows)
    }

    /// Leaves the rows that are the first of their kind, each at its watermark. They are remembered until they would be late.
    pub(super) fn keep_first(&mut self, keys: &KeyRows, rows: &mut Vec<Row>, lateness_us: i64) {
        let Self { seen, fresh, digests } = self;
        // All digests first: the loops are short, so that the processor looks for several rows at a time.
        seen.digests(keys, rows.iter().map(|row| row.row), digests);
        let mut digests = digests.iter();
        rows.retain(|row| {
            let Some(&digest) = digests.next() else { return true };
            let end_us = row.last_end_us.saturating_add(lateness_us);
            match seen.note(digest, end_us) {
                Noted::New(slot) => {
                    fresh.push((slot, None));
                    true
                }
                // Forgotten, only that it is still there.
                Noted::Known(slot, until) if row.watermark.is_past(until, 0) => {
                    seen.set_until(slot, end_us);
                    fresh.push((slot, Some(until)));
                    true
                }
                Noted::Known(..) => false,
            }
        });
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::Int64Array;

    use super::*;
    use crate::batch::{Field, data_type};

    const SECOND: i64 = 1_000_000;

    /// An epoch may be long: what is over is not remembered until its end.
    #[test]
    fn what_is_remembered_is_bounded_within_an_epoch() {
        let schema = Arc::new(Schema::new(vec![Field::new("n", data_type("int64").unwrap(), false)]));
        let mut dedup = Dedup::new(&schema, &["n".to_owned()]).unwrap();
        let mut watermark = Watermark { at_us: i64::MIN, over_us: i64::MIN, delay_us: Some(10 * SECOND) };
        for at in 0..1000 {
            let values = Int64Array::from_iter_values(at * 10..at * 10 + 10);
            let rows = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(values)]).unwrap();
            for again in [false, true] {
                let keys = dedup.begin(&rows, watermark).unwrap();
                let row = |row| Row { row, time_us: at * SECOND, last_end_us: at * SECOND, watermark };
                let mut rows: Vec<Row> = (0..10).map(row).collect();
                dedup.keep_first(&keys, &mut rows, SECOND);
                assert_eq!(rows.len(), if again { 0 } else { 10 }, "at second {at}");
                watermark.saw(at * SECOND);
                dedup.keep();
            }
            // Ten seconds, and one that isn't over as a whole.
            assert!(dedup.seen.len() <= 130, "{} rows at second {at}", dedup.seen.len());
        }
    }

    #[test]
    fn a_batch_that_was_not_folded_is_forgotten() {
        let schema = Arc::new(Schema::new(vec![Field::new("n", data_type("int64").unwrap(), false)]));
        let mut dedup = Dedup::new(&schema, &["n".to_owned()]).unwrap();
        let values = Int64Array::from(vec![1, 1, 2, 1]);
        let rows = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(values)]).unwrap();
        let at = |at_us| Watermark { at_us, over_us: i64::MIN, delay_us: Some(0) };
        let judge = |dedup: &mut Dedup, rows_of: &[(usize, i64, i64)]| {
            let keys = dedup.begin(&rows, at(i64::MIN)).unwrap();
            let row = |&(row, until, now)| Row { row, time_us: 0, last_end_us: until, watermark: at(now) };
            let mut first: Vec<Row> = rows_of.iter().map(row).collect();
            dedup.keep_first(&keys, &mut first, 0);
            let is_first = |&(row, ..): &(usize, i64, i64)| first.iter().any(|first| first.row == row);
            rows_of.iter().map(is_first).collect::<Vec<bool>>()
        };
        assert_eq!(judge(&mut dedup, &[(0, 10, 0), (1, 10, 0), (2, 10, 0), (3, 30, 20)]), [true, false, true, true]);
        dedup.forget();
        assert!(dedup.seen.is_empty());
        assert_eq!(judge(&mut dedup, &[(0, 10, 0)]), [true]);
        dedup.keep();
        // It was over, and is new once more: not if that is taken back.
        assert_eq!(judge(&mut dedup, &[(1, 30, 10)]), [true]);
        dedup.forget();
        assert_eq!(judge(&mut dedup, &[(1, 30, 9), (3, 30, 10)]), [false, true]);
    }
}
