//! What a plugin costs: the railway's transform on the records of the reference job, ns per record on one core.
//!
//! - `plugin`: as it ships, columns across and back, checked
//! - `native`: its code built into the host, and how much of that is the copy that only the comparison needs
//! - `list of records`, `record by record`: the same transform behind an interface of records, a call for each batch and a call
//!   for each record, from columns and back to columns
//! - `between decode and encode`: plugin and native code in turns, batch by batch, between the stages that they stand between in
//!   the job: what the boundary costs there, with memory and caches shared, to a nanosecond or two. Two runs of the whole job
//!   differ by more than it.
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

use rillgate::batch::{MemoryMessages, RecordBatch, SchemaRef};
use rillgate::decode::{ColumnOptions, DecodeOptions, Decoder};
use rillgate::encode::{Format, Output, TableOptions, TableWriter};
use rillgate::plugin::native::Apply;
use rillgate::plugin::{BatchTime, Engine, Limits, Transform};

use common::Numbers;
use records::Records;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROWS: u64 = 4_096;
const BATCHES: usize = 400;
/// Batches between decode and encode, and how often they are gone through.
const POOL: u64 = 64;
const ROUNDS: usize = 12;

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

    let [plugin, native] = between(&mut transform, &mut native, &output);
    println!("\ndecode, transform and encode, ns per record: {plugin:.1} with the plugin, {native:.1} natively");
    common::record("plugin_between_stages_ns_per_record", plugin, "ns");
    common::record("plugin_native_between_stages_ns_per_record", native, "ns");
    common::record("plugin_over_native_extra_ns_per_record", plugin - native, "ns");
}

/// Plugin and native code in turns between decode and encode: ns per record of all three stages, the median of each.
fn between(transform: &mut Transform, native: &mut Apply, output: &SchemaRef) -> [f64; 2] {
    let (mut decoder, pool) = (decoder(), pool());
    let mut nanos: [Vec<f64>; 2] = Default::default();
    let mut out: Vec<Output> = Vec::new();
    for _ in 0..ROUNDS {
        // A file each, of as many batches: encode is the same for both.
        let open =
            || TableWriter::new(&TableOptions::new("bench", Format::Parquet), output).expect("columns of a table");
        let mut writers = [open(), open()];
        for (turn, messages) in pool.iter().flat_map(|messages| [messages, messages]).enumerate() {
            // Neither always comes first to a batch.
            let way = usize::from((turn % 4) % 3 != 0);
            nanos[way].push(time(|| {
                let rows = decoder.decode(messages).rows.batch;
                let applied = match way {
                    0 => transform.apply(&rows, BatchTime::default()).expect("an answer"),
                    _ => native(&rows),
                };
                writers[way].write(&applied.batches[0], &mut out).expect("memory takes all");
                black_box(&out);
                out.clear();
            }));
        }
        writers.iter_mut().for_each(|writer| writer.finish(&[], &mut out).expect("memory takes all"));
        out.clear();
    }
    nanos.map(|mut nanos| {
        nanos.sort_by(f64::total_cmp);
        nanos[nanos.len() / 2]
    })
}

/// How long a call takes, ns per record.
fn time(call: impl FnOnce()) -> f64 {
    let begin = Instant::now();
    call();
    begin.elapsed().as_nanos() as f64 / ROWS as f64
}

/// The first records of the reference job, as the host decodes them.
fn batch() -> RecordBatch {
    decoder().decode(&pool()[0]).rows.batch
}

fn decoder() -> Decoder {
    let columns = record::COLUMNS.iter().map(|(name, kind)| ((*name).to_owned(), ColumnOptions::new(kind))).collect();
    Decoder::new(&DecodeOptions::Json {}, &columns).expect("columns that exist")
}

/// The first records of the reference job, in batches.
fn pool() -> Vec<MemoryMessages> {
    let mut numbers = Numbers(record::SEED);
    let mut value = |i| {
        let mut value = Vec::new();
        record::write(&mut value, i, &mut numbers);
        value
    };
    (0..POOL).map(|at| MemoryMessages::from_values("bench", (at * ROWS..(at + 1) * ROWS).map(&mut value))).collect()
}
