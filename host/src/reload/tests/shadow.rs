//! Shadow runs of versions that differ in one thing.

use std::time::{Duration, Instant};

use arrow::array::StringArray;
use serde_json::json;

use super::super::report::{Limits, Report};
use super::super::shadow::{TIME_LIMIT, run};
use super::*;

const NO_CHANGE: Limits = Limits { max_changed: 0.0, max_slower: 1e9, max_rejected: 0.0 };

fn shadow(old: &Pipeline, new: &Pipeline, recent: &[(Rows, BatchTime)]) -> Report {
    run(old, new, recent, TIME_LIMIT).unwrap()
}

/// The report, and why the new version is refused that is otherwise than the old one in `new`.
#[track_caller]
fn refused(old: &Pipeline, new: &Pipeline, recent: &[(Rows, BatchTime)]) -> (Report, String) {
    let report = shadow(old, new, recent);
    let against = report.verdict(&NO_CHANGE).unwrap_err();
    (report, against)
}

#[test]
fn versions_that_do_the_same_are_found_the_same() {
    let versions = [0, 1].map(|_| transform(&filter(2), "outputs.odd.table = 'odd'"));
    let report = shadow(&versions[0], &versions[1], &[batch(-4..100), batch([-1, 7]), batch(0..400)]);
    assert_eq!(report.verdict(&NO_CHANGE), Ok(()));
    assert_eq!((report.batches, report.rows, report.messages, report.changed_share), (3, 506, 506, 0.0));
    let rows = |table: usize| {
        (report.tables[table].output.as_str(), report.tables[table].rows_old, report.tables[table].rows_new)
    };
    assert_eq!([rows(0), rows(1)], [("main", 250, 250), ("odd", 251, 251)]);
    // -4 is rejected, -3, -2 and -1 break it.
    for ran in [&report.old, &report.new] {
        assert_eq!((ran.rejected, ran.broken, ran.timed_rows), (1, 4, 402));
        assert_eq!(ran.reasons, ["rejected as it should be"]);
        assert_eq!(ran.failures.len(), 3, "{:?}", ran.failures);
    }
    assert_eq!((report.newly_broken, report.stopped), (0, None));
}

#[test]
fn rows_that_are_dropped_or_changed_are_counted_and_shown() {
    let old = transform(&each(""), "");
    // Negative values trap, spin and so on in a filter; here it drops them.
    let dropping = filter(1).replace("i64.const -1)", "i64.const -9)");
    let (report, against) = refused(&old, &transform(&dropping, ""), &[batch([-1, 5, -1, 6])]);
    assert_eq!(against, "50% of the rows have changed; max_changed is 0%");
    let table = &report.tables[0];
    assert_eq!((table.rows_old, table.rows_new, table.only_old, table.only_new), (4, 2, 2, 0));
    assert_eq!((&table.examples_old, &table.examples_new), (&vec![json!({ "n": -1 }); 2], &vec![]));

    let one_more = each(
        "(if (i64.eq (i64.load (local.get $at)) (i64.const 5)) (then (i64.store (local.get $at) (i64.const 50))))",
    );
    let (report, _) = refused(&old, &transform(&one_more, ""), &[batch(0..10), batch([5, 5])]);
    let table = &report.tables[0];
    assert_eq!((report.changed_share, table.changed, table.only_old, table.only_new), (0.25, 3, 3, 3));
    assert_eq!(table.examples_old, vec![json!({ "n": 5 }); 3]);
    assert_eq!(table.examples_new, vec![json!({ "n": 50 }); 3]);
    let allowed = Limits { max_changed: 0.25, ..NO_CHANGE };
    assert_eq!(report.verdict(&allowed), Ok(()));
}

#[test]
fn a_column_that_is_new_is_named_and_rows_are_compared_by_the_others() {
    let report = shadow(&transform(&each(""), ""), &transform(&twice(), ""), &[batch(0..5)]);
    assert_eq!(report.verdict(&NO_CHANGE), Ok(()));
    let table = &report.tables[0];
    assert_eq!(
        (table.changed, &table.added, table.removed.len(), table.retyped.len()),
        (0, &vec!["a".to_owned()], 0, 0)
    );
    assert!(report.to_string().contains("columns added: a"), "{report}");
}

#[test]
fn an_output_that_is_new_is_all_change_unless_it_is_dropped() {
    let old = transform(&filter(1), "");
    let (report, against) = refused(&old, &transform(&filter(2), "outputs.odd.table = 'odd'"), &[batch(0..4)]);
    assert_eq!(against, "66.7% of the rows have changed; max_changed is 0%");
    assert_eq!((report.tables[1].output.as_str(), report.tables[1].rows_new), ("odd", 2));
    let report = shadow(&old, &transform(&filter(2), "outputs.odd = 'drop'"), &[batch([0, 2, 4])]);
    assert_eq!((report.tables.len(), report.changed_share), (1, 0.0));
}

