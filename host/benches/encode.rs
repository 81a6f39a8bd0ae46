//! What encoding costs: ns of CPU a record and bytes a record of each format, and of ways to write Parquet.
//!
//! The table is the reference job's: a unique id, a train (1,000 values), a station (64), a timestamp, three floats, in
//! batches of 4,096 rows. `cargo bench -p rillgate --bench encode [part of a variant's name]`

mod common;

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, StringArray, TimestampMicrosecondArray};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder, WriterVersion};
use rillgate::batch::RecordBatch;
use rillgate::encode::{Format, Output, TableOptions, TableWriter};

use common::Numbers;

// As the binary has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROWS: usize = 4_096;
const BATCHES: usize = 256;

fn main() {
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with("--")).unwrap_or_default();
    let batches = reference_batches();
    tables(&wanted, &batches);
    parquet_variants(&wanted, &batches);
}

/// What the encode stage does, as pipelines use it.
fn tables(wanted: &str, batches: &[RecordBatch]) {
    let table = |format, partition_by: &[&str]| TableOptions {
        partition_by: partition_by.iter().map(|entry| (*entry).to_owned()).collect(),
        ..TableOptions::new("bench", format)
    };
    let variants = [
        ("table parquet", table(Format::Parquet, &[])),
        ("table parquet by date", table(Format::Parquet, &["date"])),
        ("table parquet by hour", table(Format::Parquet, &["hour"])),
        ("table parquet by station (64)", table(Format::Parquet, &["station"])),
        (
            "table parquet by station, 16 open",
            TableOptions { max_open_files: 16, ..table(Format::Parquet, &["station"]) },
        ),
        ("table csv", table(Format::Csv, &[])),
        ("table csv by station (64)", table(Format::Csv, &["station"])),
        ("table csv.gz", table(Format::CsvGz, &[])),
        ("table csv.gz, level 6", TableOptions { compression_level: Some(6), ..table(Format::CsvGz, &[]) }),
        ("table csv.gz, level 3", TableOptions { compression_level: Some(3), ..table(Format::CsvGz, &[]) }),
        ("table csv.zst", table(Format::CsvZst, &[])),
        ("table csv.zst, level 3", TableOptions { compression_level: Some(3), ..table(Format::CsvZst, &[]) }),
        ("table json", table(Format::Json, &[])),
        ("table json.gz", table(Format::JsonGz, &[])),
        ("table json.zst", table(Format::JsonZst, &[])),
    ];
    for (name, options) in variants {
        let mut most_memory = 0;
        measure(wanted, name, || {
            let mut writer = TableWriter::new(&options, &batches[0].schema()).expect("a table that can be written");
            let mut bytes = 0;
            let mut out = Vec::new();
            let mut count = |out: &mut Vec<Output>| {
                for output in out.drain(..) {
                    bytes += if let Output::Bytes { bytes, .. } = output { bytes.len() } else { 0 };
                }
            };
            for batch in batches {
                writer.check(batch).expect("rows that can be written");
                writer.write(batch, &mut out).expect("a batch written");
                most_memory = most_memory.max(writer.buffered_bytes());
                count(&mut out);
            }
            writer.finish(&[], &mut out).expect("files closed");
            count(&mut out);
            bytes
        });
        if most_memory > 0 {
            println!("{:<44} {:>7.1} MiB at most", "", most_memory as f64 / f64::from(1 << 20));
        }
    }
}

/// Runs one variant three times and prints the best.
fn measure(wanted: &str, name: &str, mut run: impl FnMut() -> usize) {
    if !name.contains(wanted) {
        return;
    }
    let records = (ROWS * BATCHES) as f64;
    let mut best = f64::MAX;
    let mut bytes = 0;
    for _ in 0..3 {
        let (nanos, written) = common::cpu_nanos(&mut run);
        bytes = written;
        best = best.min(nanos / records);
    }
    println!("{name:<44} {best:>7.1} ns/record {:>7.1} bytes/record", bytes as f64 / records);
    // One of each kind of format; the others are for whoever works on it.
    if let Some(format @ ("parquet" | "csv" | "json")) = name.strip_prefix("table ") {
        common::record(&format!("encode_{format}_ns_per_record"), best, "ns");
    }
}

