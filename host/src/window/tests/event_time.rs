//! Rows without event time, and event time without rows.

use super::*;

#[test]
fn a_row_without_event_time_is_refused_and_changes_nothing() {
    let options = WindowOptions {
        key: vec!["key".to_owned()],
        time: Some("time".to_owned()),
        window: Some(Window::Tumbling { size_us: 10 }),
        delay_us: 0,
        allowed_lateness_us: 0,
        emit: Emit::Close,
        dedup: vec!["key".to_owned()],
    };
    let mut aggregation = Aggregation::new(&options, &input(), &states()).unwrap();
    let good = Row { key: Some("a"), time: 100, value: 1 };
    let mut columns = batch(&[good.clone(), good.clone()]).columns().to_vec();
    columns[1] = Arc::new(TimestampMicrosecondArray::from(vec![Some(100), None]).with_timezone("UTC"));
    let without = RecordBatch::try_new(input(), columns).unwrap();
    let refused = aggregation.fold(&without, &mut Sums).unwrap_err();
    assert_eq!(refused, Refused::Row("column `time`, the event time, has no value".to_owned()));
    let far = batch(&[good.clone(), Row { time: i64::MAX, ..good.clone() }]);
    let refused = aggregation.fold(&far, &mut Sums).unwrap_err();
    assert_eq!(refused, Refused::Row("column `time`, the event time, is not within the years 1 to 9999".to_owned()));
    assert_eq!(aggregation.watermark_us(), None);
    let folded = aggregation.fold(&batch(&[good.clone(), good]), &mut Sums).unwrap();
    assert_eq!(folded.duplicates, 1, "the first of the two is not remembered from before");
}

#[test]
fn event_time_that_moves_on_by_itself_completes_groups() {
    let options = WindowOptions {
        key: Vec::new(),
        time: Some("time".to_owned()),
        window: Some(Window::Tumbling { size_us: 10 }),
        delay_us: 5,
        allowed_lateness_us: 0,
        emit: Emit::Close,
        dedup: Vec::new(),
    };
    let mut aggregation = Aggregation::new(&options, &input(), &states()).unwrap();
    aggregation.fold(&batch(&[Row { key: Some("a"), time: 13, value: 1 }]), &mut Sums).unwrap();
    assert!(!aggregation.advance(19));
    assert!(aggregation.advance(20));
    assert_eq!(aggregation.finish(&mut Sums).unwrap()[0].num_rows(), 1, "without a key all rows are one group");
    assert_eq!(aggregation.cut().unwrap().watermark_us, Some(20));
    let folded = aggregation.fold(&batch(&[Row { key: Some("a"), time: 19, value: 1 }]), &mut Sums).unwrap();
    assert_eq!(folded.late.map(|late| late.num_rows()), Some(1));
}
