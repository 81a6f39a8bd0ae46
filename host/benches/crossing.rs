//! What it costs to hand a batch to a plugin and take its answer: ns per record for a plugin that returns what it is given; and for an
//! aggregate, whose states go in and come out beside the rows.
//!
//! `cargo bench -p rillgate --bench crossing`. The columns are those of the reference job: three texts, a timestamp, three
//! numbers. Beside the median of many calls stands the best, which a busy machine disturbs less.

#[path = "../src/plugin/tests/guest.rs"]
mod guest;
#[path = "../src/plugin/tests/keep.rs"]
mod keep;

mod common;

use std::collections::HashMap;
use std::error::Error;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, Float64Array, StringArray, TimestampMicrosecondArray};
use rillgate::batch::{DataType, Field, RecordBatch, Schema, data_type};
use rillgate::plugin::{Aggregate, BatchTime, Engine, Limits, Plugin, Transform};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Records that each measurement is made of, at least.
const RECORDS: usize = 2_000_000;

/// What an aggregate is given: rows, of so many groups.
const UPDATE_ROWS: usize = 8192;
const GROUPS: u64 = 10_000;

fn main() -> Result<(), Box<dyn Error>> {
    let engine = Engine::new(None)?;
    transform(&engine)?;
    update(&engine)
}

fn load(engine: &Engine, guest: &guest::Guest) -> Result<Arc<Plugin>, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("guest.wasm");
    std::fs::write(&path, guest.build())?;
    Ok(engine.load(&path)?)
}

/// Times of calls in nanoseconds per row, in order.
fn measure(rows: usize, mut call: impl FnMut() -> Result<(), Box<dyn Error>>) -> Result<Vec<f64>, Box<dyn Error>> {
    let calls = (RECORDS / rows).clamp(200, 100_000);
    let mut times = Vec::with_capacity(calls);
    for _ in 0..calls {
        let start = Instant::now();
        call()?;
        times.push(start.elapsed().as_nanos() as f64 / rows as f64);
    }
    times.sort_by(f64::total_cmp);
    Ok(times)
}

fn transform(engine: &Engine) -> Result<(), Box<dyn Error>> {
    let code = guest::identity("", "", "");
    let plugin = load(engine, &guest::Guest { code: &code, ..guest::Guest::default() })?;
    println!("{:>8} {:>16} {:>16}", "rows", "ns per record", "best");
    for rows in [1, 64, 4096, 10_000] {
        let batch = batch(rows)?;
        let mut transform = Transform::open(&plugin, &Limits::default(), &[], &batch.schema())?;
        assert_eq!(transform.apply(&batch, BatchTime::default())?.batches, std::slice::from_ref(&batch));
        let times = measure(rows, || {
            black_box(transform.apply(black_box(&batch), BatchTime::default())?);
            Ok(())
        })?;
        println!("{rows:>8} {:>16.1} {:>16.1}", times[times.len() / 2], times[0]);
        if rows == 4096 {
            common::record("crossing_ns_per_record", times[times.len() / 2], "ns");
        }
    }
    Ok(())
}

/// Rows of the same columns and the states of their groups, of two numbers each, to an aggregate that returns the states as they are.
fn update(engine: &Engine) -> Result<(), Box<dyn Error>> {
    let code = keep::Keep {
        // The state is the fifth and sixth column of the rows.
        in_open: "(i32.store (i32.const 36) (i32.add (local.get $fields) (i32.const 48))) (i32.store (i32.const 40) (i32.const 2))",
        in_update: "(local.set $rows (local.get $states)) (local.set $columns (local.get $state-columns))
                    (local.set $count (local.get $state-columns-count))",
        ..keep::Keep::default()
    }
    .code();
    let plugin = load(engine, &guest::Guest { is_aggregate: true, code: &code, ..guest::Guest::default() })?;
    let rows = batch(UPDATE_ROWS)?;
    let groups = rows.project(&[2])?.schema();
    let mut aggregate = Aggregate::open(&plugin, &Limits::default(), &[], &rows.schema(), &groups)?;

    // Groups are counted as they come up, as the host counts those of a batch.
    let mut numbers = common::Numbers(7);
    let mut seen = HashMap::new();
    let group_of_row: Vec<u32> = (0..UPDATE_ROWS)
        .map(|_| {
            let next = seen.len() as u32;
            *seen.entry(numbers.below(GROUPS)).or_insert(next)
        })
        .collect();
    let touched = seen.len();
    let states = rows.project(&[4, 5])?.slice(0, touched);
    let mut call = || aggregate.update(&rows, black_box(&group_of_row), touched as u32, &states, BatchTime::default());
    assert_eq!(call()?.states, states);
    let times = measure(UPDATE_ROWS, || {
        black_box(call()?);
        Ok(())
    })?;
    println!("\nupdate of an aggregate, {UPDATE_ROWS} rows of {touched} groups, which are of {GROUPS}:");
    println!("{:>25.1} {:>16.1}", times[times.len() / 2], times[0]);
    common::record("crossing_update_ns_per_record", times[times.len() / 2], "ns");
    Ok(())
}

/// Some 60 bytes of text a record, a timestamp and three numbers, one in a hundred of which is null.
fn batch(rows: usize) -> Result<RecordBatch, Box<dyn Error>> {
    let text = |make: &dyn Fn(usize) -> String| -> ArrayRef {
        Arc::new((0..rows).map(|row| Some(make(row))).collect::<StringArray>())
    };
    let number = |scale: f64| -> ArrayRef {
        Arc::new((0..rows).map(|row| (row % 100 != 42).then_some(row as f64 * scale)).collect::<Float64Array>())
    };
    let timestamp: TimestampMicrosecondArray = (0..rows as i64).map(|row| Some(1_700_000_000_000_000 + row)).collect();
    let columns = [
        ("id", "utf8", text(&|row| format!("{row:08x}-4f2a-4b8e-9c1d-{row:012x}"))),
        ("train_id", "utf8", text(&|row| format!("train-{}", row % 500))),
        ("station", "utf8", text(&|row| format!("Hauptbahnhof {}", row % 100))),
        ("timestamp", "timestamp", Arc::new(timestamp.with_timezone("UTC")) as ArrayRef),
        ("waiting_time", "float64", number(0.25)),
        ("passengers", "float64", number(3.0)),
        ("delay", "float64", number(-0.5)),
    ];
    let field = |(name, kind, _): &(&str, &str, ArrayRef)| {
        Field::new(*name, data_type(kind).unwrap_or(DataType::Null), *kind == "float64")
    };
    let schema = Schema::new(columns.iter().map(field).collect::<Vec<_>>());
    Ok(RecordBatch::try_new(Arc::new(schema), columns.into_iter().map(|(_, _, column)| column).collect())?)
}