fn parquet_variants(wanted: &str, batches: &[RecordBatch]) {
    let zstd = |level| Compression::ZSTD(ZstdLevel::try_new(level).expect("a level that exists"));
    let base = || WriterProperties::builder().set_compression(zstd(1)).set_statistics_enabled(EnabledStatistics::Chunk);
    let floats = ["waiting_time", "ticket_check_time", "reduced_flow_factor"];
    let no_dictionary = |columns: &[&str], mut builder: WriterPropertiesBuilder| {
        for column in columns {
            builder = builder.set_column_dictionary_enabled((*column).into(), false);
        }
        builder
    };
    let chosen = || no_dictionary(&["id", "timestamp", "waiting_time", "ticket_check_time"], base());
    let variants: Vec<(&str, WriterPropertiesBuilder)> = vec![
        ("parquet library's defaults, zstd-1", WriterProperties::builder().set_compression(zstd(1))),
        ("parquet chunk statistics", base()),
        ("parquet no statistics", base().set_statistics_enabled(EnabledStatistics::None)),
        ("parquet no dictionaries", base().set_dictionary_enabled(false)),
        ("parquet id without dictionary", no_dictionary(&["id"], base())),
        ("parquet id, floats without", no_dictionary(&["id", floats[0], floats[1]], base())),
        ("parquet chosen", chosen()),
        ("parquet chosen, page statistics", chosen().set_statistics_enabled(EnabledStatistics::Page)),
        ("parquet chosen, no offset index", chosen().set_offset_index_disabled(true)),
        (
            "parquet chosen, timestamp delta",
            chosen().set_column_encoding("timestamp".into(), Encoding::DELTA_BINARY_PACKED),
        ),
        (
            "parquet chosen, id delta length",
            chosen().set_column_encoding("id".into(), Encoding::DELTA_LENGTH_BYTE_ARRAY),
        ),
        ("parquet chosen, id delta", chosen().set_column_encoding("id".into(), Encoding::DELTA_BYTE_ARRAY)),
        (
            "parquet chosen, floats split",
            chosen()
                .set_column_encoding("waiting_time".into(), Encoding::BYTE_STREAM_SPLIT)
                .set_column_encoding("ticket_check_time".into(), Encoding::BYTE_STREAM_SPLIT),
        ),
        (
            "parquet chosen, floats raw",
            chosen()
                .set_column_compression("waiting_time".into(), Compression::UNCOMPRESSED)
                .set_column_compression("ticket_check_time".into(), Compression::UNCOMPRESSED),
        ),
        ("parquet chosen, write batch 4096", chosen().set_write_batch_size(4096)),
        ("parquet chosen, pages 256 KiB", chosen().set_data_page_size_limit(256 << 10)),
        ("parquet chosen, rows per page 100k", chosen().set_data_page_row_count_limit(100_000)),
        ("parquet chosen, version 2", chosen().set_writer_version(WriterVersion::PARQUET_2_0)),
        ("parquet chosen, row groups 128 Ki rows", chosen().set_max_row_group_row_count(Some(128 << 10))),
        ("parquet chosen, row groups 64 Ki rows", chosen().set_max_row_group_row_count(Some(64 << 10))),
        ("parquet chosen, row groups 16 Ki rows", chosen().set_max_row_group_row_count(Some(16 << 10))),
        ("parquet chosen, zstd-3", chosen().set_compression(zstd(3))),
        ("parquet chosen, snappy", chosen().set_compression(Compression::SNAPPY)),
        ("parquet chosen, uncompressed", chosen().set_compression(Compression::UNCOMPRESSED)),
    ];
    for (name, properties) in variants {
        let properties = properties.build();
        measure(wanted, name, || {
            let mut writer =
                ArrowWriter::try_new(Vec::new(), batches[0].schema(), Some(properties.clone())).expect("a writer");
            for batch in batches {
                writer.write(batch).expect("a batch written");
            }
            writer.into_inner().expect("a footer written").len()
        });
    }
}

fn reference_batches() -> Vec<RecordBatch> {
    let mut numbers = Numbers(7);
    let start = 1_767_225_600_000_000; // 2026-01-01
    (0..BATCHES)
        .map(|batch| {
            let rows = || 0..ROWS;
            let id: StringArray = rows().map(|row| Some(format!("psf{:09}", batch * ROWS + row))).collect();
            let train: StringArray = rows().map(|_| Some(format!("train-{:04}", numbers.draw() % 1_000))).collect();
            let station: StringArray = rows().map(|_| Some(format!("Station {}", numbers.draw() % 64))).collect();
            let timestamp: TimestampMicrosecondArray =
                rows().map(|row| Some(start + ((batch * ROWS + row) / 20 * 1_000_000) as i64)).collect();
            let waiting: Float64Array = rows().map(|_| Some(-5.0 * (1.0 - numbers.unit()).ln())).collect();
            let check: Float64Array = rows().map(|_| Some(1.0 + 2.0 * numbers.unit())).collect();
            let factor: Float64Array =
                rows().map(|_| Some(if numbers.draw().is_multiple_of(10) { 0.5 } else { 1.0 })).collect();
            let columns: Vec<(&str, ArrayRef)> = vec![
                ("id", Arc::new(id)),
                ("train_id", Arc::new(train)),
                ("station", Arc::new(station)),
                ("timestamp", Arc::new(timestamp.with_timezone("UTC"))),
                ("waiting_time", Arc::new(waiting)),
                ("ticket_check_time", Arc::new(check)),
                ("reduced_flow_factor", Arc::new(factor)),
            ];
            RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true)))
                .expect("columns of one length")
        })
        .collect()
}
