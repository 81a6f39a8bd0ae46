//! The newest batches of a pipeline, as they were decoded: what another version of it is tried on.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::batch::Rows;
use crate::plugin::BatchTime;

/// Memory that they take at most, about, unless one batch takes more.
const MAX_BYTES: usize = 64 << 20;

/// The newest batches of a pipeline, shared by its tasks. A batch is there as a whole or not at all, and the newest always is.
#[derive(Debug)]
pub struct Recent {
    max_rows: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// Oldest first, with the bytes that each takes.
    batches: VecDeque<(Rows, BatchTime, usize)>,
    rows: usize,
    bytes: usize,
}

impl Recent {
    /// Room for so many rows; 0: none is kept.
    pub fn new(max_rows: usize) -> Self {
        Self { max_rows, kept: Mutex::default() }
    }

    /// Adds a batch, and drops the oldest for which there is no room any more. The rows' columns are shared, not copied.
    pub fn push(&self, rows: &Rows, now: BatchTime) {
        let count = rows.batch.num_rows();
        if self.max_rows == 0 || count == 0 {
            return;
        }
        let bytes = rows.batch.get_array_memory_size() + size_of_val(rows.origin.as_slice());
        let batch = (rows.clone(), now, bytes);
        // Freed after the lock is.
        let mut dropped = Vec::new();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.rows += count;
        kept.bytes += bytes;
        kept.batches.push_back(batch);
        while kept.batches.len() > 1 && (kept.rows > self.max_rows || kept.bytes > MAX_BYTES) {
            let Some(oldest) = kept.batches.pop_front() else { break };
            kept.rows -= oldest.0.batch.num_rows();
            kept.bytes -= oldest.2;
            dropped.push(oldest);
        }
    }

    /// What is there, oldest first.
    pub fn batches(&self) -> Vec<(Rows, BatchTime)> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.batches.iter().map(|(rows, now, _)| (rows.clone(), *now)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Array, BinaryArray, Int64Array};

    use super::*;
    use crate::batch::{DataType, Field, RecordBatch, Schema};

    fn rows(first: i64, count: usize) -> Rows {
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
        let values = Int64Array::from_iter_values(first..first + count as i64);
        let batch = RecordBatch::try_new(schema, vec![Arc::new(values)]).unwrap();
        Rows { batch, origin: (0..count as u32).collect() }
    }

    fn at(timestamp_ms: i64) -> BatchTime {
        BatchTime { timestamp_ms, seed: 0 }
    }

    /// First value, rows and time of each batch.
    fn kept(recent: &Recent) -> Vec<(i64, usize, i64)> {
        let first = |rows: &Rows| rows.batch.column(0).as_any().downcast_ref::<Int64Array>().unwrap().value(0);
        let batches = recent.batches();
        batches.iter().map(|(rows, now)| (first(rows), rows.batch.num_rows(), now.timestamp_ms)).collect()
    }

    #[test]
    fn the_newest_rows_are_kept_in_whole_batches() {
        let recent = Recent::new(100);
        recent.push(&rows(0, 40), at(1));
        recent.push(&rows(40, 0), at(2));
        recent.push(&rows(40, 60), at(3));
        assert_eq!(kept(&recent), [(0, 40, 1), (40, 60, 3)], "as many as there is room for; none without rows");
        recent.push(&rows(100, 1), at(4));
        assert_eq!(kept(&recent), [(40, 60, 3), (100, 1, 4)]);
        recent.push(&rows(101, 500), at(5));
        assert_eq!(kept(&recent), [(101, 500, 5)], "the newest is kept, however large");
        recent.push(&rows(601, 100), at(6));
        assert_eq!(kept(&recent), [(601, 100, 6)]);
    }

    #[test]
    fn columns_are_shared_and_nothing_is_kept_where_there_is_no_room() {
        let (recent, rows) = (Recent::new(10), rows(0, 10));
        recent.push(&rows, at(0));
        let batches = recent.batches();
        assert!(Arc::ptr_eq(batches[0].0.batch.column(0), rows.batch.column(0)));
        let none = Recent::new(0);
        none.push(&rows, at(0));
        assert!(none.batches().is_empty());
    }

    #[test]
    fn memory_is_bounded_whatever_the_rows_take() {
        let recent = Recent::new(1_000_000);
        let schema = Arc::new(Schema::new(vec![Field::new("bytes", DataType::Binary, false)]));
        let large = |megabytes: usize| {
            let value = vec![0_u8; megabytes << 20];
            let column = BinaryArray::from_iter_values([value]);
            assert!(column.get_array_memory_size() >= megabytes << 20);
            Rows { batch: RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(column)]).unwrap(), origin: vec![0] }
        };
        (0..5).for_each(|n| recent.push(&large(20), at(n)));
        let times = |recent: &Recent| recent.batches().iter().map(|(_, now)| now.timestamp_ms).collect::<Vec<_>>();
        assert_eq!(times(&recent), [2, 3, 4], "three of 20 MiB");
        recent.push(&large(65), at(5));
        assert_eq!(times(&recent), [5]);
        recent.push(&large(1), at(6));
        assert_eq!(times(&recent), [6], "the one before is too large beside any other");
    }
}
