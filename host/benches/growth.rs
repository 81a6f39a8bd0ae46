//! What a record's cost grows with, but for what needs a broker: columns, and rows in a batch. Decode (JSON), crossing (there and
//! back) and encode (Parquet, zstd-1), ns of CPU per record.
//!
//! `cargo bench --workspace --bench growth`. Columns are in turn an id, a number, one of few texts, a time, a whole number.

#[path = "../src/plugin/tests/guest.rs"]
mod guest;

mod common;

use std::error::Error;
use std::fmt::Write as _;
use std::hint::black_box;

use indexmap::IndexMap;
use rillgate::batch::{MemoryMessages, RecordBatch};
use rillgate::decode::{ColumnOptions, DecodeOptions, Decoder};
use rillgate::encode::{Format, Output, TableOptions, TableWriter};
use rillgate::plugin::{BatchTime, Engine, Limits, Plugin, Transform};

use common::Numbers;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Values that each measurement is made of, about.
const VALUES: usize = 6_000_000;
/// Where the other of the two grows.
const USUAL_COLUMNS: usize = 7;
const USUAL_ROWS: usize = 4096;

const KINDS: [&str; 5] = ["utf8", "float64", "utf8", "timestamp", "int64"];

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("identity.wasm");
    let code = guest::identity("", "", "");
    std::fs::write(&path, guest::Guest { code: &code, ..guest::Guest::default() }.build())?;
    let plugin = Engine::new(None)?.load(&path)?;
    println!(
        "{:>8} {:>6} {:>8} {:>8} {:>9} {:>8} {:>8} {:>10}",
        "columns", "rows", "bytes", "decode", "crossing", "encode", "sum", "per column"
    );
    for columns in [3, 10, 50] {
        let sum = measure(&plugin, columns, USUAL_ROWS)?;
        common::record(&format!("columns_{columns}_ns_per_record"), sum, "ns");
    }
    for rows in [16, 256, 1024, 4096, 8192, 32_768] {
        let sum = measure(&plugin, USUAL_COLUMNS, rows)?;
        common::record(&format!("batch_{rows}_rows_ns_per_record"), sum, "ns");
    }
    Ok(())
}

/// Prints what each stage takes; returns the sum.
fn measure(plugin: &std::sync::Arc<Plugin>, columns: usize, rows: usize) -> Result<f64, Box<dyn Error>> {
    let count = (VALUES / columns / rows).max(8);
    let mut numbers = Numbers(11);
    let all: Vec<MemoryMessages> = (0..count)
        .map(|batch| {
            let record = |row| record(batch * rows + row, columns, &mut numbers);
            MemoryMessages::from_values("bench", (0..rows).map(record))
        })
        .collect();
    let bytes: usize = all[0].messages.iter().flat_map(|message| &message.value).map(Vec::len).sum();
    let options: IndexMap<_, _> =
        (0..columns).map(|column| (format!("column_{column}"), ColumnOptions::new(KINDS[column % 5]))).collect();
    let mut decoder = Decoder::new(&DecodeOptions::Json {}, &options)?;
    let mut transform = Transform::open(plugin, &Limits::default(), &[], decoder.schema())?;
    // Each batch is dropped before the next, as in a task: memory that is used again costs less than fresh memory.
    let (decode, ()) = common::cpu_nanos(|| all.iter().for_each(|messages| drop(black_box(decoder.decode(messages)))));
    let batches: Vec<RecordBatch> = all.iter().map(|messages| decoder.decode(messages).rows.batch).collect();
    assert!(batches.iter().all(|batch| batch.num_rows() == rows), "a record that doesn't decode");
    let mut apply =
        |batch: &RecordBatch| transform.apply(batch, BatchTime::default()).map(|applied| drop(black_box(applied)));
    let (crossing, crossed) = common::cpu_nanos(|| batches.iter().try_for_each(&mut apply));
    crossed?;
    let (encode, written) = common::cpu_nanos(|| encode(&batches));
    written?;
    let [decode, crossing, encode] = [decode, crossing, encode].map(|nanos| nanos / (count * rows) as f64);
    let sum = decode + crossing + encode;
    println!(
        "{columns:>8} {rows:>6} {:>8} {decode:>8.1} {crossing:>9.1} {encode:>8.1} {sum:>8.1} {:>10.1}",
        bytes / rows,
        sum / columns as f64
    );
    Ok(sum)
}

/// Writes all of it into one file.
fn encode(batches: &[RecordBatch]) -> Result<(), Box<dyn Error>> {
    let mut writer = TableWriter::new(&TableOptions::new("bench", Format::Parquet), &batches[0].schema())?;
    let mut out: Vec<Output> = Vec::new();
    for batch in batches {
        writer.write(batch, &mut out)?;
        black_box(&out);
        out.clear();
    }
    writer.finish(&[], &mut out)?;
    black_box(&out);
    Ok(())
}

/// Record `n`, flat JSON.
fn record(n: usize, columns: usize, numbers: &mut Numbers) -> String {
    let mut text = String::from("{");
    for column in 0..columns {
        let comma = if column > 0 { "," } else { "" };
        write!(text, r#"{comma}"column_{column}":"#).expect("memory takes all");
        let written = match column % 5 {
            0 => write!(text, r#""id-{n:012}""#),
            1 => write!(text, "{:.2}", numbers.unit() * 900.0),
            2 => write!(text, r#""station-{:03}""#, numbers.below(64)),
            3 => write!(
                text,
                r#""2026-01-01T{:02}:{:02}:{:02}.{:03}Z""#,
                n / 3_600_000 % 24,
                n / 60_000 % 60,
                n / 1000 % 60,
                n % 1000
            ),
            _ => write!(text, "{}", numbers.below(100_000)),
        };
        written.expect("memory takes all");
    }
    text.push('}');
    text
}
