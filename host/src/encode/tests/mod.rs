//! Tests of encode as its callers see it: batches in, files out, read back by the formats' own readers.

mod avro;
mod dead;
mod files;
mod options;
mod partitions;
mod records;
mod round_trip;

use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, TimestampMicrosecondArray};
use arrow::datatypes::TimestampMicrosecondType;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use base64::Engine;
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::{Compression, DeadLetterFormat, DeadLetters, FileId, Format, Output, TableOptions, TableWriter};
use crate::batch::{DataType, Field, RecordBatch, Schema, SchemaRef, data_type};

/// Columns by name and type name, all nullable.
fn schema(columns: &[(&str, &str)]) -> SchemaRef {
    let field = |(name, type_name): &(&str, &str)| Field::new(*name, data_type(type_name).unwrap(), true);
    Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()))
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).unwrap()
}

fn timestamps(micros: impl Into<Vec<Option<i64>>>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from(micros.into()).with_timezone("UTC"))
}

fn options(format: Format, partition_by: &[&str]) -> TableOptions {
    let partition_by = partition_by.iter().map(|entry| (*entry).to_owned()).collect();
    TableOptions { partition_by, ..TableOptions::new("table", format) }
}

/// A file that came out whole.
#[derive(Debug)]
struct Written {
    id: FileId,
    directory: String,
    extension: &'static str,
    rows: u64,
    bytes: Vec<u8>,
}

/// Puts the outputs together and checks what is true of all: bytes aren't empty, a file ends once and with rows.
fn assemble(out: Vec<Output>) -> Vec<Written> {
    let mut open: HashMap<FileId, Vec<u8>> = HashMap::new();
    let mut closed: Vec<Written> = Vec::new();
    for output in out {
        match output {
            Output::Bytes { file, bytes } => {
                assert!(!bytes.is_empty());
                assert!(closed.iter().all(|written| written.id != file), "bytes of {file} after its end");
                open.entry(file).or_default().extend_from_slice(&bytes);
            }
            Output::Closed { file, directory, extension, rows } => {
                assert!(rows > 0);
                let bytes = open.remove(&file).expect("a file closed once, with bytes");
                closed.push(Written { id: file, directory, extension, rows, bytes });
            }
        }
    }
    assert!(open.is_empty(), "files never closed");
    closed
}

/// Writes batches and closes.
fn write(options: &TableOptions, batches: &[RecordBatch]) -> Vec<Written> {
    let mut writer = TableWriter::new(options, batches[0].schema_ref()).unwrap();
    let mut out = Vec::new();
    for batch in batches {
        writer.check(batch).unwrap();
        writer.write(batch, &mut out).unwrap();
    }
    writer.finish(&[], &mut out).unwrap();
    assert!(writer.is_empty());
    assemble(out)
}

fn decompress(written: &Written) -> Vec<u8> {
    let mut plain = Vec::new();
    match written.extension.rsplit_once('.') {
        Some((_, "gz")) => flate2::read::GzDecoder::new(written.bytes.as_slice()).read_to_end(&mut plain).unwrap(),
        Some((_, "zst")) => zstd::Decoder::new(written.bytes.as_slice()).unwrap().read_to_end(&mut plain).unwrap(),
        _ => return written.bytes.clone(),
    };
    plain
}

fn text(written: &Written) -> String {
    String::from_utf8(decompress(written)).unwrap()
}

/// The rows of a file by column name, each value as Arrow prints it; null is left out.
type Row = BTreeMap<String, String>;

/// Reads a file by its format's reader; `file_schema` is needed for text.
fn read(written: &Written, file_schema: &Schema) -> Vec<Row> {
    // Without a time zone database readers know UTC as an offset only; base64 is read as text.
    let readable = |field: &Arc<Field>| match field.data_type() {
        DataType::Timestamp(unit, _) => {
            Field::new(field.name(), DataType::Timestamp(*unit, Some("+00:00".into())), true)
        }
        DataType::Binary => Field::new(field.name(), DataType::Utf8, true),
        other => Field::new(field.name(), other.clone(), true),
    };
    let schema = Arc::new(Schema::new(file_schema.fields().iter().map(readable).collect::<Vec<_>>()));
    let plain = decompress(written);
    let batches: Vec<RecordBatch> = match written.extension.split('.').next().unwrap() {
        "parquet" => {
            let reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(plain)).unwrap().build().unwrap();
            reader.map(Result::unwrap).collect()
        }
        "csv" => {
            let reader = arrow::csv::ReaderBuilder::new(schema).with_header(true).build(plain.as_slice()).unwrap();
            reader.map(Result::unwrap).collect()
        }
        _ => arrow::json::ReaderBuilder::new(schema).build(plain.as_slice()).unwrap().map(Result::unwrap).collect(),
    };
    let mut rows: Vec<Row> = batches.iter().flat_map(rows).collect();
    if written.extension != "parquet" {
        for field in file_schema.fields().iter().filter(|field| field.data_type() == &DataType::Binary) {
            for value in rows.iter_mut().filter_map(|row| row.get_mut(field.name())) {
                *value = hex(&base64::prelude::BASE64_STANDARD.decode(&*value).unwrap());
            }
        }
    }
    assert_eq!(rows.len() as u64, written.rows);
    rows
}

/// The rows of a batch, as [`read`] gives them.
fn rows(batch: &RecordBatch) -> Vec<Row> {
    let options = FormatOptions::default();
    let mut rows = vec![Row::new(); batch.num_rows()];
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        let column: ArrayRef = match field.data_type() {
            DataType::Timestamp(..) => {
                Arc::new(column.as_primitive::<TimestampMicrosecondType>().clone().with_timezone("+00:00"))
            }
            _ => column.clone(),
        };
        let formatter = ArrayFormatter::try_new(&column, &options).unwrap();
        for (index, row) in rows.iter_mut().enumerate().filter(|(index, _)| column.is_valid(*index)) {
            let value = match field.data_type() {
                DataType::Binary => hex(column.as_binary::<i32>().value(index)),
                _ => formatter.value(index).to_string(),
            };
            row.insert(field.name().clone(), value);
        }
    }
    rows
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
