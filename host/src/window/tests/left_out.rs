//! Rows that are left out of a batch which the fold is given all the same.

use super::*;

fn options() -> WindowOptions {
    WindowOptions {
        dedup: vec!["time".to_owned()],
        key: vec!["key".to_owned()],
        time: Some("time".to_owned()),
        window: Some(Window::Tumbling { size_us: 10 }),
        delay_us: 0,
        allowed_lateness_us: 0,
        emit: Emit::Close,
    }
}

fn row(time: i64, value: i64) -> Row {
    Row { key: Some("a"), time, value }
}

/// A window with ten rows of 1.
fn window(start: i64) -> Given {
    (Some("a".to_owned()), Some((start, start + 10)), 10, 10)
}

#[test]
fn a_row_that_counts_for_nothing_is_neither_folded_nor_rejected() {
    let mut aggregation = Aggregation::new(&options(), &input(), &states()).unwrap();
    // Few enough of them that the batch stays as it is: a double, and one that is late.
    let mut all: Vec<Row> = (0..30).map(|time| row(time, 1)).collect();
    all.extend([row(29, -1), row(3, -1)]);
    // One that counts is rejected, wherever the others are.
    let with_another: Vec<Row> = all.iter().cloned().chain([row(30, -1)]).collect();
    let refused = aggregation.fold(&batch(&with_another), &mut Sums).unwrap_err();
    assert_eq!(refused, Refused::Row("negative".to_owned()));
    let folded = aggregation.fold(&batch(&all), &mut Sums).unwrap();
    assert_eq!((folded.duplicates, folded.late.map(|late| rows(&late))), (1, Some(vec![row(3, -1)])));
    aggregation.advance(30);
    let given = given(&aggregation.finish(&mut Sums).unwrap()[0]);
    assert_eq!(given, [window(0), window(10), window(20)]);
}

/// Sums that fail as a whole on a negative value, as a plugin that traps does. Counts its calls.
struct Traps(usize);

impl Fold for Traps {
    type Error = ();

    fn update(
        &mut self,
        rows: &RecordBatch,
        groups: &[u32],
        count: u32,
        states: &RecordBatch,
    ) -> Result<(RecordBatch, Vec<Rejection>), ()> {
        self.0 += 1;
        if column(rows, 2).iter().any(|value| *value < 0) { Err(()) } else { Sums.update(rows, groups, count, states) }
    }

    fn merge(&mut self, left: &RecordBatch, right: &RecordBatch) -> Result<RecordBatch, ()> {
        Sums.merge(left, right)
    }

    fn finish(&mut self, groups: &RecordBatch, states: &RecordBatch) -> Result<RecordBatch, ()> {
        Sums.finish(groups, states)
    }
}

/// The rows of one message can't be halved: it would be a dead letter for a row that is late.
#[test]
fn a_row_that_counts_for_nothing_breaks_none_that_count() {
    for nothing in [row(3, -1), row(20, -1)] {
        let mut aggregation = Aggregation::new(&options(), &input(), &states()).unwrap();
        let mut fold = Traps(0);
        let first: Vec<Row> = (10..20).map(|time| row(time, 1)).collect();
        aggregation.fold(&batch(&first), &mut fold).unwrap();
        // Seven of a group that isn't there yet, and one that is late or doubled.
        let mut message: Vec<Row> = (20..27).map(|time| row(time, 1)).collect();
        message.insert(4, nothing.clone());
        let folded = aggregation.fold(&batch(&message), &mut fold).unwrap();
        assert_eq!((folded.late.is_some(), folded.duplicates), (nothing.time == 3, u64::from(nothing.time != 3)));
        assert_eq!(fold.0, 3, "once for the first, twice for the message");
        // One that counts breaks all, and nothing of them is there.
        let bad: Vec<Row> = (27..34).map(|time| row(time, 1)).chain([row(34, -1), nothing]).collect();
        assert_eq!(aggregation.fold(&batch(&bad), &mut fold).unwrap_err(), Refused::Fold(()));
        assert_eq!(aggregation.tables().0.keys.len(), 2, "the window from 30 on is not there");
        let rest: Vec<Row> = (27..30).map(|time| row(time, 1)).collect();
        let folded = aggregation.fold(&batch(&rest), &mut fold).unwrap();
        assert_eq!(folded.duplicates, 0);
        assert_eq!(fold.0, 6, "nothing was left out of the last: one call");
        aggregation.advance(30);
        assert_eq!(given(&aggregation.finish(&mut fold).unwrap()[0]), [window(10), window(20)]);
    }
}
