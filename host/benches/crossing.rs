//! What it costs to hand a batch to a plugin and take its answer: ns per record for a plugin that returns what it is given.
//!
//! `cargo bench -p rillgate --bench crossing`. The columns are those of the reference job: three texts, a timestamp, three
//! numbers. Beside the median of many calls stands the best, which a busy machine disturbs less.

#[path = "../src/plugin/tests/guest.rs"]
mod guest;

mod common;

use std::error::Error;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, Float64Array, StringArray, TimestampMicrosecondArray};
use rillgate::batch::{DataType, Field, RecordBatch, Schema, data_type};
use rillgate::plugin::{BatchTime, Engine, Limits, Transform};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Records that each measurement is made of, at least.
const RECORDS: usize = 2_000_000;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("identity.wasm");
    let code = guest::identity("", "", "");
    std::fs::write(&path, guest::Guest { code: &code, ..guest::Guest::default() }.build())?;
    let plugin = Engine::new(None)?.load(&path)?;
    println!("{:>8} {:>16} {:>16}", "rows", "ns per record", "best");
    for rows in [1, 64, 4096, 10_000] {
        let batch = batch(rows)?;
        let mut transform = Transform::open(&plugin, &Limits::default(), &[], &batch.schema())?;
        assert_eq!(transform.apply(&batch, BatchTime::default())?.batches, std::slice::from_ref(&batch));
        let calls = (RECORDS / rows).clamp(200, 100_000);
        let mut times = Vec::with_capacity(calls);
        for _ in 0..calls {
            let start = Instant::now();
            black_box(transform.apply(black_box(&batch), BatchTime::default())?);
            times.push(start.elapsed().as_nanos() as f64 / rows as f64);
        }
        times.sort_by(f64::total_cmp);
        println!("{rows:>8} {:>16.1} {:>16.1}", times[calls / 2], times[0]);
        if rows == 4096 {
            common::record("crossing_ns_per_record", times[calls / 2], "ns");
        }
    }
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
