//! The aggregates of `plugins/`, as components under the plugin layer: what the SDK makes of them is what the host takes.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{Float64Type, Int64Type};
use rillgate::batch::{RecordBatch, Rejection};
use rillgate::plugin::{Aggregate, ApplyError, BatchTime, Engine, Limits};
use support::servers::clone;

/// An aggregate of this file, for these columns of rows and of groups.
fn open(file: &str, settings: &[(&str, &str)], rows: &RecordBatch, groups: &RecordBatch) -> Aggregate {
    let path = clone().join("plugins").join(file);
    assert!(path.is_file(), "{} is missing: run `make plugins`", path.display());
    let plugin = Engine::new(None).unwrap().load(&path).unwrap();
    let settings: Vec<_> = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Aggregate::open(&plugin, &Limits::default(), &settings, &rows.schema(), &groups.schema()).unwrap()
}

/// Columns, each with whether it may be null.
fn batch<const N: usize>(columns: [(&str, ArrayRef, bool); N]) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

fn texts<const N: usize>(values: [&str; N]) -> ArrayRef {
    Arc::new(StringArray::from_iter(values.map(|value| (!value.is_empty()).then_some(value))))
}

fn numbers<const N: usize>(values: [i64; N]) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values))
}

/// Seconds since 1970-01-01T00:00:00Z.
fn times<const N: usize>(seconds: [i64; N]) -> ArrayRef {
    let micros = TimestampMicrosecondArray::from_iter_values(seconds.map(|second| second * 1_000_000));
    Arc::new(micros.with_timezone("UTC"))
}

fn ints(batch: &RecordBatch, column: &str) -> Vec<i64> {
    batch[column].as_primitive::<Int64Type>().values().to_vec()
}

fn text<'a>(batch: &'a RecordBatch, column: &str) -> Vec<Option<&'a str>> {
    batch[column].as_string::<i32>().iter().collect()
}

const NOW: BatchTime = BatchTime { timestamp_ms: 1_700_000_000_000, seed: 7 };

#[test]
fn states_are_folded_merged_and_finished() {
    let waits = |minutes: [Option<f64>; 5]| -> RecordBatch {
        batch([
            ("id", texts(["a", "b", "c", "d", "e"]), true),
            ("waiting_time", Arc::new(Float64Array::from_iter(minutes)), true),
        ])
    };
    let groups = batch([
        ("station", texts(["Süd", "", "Nord"]), true),
        ("window_start", times([0, 0, 3600]), false),
        ("window_end", times([3600, 3600, 7200]), false),
    ]);
    let first = waits([Some(1.0), Some(2.0), None, Some(-1.0), Some(6.0)]);
    let mut aggregate = open("example_rust_aggregate.wasm", &[], &first, &groups);
    let names: Vec<_> = aggregate.output().fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["station", "window_start", "passengers", "mean", "longest"]);

    let none = RecordBatch::new_empty(Arc::clone(aggregate.state()));
    let updated = aggregate.update(&first, &[0, 1, 1, 0, 0], 2, &none, NOW).unwrap();
    assert_eq!(ints(&updated.states, "passengers"), [2, 1]);
    assert_eq!(updated.rejected, [Rejection { row: 3, reason: "waiting_time -1 is negative".to_owned() }]);
    // Two groups that are known and one that is new.
    let second = waits([Some(3.0), Some(4.0), Some(4.0), Some(9.0), None]);
    let all = aggregate.update(&second, &[2, 0, 1, 2, 1], 3, &updated.states, NOW).unwrap().states;
    assert_eq!(ints(&all, "passengers"), [3, 2, 2]);

    let finished = aggregate.finish(&groups, &all, NOW).unwrap();
    assert_eq!(text(&finished, "station"), [Some("Süd"), None, Some("Nord")]);
    assert_eq!(finished["mean"].as_primitive::<Float64Type>().values().to_vec(), [11.0 / 3.0, 3.0, 6.0]);
    assert_eq!(finished["window_start"].as_ref(), groups["window_start"].as_ref());
    let doubled = aggregate.merge(&all, &all, NOW).unwrap();
    assert_eq!(ints(&doubled, "passengers"), [6, 4, 4]);
    assert_eq!(doubled["longest"].as_ref(), all["longest"].as_ref());
}

