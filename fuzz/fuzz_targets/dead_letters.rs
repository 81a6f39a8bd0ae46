//! Dead letters of any messages, as JSON lines and as Parquet: what is read back is what was sent, byte for byte.

#![no_main]

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Int32Type, Int64Type, TimestampMicrosecondType};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use chrono::NaiveDateTime;
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rillgate::batch::{MemoryMessage, MemoryMessages, RecordBatch};
use rillgate::encode::{DeadLetterFormat, DeadLetters, Output, TableWriter};
use rillgate_fuzz::check_batch;
use serde_json::Value;

#[derive(Debug, Arbitrary)]
struct Letter {
    offset: i64,
    timestamp_ms: Option<i64>,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
    stage: String,
    reason: String,
    plugin: Option<String>,
    /// Whether the batch is taken after this one.
    last: bool,
}

#[derive(Debug, Arbitrary)]
struct Input {
    topic: String,
    partition: i32,
    letters: Vec<Letter>,
}

fuzz_target!(|input: Input| {
    let messages = input.letters.iter().map(|letter| MemoryMessage {
        offset: letter.offset,
        timestamp_ms: letter.timestamp_ms,
        key: letter.key.clone(),
        value: letter.value.clone(),
        headers: letter.headers.clone(),
    });
    let messages =
        MemoryMessages { topic: input.topic.clone(), partition: input.partition, messages: messages.collect() };
    for format in [DeadLetterFormat::Json, DeadLetterFormat::Parquet] {
        let mut dead = DeadLetters::new(format);
        let mut writer = TableWriter::new(&dead.table_options("pipeline"), &dead.schema()).unwrap();
        let (mut out, mut batches) = (Vec::new(), Vec::new());
        for (index, letter) in input.letters.iter().enumerate() {
            dead.push(&messages, index, &letter.stage, &letter.reason, letter.plugin.as_deref());
            if letter.last || index + 1 == input.letters.len() {
                batches.push(dead.take());
            }
        }
        for batch in &batches {
            check_batch(batch);
            writer.check(batch).unwrap();
            writer.write(batch, &mut out).unwrap();
        }
        writer.finish(&[], &mut out).unwrap();
        let mut bytes = Vec::new();
        for output in out {
            match output {
                Output::Bytes { bytes: more, .. } => bytes.extend_from_slice(&more),
                Output::Closed { rows, .. } => assert_eq!(rows, input.letters.len() as u64),
            }
        }
        if input.letters.is_empty() {
            assert!(bytes.is_empty());
            continue;
        }
        match format {
            DeadLetterFormat::Json => read_json(&bytes, &input),
            DeadLetterFormat::Parquet => read_parquet(bytes, &input),
        }
    }
});

fn read_json(bytes: &[u8], input: &Input) {
    let text = str::from_utf8(bytes).unwrap();
    assert!(text.ends_with('\n'));
    let lines: Vec<&str> = text.split_terminator('\n').collect();
    assert_eq!(lines.len(), input.letters.len());
    for (line, letter) in lines.into_iter().zip(&input.letters) {
        let line: Value = serde_json::from_str(line).unwrap();
        let payload = |name: &str| match (&line[name], &line[format!("{name}_base64")]) {
            (Value::Null, Value::Null) => None,
            (Value::String(text), Value::Null) => Some(text.clone().into_bytes()),
            (Value::Null, Value::String(base64)) => Some(BASE64_STANDARD.decode(base64).unwrap()),
            both => panic!("{both:?}"),
        };
        assert_eq!(line["topic"], input.topic.as_str());
        assert_eq!(line["partition"], input.partition);
        assert_eq!(line["offset"], letter.offset);
        assert_eq!(line["stage"], letter.stage.as_str());
        assert_eq!(line["reason"], letter.reason.as_str());
        assert_eq!(line["plugin"].as_str(), letter.plugin.as_deref());
        assert_eq!(payload("key"), letter.key);
        assert_eq!(payload("value"), letter.value);
        let micros = line["timestamp"].as_str();
        assert_eq!(micros.is_some(), micros_of(letter).is_some(), "{line}");
        // Years beyond 9999 are written with a sign, as ISO 8601 has it. chrono reads them up to 262142.
        if let (Some(text), Some(micros)) = (micros, micros_of(letter))
            && micros.abs() < 8_000_000_000_000_000_000
        {
            let time = NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.fZ");
            assert_eq!(time.unwrap_or_else(|error| panic!("{error}: {text}")).and_utc().timestamp_micros(), micros);
        }
        check_headers(line["headers"].as_str().unwrap(), letter);
    }
}

fn read_parquet(bytes: Vec<u8>, input: &Input) {
    let reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(bytes)).unwrap().build().unwrap();
    let batches: Vec<RecordBatch> = reader.map(Result::unwrap).collect();
    let mut letters = input.letters.iter();
    for batch in &batches {
        check_batch(batch);
        for row in 0..batch.num_rows() {
            let letter = letters.next().unwrap();
            let text = |name: &str| {
                let column = batch[name].as_string::<i32>();
                column.is_valid(row).then(|| column.value(row))
            };
            let payload = |name: &str| {
                let column = batch[name].as_binary::<i32>();
                column.is_valid(row).then(|| column.value(row))
            };
            assert_eq!(text("topic"), Some(input.topic.as_str()));
            assert_eq!(batch["partition"].as_primitive::<Int32Type>().value(row), input.partition);
            assert_eq!(batch["offset"].as_primitive::<Int64Type>().value(row), letter.offset);
            assert_eq!(text("stage"), Some(letter.stage.as_str()));
            assert_eq!(text("reason"), Some(letter.reason.as_str()));
            assert_eq!(text("plugin"), letter.plugin.as_deref());
            assert_eq!(payload("key"), letter.key.as_deref());
            assert_eq!(payload("value"), letter.value.as_deref());
            let times = batch["timestamp"].as_primitive::<TimestampMicrosecondType>();
            let micros = times.is_valid(row).then(|| times.value(row));
            assert_eq!(micros, micros_of(letter));
            check_headers(text("headers").unwrap(), letter);
        }
    }
    assert!(letters.next().is_none());
}

/// The timestamp in microseconds, if it fits.
fn micros_of(letter: &Letter) -> Option<i64> {
    letter.timestamp_ms?.checked_mul(1000)
}

fn check_headers(json: &str, letter: &Letter) {
    let headers: Vec<Value> = serde_json::from_str(json).unwrap();
    let headers: Vec<(String, Option<Vec<u8>>)> = headers
        .into_iter()
        .map(|header| {
            let value = match (header.get("value"), header.get("value_base64")) {
                (Some(Value::Null), None) => None,
                (Some(Value::String(text)), None) => Some(text.clone().into_bytes()),
                (None, Some(Value::String(base64))) => Some(BASE64_STANDARD.decode(base64).unwrap()),
                both => panic!("{both:?}"),
            };
            (header["key"].as_str().unwrap().to_owned(), value)
        })
        .collect();
    assert_eq!(headers, letter.headers);
}
