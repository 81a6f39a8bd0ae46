//! Raw keys and values, and Kafka's own fields, as columns. The oracle is what the messages hold.

#![no_main]

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use rillgate::batch::{MemoryMessage, MemoryMessages};
use rillgate::decode::{ColumnOptions, DecodeOptions};
use rillgate_fuzz::{Cell, Expected, check_reasons, compare, decode, decoder, oracle};

#[derive(Debug, Arbitrary)]
struct Message {
    offset: i64,
    timestamp_ms: Option<i64>,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
}

#[derive(Debug, Arbitrary)]
struct Input {
    keys_are_text: bool,
    values_are_text: bool,
    keys_are_required: bool,
    topic: String,
    partition: i32,
    messages: Vec<Message>,
}

fuzz_target!(|input: Input| {
    let bytes = |is_text| ColumnOptions::new(if is_text { "utf8" } else { "binary" });
    let columns = [
        ("key", bytes(input.keys_are_text)),
        ("value", bytes(input.values_are_text)),
        ("_key", ColumnOptions { nullable: !input.keys_are_required, ..bytes(input.keys_are_text) }),
        ("_topic", ColumnOptions::new("utf8")),
        ("_partition", ColumnOptions::new("int32")),
        ("_offset", ColumnOptions::new("int64")),
        ("_timestamp", ColumnOptions::new("timestamp")),
        ("_headers", ColumnOptions::new("utf8")),
    ];
    let mut decoder = decoder(&DecodeOptions::Raw {}, &columns).unwrap();
    let messages = input.messages.iter().map(|message| MemoryMessage {
        offset: message.offset,
        timestamp_ms: message.timestamp_ms,
        key: message.key.clone(),
        value: message.value.clone(),
        headers: message.headers.clone(),
    });
    let messages =
        MemoryMessages { topic: input.topic.clone(), partition: input.partition, messages: messages.collect() };
    let decoded = decode(&mut decoder, &messages);
    check_reasons(&decoded);
    for (index, message) in input.messages.iter().enumerate() {
        let Some(value) = message.value.as_deref().filter(|value| !value.is_empty()) else { continue };
        let row = decoded.rows.origin.iter().position(|origin| *origin as usize == index);
        let payload = |bytes: Option<&[u8]>, is_text: bool| match bytes {
            None => Expected::Cell(Cell::Null),
            Some(bytes) if is_text && str::from_utf8(bytes).is_err() => Expected::Rejected,
            Some(bytes) => Expected::Cell(Cell::Bytes(bytes.to_vec())),
        };
        let key = payload(message.key.as_deref(), input.keys_are_text);
        let required = match message.key {
            None if input.keys_are_required => Expected::Rejected,
            _ => key.clone(),
        };
        let timestamp = match message.timestamp_ms.map(|millis| millis.checked_mul(1000)) {
            None => Expected::Cell(Cell::Null),
            Some(micros) => micros.map_or(Expected::Rejected, oracle::in_range),
        };
        let headers = message.headers.iter().map(|(name, value)| match value.as_deref().map(str::from_utf8) {
            None => serde_json::json!({ "key": name, "value": null }),
            Some(Ok(text)) => serde_json::json!({ "key": name, "value": text }),
            Some(Err(_)) => {
                serde_json::json!({ "key": name, "value_base64": BASE64_STANDARD.encode(value.as_deref().unwrap()) })
            }
        });
        let headers: serde_json::Value = headers.collect();
        let fields = [
            key,
            payload(Some(value), input.values_are_text),
            required,
            Expected::Cell(Cell::Bytes(input.topic.clone().into_bytes())),
            Expected::Cell(Cell::Integer(input.partition.into())),
            Expected::Cell(Cell::Integer(message.offset)),
            timestamp,
            Expected::Cell(Cell::Bytes(headers.to_string().into_bytes())),
        ];
        compare(&decoded.rows.batch, row, Some(&fields), value);
    }
});
