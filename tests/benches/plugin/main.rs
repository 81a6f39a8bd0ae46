//! What a plugin costs: the railway's transform on the records of the reference job, ns per record on one core.
//!
//! - `plugin`: as it ships, columns across and back, checked
//! - `native`: its code built into the host, and how much of that is the copy that only the comparison needs
//! - `list of records`, `record by record`: the same transform behind an interface of records, a call for each batch and a call
//!   for each record, from columns and back to columns
//!
//! `cargo bench --workspace --bench plugin`; it builds the component with the interface of records itself.

#[path = "../../../host/benches/common/mod.rs"]
mod common;
#[path = "../native/transform.rs"]
mod native;
#[path = "../reference/record.rs"]
mod record;
mod records;

use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use rillgate::batch::{MemoryMessages, RecordBatch};
use rillgate::decode::{ColumnOptions, DecodeOptions, Decoder};
use rillgate::plugin::{BatchTime, Engine, Limits, Transform};

use common::Numbers;
use records::Records;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROWS: u64 = 4_096;
const BATCHES: usize = 400;

fn main() {
    let batch = batch();
    let settings = [("topic", "passenger_flow"), ("require", "all")].map(|(name, value)| (name.into(), value.into()));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/railway.wasm");
    assert!(path.is_file(), "{} is missing: run `make plugins`", path.display());
    let engine = Engine::new(None).expect("a machine that runs plugins");
    let plugin = engine.load(&path).expect("a plugin");
    let mut transform =
        Transform::open(&plugin, &Limits::default(), &settings, &batch.schema()).expect("columns that fit");
    let output = transform.tables()[0].schema.clone();
    let mut native = native::open(&batch.schema(), &settings, &output);
    let mut records = Records::build(&output);

    let expected = transform.apply(&batch, BatchTime::default()).expect("an answer").batches.remove(0);
    assert_eq!(expected.num_rows() as u64, (0..ROWS).filter(|i| i % record::DIRTY != record::DIRTY_AT).count() as u64);
    assert_eq!(native(&batch).batches, std::slice::from_ref(&expected), "the native code gives what the plugin gives");
    assert_eq!(records.many(&batch), expected, "a list of records gives what columns give");
    assert_eq!(records.one_by_one(&batch), expected, "single records give what columns give");

    // In turns, so that all meet the same machine.
    let mut nanos: [Vec<f64>; 5] = Default::default();
    for _ in 0..BATCHES {
        nanos[0].push(time(|| drop(black_box(transform.apply(&batch, BatchTime::default())))));
        nanos[1].push(time(|| drop(black_box(native(&batch)))));
        nanos[2].push(time(|| drop(black_box(native::lists(&batch)))));
        nanos[3].push(time(|| drop(black_box(records.many(&batch)))));
        nanos[4].push(time(|| drop(black_box(records.one_by_one(&batch)))));
    }
    let names = [
        ("plugin", "plugin_ns_per_record"),
        ("native", "plugin_native_ns_per_record"),
        ("  of which the copy", "plugin_native_copy_ns_per_record"),
        ("list of records", "plugin_record_list_ns_per_record"),
        ("record by record", "plugin_record_by_record_ns_per_record"),
    ];
    println!("{:<22} {:>14} {:>8}", "", "ns per record", "best");
    for ((name, result), mut nanos) in names.into_iter().zip(nanos) {
        nanos.sort_by(f64::total_cmp);
        println!("{name:<22} {:>14.1} {:>8.1}", nanos[BATCHES / 2], nanos[0]);
        common::record(result, nanos[BATCHES / 2], "ns");
    }
}

/// How long a call takes, ns per record.
fn time(call: impl FnOnce()) -> f64 {
    let begin = Instant::now();
    call();
    begin.elapsed().as_nanos() as f64 / ROWS as f64
}

/// The first records of the reference job, as the host decodes them.
fn batch() -> RecordBatch {
    let mut numbers = Numbers(record::SEED);
    let value = |i| {
        let mut value = Vec::new();
        record::write(&mut value, i, &mut numbers);
        value
    };
    let messages = MemoryMessages::from_values("bench", (0..ROWS).map(value));
    let columns = record::COLUMNS.iter().map(|(name, kind)| ((*name).to_owned(), ColumnOptions::new(kind))).collect();
    let mut decoder = Decoder::new(&DecodeOptions::Json {}, &columns).expect("columns that exist");
    decoder.decode(&messages).rows.batch
}
