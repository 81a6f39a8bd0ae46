//! Rows that are in many windows.

use super::*;

/// Sums that fail where a call holds more rows than these, as a plugin that has no memory for them; or where they were called so often.
struct Narrow {
    rows: usize,
    calls: usize,
    fails_at: usize,
}

impl Fold for Narrow {
    type Error = ();

    fn update(
        &mut self,
        rows: &RecordBatch,
        groups: &[u32],
        count: u32,
        states: &RecordBatch,
    ) -> Result<(RecordBatch, Vec<Rejection>), ()> {
        self.calls += 1;
        if rows.num_rows() > self.rows || self.calls == self.fails_at {
            return Err(());
        }
        Sums.update(rows, groups, count, states)
    }

    fn merge(&mut self, left: &RecordBatch, right: &RecordBatch) -> Result<RecordBatch, ()> {
        Sums.merge(left, right)
    }

    fn finish(&mut self, groups: &RecordBatch, states: &RecordBatch) -> Result<RecordBatch, ()> {
        Sums.finish(groups, states)
    }
}

#[test]
fn a_large_batch_is_no_larger_for_its_many_windows() {
    let options = WindowOptions {
        key: vec!["key".to_owned()],
        time: Some("time".to_owned()),
        window: Some(Window::Hopping { size_us: 100, slide_us: 1 }),
        delay_us: 1000,
        allowed_lateness_us: 0,
        emit: Emit::Change,
        dedup: Vec::new(),
    };
    let row = |time| Row { key: Some("a"), time, value: 1 };
    // Earliest last: the order in which groups are found is not that of their windows.
    let rows: Vec<Row> = (0..1000).map(|at| row(30 - at % 31)).collect();
    let narrow = |fails_at| Narrow { rows: rows.len(), calls: 0, fails_at };
    let all = |aggregation: &Aggregation| aggregation.tables().0.keys.len();
    let mut aggregation = Aggregation::new(&options, &input(), &states()).unwrap();
    aggregation.fold(&batch(&[row(0)]), &mut Sums).unwrap();
    let before = all(&aggregation);
    // None of its calls changes anything where one fails.
    let refused = aggregation.fold(&batch(&rows), &mut narrow(50)).unwrap_err();
    assert_eq!((refused, all(&aggregation)), (Refused::Fold(()), before));
    let mut fold = narrow(0);
    aggregation.fold(&batch(&rows), &mut fold).unwrap();
    assert_eq!((fold.calls, all(&aggregation)), (100, 130));
    let mut out: Vec<Given> = aggregation.finish(&mut Sums).unwrap().iter().flat_map(given).collect();
    out.sort();
    assert_eq!(out, reference(&options, &[vec![vec![row(0)], rows.clone()]], &[0]).given[0]);
    // And before an exchange.
    let combiner = Combiner::new(&options, &input(), &states()).unwrap();
    let combined = combiner.fold(&batch(&rows), &mut narrow(0)).unwrap();
    let mut apart = Aggregation::new(&options, &input(), &states()).unwrap().told_event_time();
    apart.merge(&combiner.fold(&batch(&[row(0)]), &mut Sums).unwrap(), &mut Sums).unwrap();
    apart.merge(&combined, &mut Sums).unwrap();
    let mut merged: Vec<Given> = apart.finish(&mut Sums).unwrap().iter().flat_map(given).collect();
    merged.sort();
    assert_eq!(merged, out);
}
