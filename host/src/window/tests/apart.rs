//! Rows folded where they are and merged elsewhere, against the same rows folded in one place.

use super::*;

/// Both of them are told how far event time has come.
fn told(options: &WindowOptions) -> Aggregation {
    Aggregation::new(options, &input(), &states()).unwrap().told_event_time()
}

fn given_out(aggregation: &mut Aggregation) -> Vec<Given> {
    let mut out: Vec<Given> = aggregation.finish(&mut Sums).unwrap().iter().flat_map(given).collect();
    out.sort();
    aggregation.cut().unwrap();
    out
}

#[test]
fn states_made_apart_come_to_what_their_rows_come_to_together() {
    let (mut all, mut all_late) = (0, 0);
    for seed in 0..500 {
        let mut rng = Rng::with_seed(seed);
        let options = WindowOptions { dedup: Vec::new(), ..options(&mut rng) };
        if !options.states_can_be_sent() {
            continue;
        }
        let (mut together, mut apart) = (told(&options), told(&options));
        let combiner = Combiner::new(&options, &input(), &states()).unwrap();
        for epoch in epochs(&mut rng) {
            for rows in epoch {
                let rows: Vec<Row> = rows.into_iter().filter(|row| row.value >= 0).collect();
                if rows.is_empty() {
                    continue;
                }
                let folded = together.fold(&batch(&rows), &mut Sums).unwrap();
                let states = combiner.fold(&batch(&rows), &mut Sums).unwrap();
                assert_eq!(states.schema_ref(), combiner.schema());
                let late = apart.merge(&states, &mut Sums).unwrap();
                if matches!(options.window, None | Some(Window::Tumbling { .. })) {
                    assert_eq!(late, folded.late.map_or(0, |late| late.num_rows() as u64), "seed {seed}");
                    all_late += late;
                }
                if rng.bool() {
                    let latest = combiner.latest_us(&batch(&rows)).unwrap();
                    assert_eq!(latest, options.time.as_ref().and(rows.iter().map(|row| row.time).max()));
                    let told = latest.unwrap_or_default() - options.delay_us;
                    assert_eq!(together.advance(told), apart.advance(told));
                }
            }
            let out = given_out(&mut apart);
            all += out.len();
            assert_eq!(out, given_out(&mut together), "seed {seed}: {options:?}");
        }
    }
    assert!(all > 5_000 && all_late > 100, "{all} {all_late}");
}

#[test]
fn states_that_make_no_sense_change_nothing() {
    let options = WindowOptions {
        key: vec!["key".to_owned()],
        time: Some("time".to_owned()),
        window: Some(Window::Tumbling { size_us: 10 }),
        delay_us: 0,
        allowed_lateness_us: 0,
        emit: Emit::Change,
        dedup: Vec::new(),
    };
    let combiner = Combiner::new(&options, &input(), &states()).unwrap();
    let states = combiner.fold(&batch(&[Row { key: Some("a"), time: 3, value: 1 }]), &mut Sums).unwrap();
    let rejected = combiner.fold(&batch(&[Row { key: Some("a"), time: 3, value: -1 }]), &mut Sums);
    assert_eq!(rejected, Err(Refused::Row("negative".to_owned())));
    let twice = arrow::compute::concat_batches(combiner.schema(), [&states, &states]).unwrap();
    let mut aggregation = told(&options);
    assert_eq!(aggregation.merge(&twice, &mut Sums), Err(Refused::Row("a group is there twice".to_owned())));
    assert!(aggregation.tables().0.keys.is_empty());
    assert_eq!(
        aggregation.merge(&batch(&[]), &mut Sums).unwrap_err(),
        Refused::Row("Schema error: there is no column `key.key`".to_owned())
    );
    assert_eq!(aggregation.merge(&states, &mut Sums), Ok(0));
    assert_eq!(given_out(&mut aggregation), [(Some("a".to_owned()), Some((0, 10)), 1, 1)]);
}

/// Writes down in which order values were merged: `12` is 1 and then 2.
struct InOrder;

impl Fold for InOrder {
    type Error = ();

    fn update(
        &mut self,
        rows: &RecordBatch,
        groups: &[u32],
        count: u32,
        states: &RecordBatch,
    ) -> Result<(RecordBatch, Vec<Rejection>), ()> {
        Sums.update(rows, groups, count, states)
    }

    fn merge(&mut self, left: &RecordBatch, right: &RecordBatch) -> Result<RecordBatch, ()> {
        let digits = column(left, 1).into_iter().zip(column(right, 1)).map(|(left, right)| left * 10 + right).collect();
        Ok(two(column(left, 0), digits))
    }

    fn finish(&mut self, groups: &RecordBatch, states: &RecordBatch) -> Result<RecordBatch, ()> {
        Sums.finish(groups, states)
    }
}

#[test]
fn states_are_merged_in_the_order_in_which_they_come() {
    let options = WindowOptions {
        key: vec!["key".to_owned()],
        time: None,
        window: None,
        delay_us: 0,
        allowed_lateness_us: 0,
        emit: Emit::Change,
        dedup: Vec::new(),
    };
    let mut aggregation = told(&options);
    let combiner = Combiner::new(&options, &input(), &states()).unwrap();
    for value in 1..=3 {
        let states = combiner.fold(&batch(&[Row { key: Some("a"), time: 0, value }]), &mut InOrder).unwrap();
        aggregation.merge(&states, &mut InOrder).unwrap();
    }
    assert_eq!(given_out(&mut aggregation), [(Some("a".to_owned()), None, 1, 123)]);
}