#[test]
fn messages_that_only_the_new_version_rejects_are_held_against_it() {
    let old = transform(&filter(1).replace("i64.const -4)", "i64.const -9)"), "");
    let (report, against) = refused(&old, &transform(&filter(1), ""), &[batch([1, -4, 2, 3])]);
    assert_eq!(against, "25% of the messages are rejected that weren't before; max_rejected is 0%");
    assert_eq!((report.new.rejected, report.old.rejected), (1, 0));
    assert_eq!(report.verdict(&Limits { max_rejected: 0.25, ..NO_CHANGE }), Ok(()));
    let back = shadow(&transform(&filter(1), ""), &old, &[batch([1, -4, 2, 3])]);
    assert_eq!(back.verdict(&NO_CHANGE), Ok(()), "fewer than before");
}

#[test]
fn a_row_that_the_sink_can_not_take_is_rejected_here_as_there() {
    let version = |sink: &str| {
        let folder = tempfile::tempdir().unwrap();
        open_in(
            folder.path(),
            &format!(
                "decode.format = 'json'\ncolumns = {{ s = 'utf8', n = 'int64' }}\nsink = {{ table = 'main' {sink} }}\n"
            ),
        )
    };
    let (old, new) = (version(""), version(", partition_by = ['s']"));
    let values = StringArray::from_iter_values(["fits".to_owned(), "long".repeat(1000)]);
    let batch =
        RecordBatch::try_new(old.input().clone(), vec![Arc::new(values), Arc::new(Int64Array::from(vec![1, 2]))])
            .unwrap();
    let (report, against) = refused(&old, &new, &[(Rows { batch, origin: vec![0, 1] }, BatchTime::default())]);
    assert!(against.contains("50% of the messages are rejected that weren't before"), "{against}");
    assert_eq!((report.new.rejected, report.new.broken, report.tables[0].rows_new), (1, 0, 1));
    assert_eq!(report.tables[0].examples_old[0]["s"].as_str().unwrap().chars().count(), 201, "cut");
}

#[test]
fn a_message_that_breaks_only_the_new_version_is_a_refusal() {
    let old = transform(&filter(1).replace("i64.const -1)", "i64.const -9)"), "");
    let trapping = transform(&filter(1), "");
    let (report, against) = refused(&old, &trapping, &[batch([3, -1, 4])]);
    assert_eq!(
        against,
        format!("1 message that the old version can do something with broke the new one, with: {TRAP}")
    );
    assert_eq!((report.newly_broken, report.new.broken, report.old.broken, report.tables[0].changed), (1, 1, 0, 0));
    let both = shadow(&trapping, &trapping, &[batch([3, -1, 4])]);
    assert_eq!((both.newly_broken, both.new.broken, both.verdict(&NO_CHANGE)), (0, 1, Ok(())), "no worse than before");
}

#[test]
fn a_version_that_fails_on_everything_is_stopped_and_refused() {
    let old = transform(&each(""), "");
    let (report, against) = refused(&old, &transform(&each("unreachable"), ""), &[batch(0..10), batch(0..100)]);
    assert!(against.starts_with("the new version can't go on: ") && against.contains(TRAP), "{against}");
    // Of the first ten it did what it could: they all became dead letters.
    assert_eq!((report.batches, report.new.broken, report.newly_broken), (1, 10, 10));
    assert_eq!(report.stopped.as_deref(), Some("a version could not go on after 1 of 2 batches"));
}

