//! What decoding costs: nanoseconds per record on one core, the median of many batches of 8,192 records.
//!
//! `cargo bench --bench decode`, or with the name of a case: `cargo bench --bench decode -- json`.

mod common;

use std::hint::black_box;
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use indexmap::IndexMap;
use rillgate::avro::{Schema, SchemaText, Schemas, begin};
use rillgate::batch::MemoryMessages;
use rillgate::decode::{AvroOptions, ColumnOptions, CsvOptions, DecodeOptions, Decoder};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const RECORDS: usize = 8192;
const BATCHES: usize = 300;

const PASSENGER_FLOW: [(&str, &str); 7] = [
    ("id", "utf8"),
    ("train_id", "utf8"),
    ("station", "utf8"),
    ("timestamp", "timestamp"),
    ("waiting_time", "float64"),
    ("ticket_check_time", "float64"),
    ("reduced_flow_factor", "float64"),
];
const TURNSTILE: [(&str, &str); 13] = [
    ("CA", "utf8"),
    ("UNIT", "utf8"),
    ("SCP", "utf8"),
    ("STATION", "utf8"),
    ("LINENAME", "utf8"),
    ("DIVISION", "utf8"),
    ("DATE", "utf8"),
    ("TIME", "utf8"),
    ("DESC", "utf8"),
    ("ENTRIES", "int64"),
    ("EXITS", "int64"),
    ("ID", "utf8"),
    ("TIMESTAMP", "timestamp"),
];

/// passenger_flow as it would be in Avro.
static AVRO: LazyLock<SchemaText> = LazyLock::new(|| {
    SchemaText {
    schema: r#"{"type":"record","name":"passenger_flow","fields":[{"name":"id","type":"string"},
        {"name":"train_id","type":"string"},{"name":"station","type":["null","string"]},
        {"name":"timestamp","type":{"type":"long","logicalType":"timestamp-millis"}},{"name":"waiting_time","type":"double"},
        {"name":"ticket_check_time","type":["null","double"]},{"name":"reduced_flow_factor","type":"double"}]}"#
        .to_owned(),
    references: Vec::new(),
}
});

/// Writes record `n`.
type Record = fn(usize) -> Vec<u8>;

fn main() {
    // Cargo passes `--bench` of its own.
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let csv = || DecodeOptions::Csv(CsvOptions::default());
    let avro = || DecodeOptions::Avro(AvroOptions::default());
    let cases: [(_, _, &[_], Record); 7] = [
        ("json_190", DecodeOptions::Json {}, &PASSENGER_FLOW, json_record),
        ("json_190_unknown_fields", DecodeOptions::Json {}, &PASSENGER_FLOW[..3], json_record),
        ("csv_190", csv(), &TURNSTILE, |n| csv_record(n, "")),
        ("csv_190_quoted", csv(), &TURNSTILE, |n| csv_record(n, "\"")),
        // The same records; they are 66 bytes so.
        ("avro_190", avro(), &PASSENGER_FLOW, avro_record),
        ("avro_190_unread_fields", avro(), &PASSENGER_FLOW[..3], avro_record),
        ("raw_190", DecodeOptions::Raw {}, &[], json_record),
    ];
    for (name, options, columns, record) in cases {
        if wanted.is_empty() || wanted.iter().any(|wanted| name.contains(wanted.as_str())) {
            measure(name, &options, columns, record);
        }
    }
}

fn measure(name: &str, options: &DecodeOptions, columns: &[(&str, &str)], record: Record) {
    let columns: IndexMap<_, _> =
        columns.iter().map(|(name, data_type)| ((*name).to_owned(), ColumnOptions::new(data_type))).collect();
    let messages = MemoryMessages::from_values("bench", (0..RECORDS).map(record));
    let bytes: usize = messages.messages.iter().flat_map(|message| &message.value).map(Vec::len).sum();
    let mut decoder = Decoder::new(options, &columns).expect("the case's own columns");
    let schemas = Schemas::default();
    schemas.insert(1, &AVRO);
    decoder.look_up_in(Arc::new(schemas));
    let mut nanos: Vec<f64> = (0..BATCHES)
        .map(|_| {
            let start = Instant::now();
            assert!(decoder.prepare(&messages).is_empty());
            let decoded = black_box(decoder.decode(black_box(&messages)));
            assert_eq!(decoded.rows.batch.num_rows(), RECORDS, "{:?}", decoded.rejected.first());
            drop(decoded);
            start.elapsed().as_nanos() as f64 / RECORDS as f64
        })
        .collect();
    nanos.sort_by(f64::total_cmp);
    let (median, best) = (nanos[BATCHES / 2], nanos[0]);
    println!("{name:<26} {median:6.1} ns/record, at best {best:6.1} ({} bytes/record)", bytes / RECORDS);
    // One of each format; the others are for whoever works on it.
    if let Some(format) = name.strip_suffix("_190") {
        common::record(&format!("decode_{format}_ns_per_record"), median, "ns");
    }
}

/// 190 bytes and 7 fields: passenger_flow as the railway's feed writes it.
fn json_record(n: usize) -> Vec<u8> {
    let (waiting, check) = (1.0 + (n as f64 * 0.618_033).fract() * 9.0, 1.0 + (n as f64 * 0.414_213).fract());
    format!(
        r#"{{"id": "psf{n:06}", "train_id": "arr{n:06}", "station": "Station {}", "timestamp": "2024-05-06T{:02}:{:02}:00", "waiting_time": {waiting:.12}, "ticket_check_time": {check:.6}, "reduced_flow_factor": 1.0}}"#,
        ["A", "B", "C", "D"][n % 4],
        n / 60 % 24,
        n % 60,
    )
    .into_bytes()
}

fn avro_record(n: usize) -> Vec<u8> {
    static SCHEMA: LazyLock<Schema> = LazyLock::new(|| Schema::parse(&AVRO).expect("the case's own schema"));
    let mut value: serde_json::Value = serde_json::from_slice(&json_record(n)).expect("the case's own JSON");
    value["timestamp"] = (1_714_953_600_000 + n as i64 * 60_000).into();
    let mut message = Vec::new();
    begin(1, &mut message);
    SCHEMA.encode(&value, &mut message).expect("a record of the schema");
    message
}

/// About 190 bytes and 13 fields: a turnstile as the subway's feed writes it, with a long name of a station.
fn csv_record(n: usize, quote: &str) -> Vec<u8> {
    format!(
        "A{:03},R{:03},02-00-00,{quote}Times Square - 42 Street / Port Authority Bus Terminal, west mezzanine{quote},456NQR,BMT,09-23-23,16:54:00,REGULAR,{n},{},6f1c2a52-7a3e-4a57-9f39-{n:012},2023-09-23 16:{:02}:00",
        n % 1000,
        n % 777,
        n * 3,
        n % 60,
    )
    .replace(if quote.is_empty() { ", west" } else { "\0" }, " west")
    .into_bytes()
}