#[test]
fn new_yorks_turnstiles_are_summed_up() {
    let keys = ["CA", "UNIT", "SCP", "STATION", "LINENAME", "DIVISION", "DATE", "DESC"];
    let rows = batch([("ENTRIES", numbers([140, 7, 1]), true), ("EXITS", numbers([153, 0, 2]), true)]);
    let key = |column: &str| {
        texts([if column == "DATE" { "09/23/2023" } else { "x" }, if column == "DESC" { "" } else { "y" }])
    };
    let columns = keys.into_iter().map(|column| (column, key(column), true));
    let windows = [("window_start", times([60_600, 60_600]), false), ("window_end", times([60_900, 60_900]), false)];
    let groups = RecordBatch::try_from_iter_with_nullable(columns.chain(windows)).unwrap();
    let mut aggregate = open("mta_turnstiles.wasm", &[], &rows, &groups);
    let none = RecordBatch::new_empty(Arc::clone(aggregate.state()));
    let states = aggregate.update(&rows, &[0, 1, 0], 2, &none, NOW).unwrap().states;
    let finished = aggregate.finish(&groups, &states, NOW).unwrap();
    let names: Vec<_> = finished.schema_ref().fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names.join(","), "CA,UNIT,SCP,STATION,LINENAME,DIVISION,DATE,TIME,DESC,ENTRIES,EXITS");
    assert_eq!((ints(&finished, "ENTRIES"), ints(&finished, "EXITS")), (vec![141, 7], vec![155, 0]));
    assert_eq!(text(&finished, "TIME"), [Some("16:55:00"); 2]);
    assert_eq!(text(&finished, "DESC"), [Some("x"), None]);
}

#[test]
fn chicagos_entries_are_counted() {
    let stations = |ids: Vec<i32>| batch([("station_id", Arc::new(Int32Array::from(ids)) as ArrayRef, false)]);
    let (rows, groups) = (stations(vec![40_010, 40_020, 40_010]), stations(vec![40_010, 40_020]));
    let mut aggregate = open("cta_summary.wasm", &[], &rows, &groups);
    let none = RecordBatch::new_empty(Arc::clone(aggregate.state()));
    let states = aggregate.update(&rows, &[0, 1, 0], 2, &none, NOW).unwrap().states;
    let finished = aggregate.finish(&groups, &states, NOW).unwrap();
    assert_eq!(ints(&finished, "count"), [2, 1]);
    assert_eq!(finished["station_id"].as_ref(), groups["station_id"].as_ref());
}

#[test]
fn a_panic_of_an_aggregate_is_a_reason_and_it_goes_on() {
    let rows = batch([
        ("_topic", texts(["train_arrivals", "train_departures"]), false),
        ("timestamp", times([36_000, 36_900]), false),
    ]);
    let window = |end: i64| {
        batch([
            ("station", texts(["Station A"]), true),
            ("window_start", times([36_000]), false),
            ("window_end", times([end]), false),
        ])
    };
    let mut aggregate = open("railway_figures.wasm", &[("figures", "punctuality")], &rows, &window(0));
    let none = RecordBatch::new_empty(Arc::clone(aggregate.state()));
    let states = aggregate.update(&rows, &[0, 0], 1, &none, NOW).unwrap().states;
    // A window that is too short for the figures.
    let Err(ApplyError::Trap(words)) = aggregate.finish(&window(36_900), &states, NOW) else {
        panic!("it did not trap")
    };
    assert!(words.contains("a window is an hour and 15 minutes"), "{words}");
    let finished = aggregate.finish(&window(40_500), &states, NOW).unwrap();
    assert_eq!((ints(&finished, "arrivals"), ints(&finished, "punctual")), (vec![1], vec![1]));
}