#[test]
fn an_endless_loop_takes_no_longer_than_the_time_that_there_is() {
    let old = transform(&each(""), "");
    let spinning = transform(&each("(loop (br 0))"), "");
    let began = Instant::now();
    let report = run(&old, &spinning, &[batch(0..8000)], Duration::from_millis(120)).unwrap();
    let against = report.verdict(&NO_CHANGE).unwrap_err();
    assert_eq!(
        against,
        "the new version can't go on: there was no time left to look for the messages that fail with: time limit of 50ms \
         for a batch exceeded"
    );
    assert_eq!(report.batches, 0);
    // Three calls, and the fresh instances that they need; halving all of it would take eight thousand.
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

#[test]
fn what_there_is_no_time_for_is_left_out() {
    let version = transform(&each(""), "");
    let report = run(&version, &version, &[batch(0..10)], Duration::ZERO).unwrap();
    assert_eq!((report.batches, report.stopped.as_deref()), (0, Some("time was up after 0 of 1 batches")));
    assert_eq!(report.verdict(&NO_CHANGE), Ok(()));
}

#[test]
fn a_slower_version_is_measured() {
    let slow = "(local.set $left (i32.const 4000))
        (loop (local.set $left (i32.sub (local.get $left) (i32.const 1))) (br_if 0 (local.get $left)))";
    let slow = each(slow).replacen("(local $at i32)", "(local $at i32) (local $left i32)", 1);
    let fast = transform(&each(""), "");
    let batches: Vec<_> = (0..9).map(|_| batch(0..20_000)).collect();
    let report = shadow(&fast, &transform(&slow, ""), &batches);
    assert_eq!((report.old.timed_rows, report.new.timed_rows), (160_000, 160_000), "not the first batch");
    let slower = report.slower.unwrap_or_else(|| panic!("{report}"));
    assert!(slower > 2.0, "{report}");
    let against = report.verdict(&Limits { max_slower: 2.0, ..NO_CHANGE }).unwrap_err();
    assert!(against.starts_with("it takes ") && against.ends_with("max_slower is 2"), "{against}");
    let few = shadow(&fast, &transform(&slow, ""), &[batch(0..900)]);
    assert_eq!((few.slower, few.new.timed_rows), (None, 900), "the only batch is timed, but is too little to judge by");
}

#[test]
fn other_columns_or_no_rows_are_no_comparison() {
    let old = transform(&each(""), "");
    let folder = plugin(false, &each(""));
    let other = open_in(
        folder.path(),
        "decode.format = 'json'\ncolumns.n = 'int64'\nsink.table = 'main'\n[[pipeline.p.transform]]\nplugin = 'x.wasm'\n",
    );
    let report = shadow(&old, &other, &[batch(0..4)]);
    assert!(report.skipped.as_ref().unwrap().contains("other columns to decode"), "{report}");
    assert_eq!(report.verdict(&NO_CHANGE), Ok(()));
    // What was decoded by a version before this one.
    assert_eq!(shadow(&other, &other, &[batch(0..4)]).skipped.as_deref(), Some("no rows have come yet"));
    assert_eq!(shadow(&old, &old, &[]).skipped.as_deref(), Some("no rows have come yet"));
}

#[test]
fn groups_are_compared_as_they_come_out_in_the_end() {
    let old = aggregate(Keep::default(), "");
    let batches = [batch(0..50), batch(25..100)];
    let report = shadow(&old, &aggregate(Keep::default(), ""), &batches);
    assert_eq!(report.verdict(&NO_CHANGE), Ok(()));
    let table = &report.tables[0];
    assert_eq!((report.rows, table.rows_old, table.rows_new, table.changed), (125, 100, 100, 0));
    // Says 1000 for the first of the groups.
    let other =
        Keep { in_finish: "(i64.store (i32.load offset=4 (local.get $columns)) (i64.const 1000))", ..Keep::default() };
    let (report, against) = refused(&old, &aggregate(other, ""), &batches);
    assert_eq!(against, "1% of the rows have changed; max_changed is 0%");
    assert_eq!(report.tables[0].examples_new, [json!({ "n": 1000 })]);
}

#[test]
fn no_row_is_late_where_partitions_are_far_apart() {
    let folder = plugin(true, &Keep::default().code());
    let version = open_in(
        folder.path(),
        "decode.format = 'json'\ncolumns = { n = 'int64', at = { type = 'timestamp', nullable = false } }\nsink.table = 'main'\n\
         [pipeline.p.aggregate]\nplugin = 'x.wasm'\nkey = ['n']\ntime = 'at'\nwindow.tumbling = '10s'\ndelay = '0s'\nexchange = 'none'\n",
    );
    let batch = |hour: u32| {
        let row = |n: i64| json!({ "n": n, "at": format!("2026-01-01T{hour:02}:00:00Z") }).as_object().unwrap().clone();
        let batch = super::super::json::columns(&[row(1), row(2)], version.input()).unwrap();
        (Rows { batch, origin: vec![0, 1] }, BatchTime::default())
    };
    let report = shadow(&version, &version, &[batch(12), batch(3), batch(15)]);
    assert_eq!((report.tables[0].rows_old, report.tables[0].rows_new, report.changed_share), (6, 6, 0.0));
}

#[test]
fn an_aggregate_that_breaks_is_refused_wherever_it_does() {
    let old = aggregate(Keep::default(), "");
    let in_update =
        "(if (i64.eq (i64.load (i32.load offset=4 (local.get $columns))) (i64.const 7)) (then unreachable))";
    let (report, against) =
        refused(&old, &aggregate(Keep { in_update, ..Keep::default() }, ""), &[batch([7, 1]), batch([8])]);
    assert!(against.starts_with("1 message that the old version can do something with"), "{against}");
    assert_eq!((report.new.broken, report.tables[0].rows_old, report.tables[0].rows_new), (1, 3, 2));
    let (report, against) =
        refused(&old, &aggregate(Keep { in_finish: "unreachable", ..Keep::default() }, ""), &[batch([1])]);
    assert!(against.starts_with("the new version can't go on: ") && against.ends_with(TRAP), "{against}");
    assert_eq!((report.batches, report.stopped), (1, None));
}
