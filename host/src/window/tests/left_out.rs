//! Rows that are left out of a batch which the fold is given all the same.

use super::*;

#[test]
fn a_row_that_counts_for_nothing_is_neither_folded_nor_rejected() {
    let options = WindowOptions {
        dedup: vec!["time".to_owned()],
        key: vec!["key".to_owned()],
        time: Some("time".to_owned()),
        window: Some(Window::Tumbling { size_us: 10 }),
        delay_us: 0,
        allowed_lateness_us: 0,
        emit: Emit::Close,
    };
    let mut aggregation = Aggregation::new(&options, &input(), &states()).unwrap();
    let row = |time: i64, value| Row { key: Some("a"), time, value };
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
    let window = |start| (Some("a".to_owned()), Some((start, start + 10)), 10, 10);
    assert_eq!(given, [window(0), window(10), window(20)]);
}
