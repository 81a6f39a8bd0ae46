//! JSON objects into columns of every type, several messages in a batch. The oracle reads them with serde_json.

#![no_main]

use std::fmt;

use libfuzzer_sys::fuzz_target;
use rillgate::batch::MemoryMessages;
use rillgate::decode::{ColumnOptions, DecodeOptions};
use rillgate_fuzz::{Cell, Expected, check_reasons, compare, decode, decoder, oracle};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

const COLUMNS: [(&str, &str); 9] = [
    ("b", "boolean"),
    ("i", "int32"),
    ("l", "int64"),
    ("f", "float32"),
    ("d", "float64"),
    ("t", "utf8"),
    ("x", "binary"),
    ("day", "date"),
    ("at", "timestamp"),
];
/// The record itself included.
const MAX_DEPTH: usize = 128;

// The first byte says whether `l` must be there; 0xff stands between messages.
fuzz_target!(|data: &[u8]| {
    let Some((flags, messages)) = data.split_first() else { return };
    let required = flags & 1 == 1;
    let columns = COLUMNS.map(|(name, data_type)| {
        (name, ColumnOptions { nullable: !(required && name == "l"), ..ColumnOptions::new(data_type) })
    });
    let mut decoder = decoder(&DecodeOptions::Json {}, &columns).unwrap();
    let values: Vec<&[u8]> = messages.split(|byte| *byte == 0xff).collect();
    let messages = MemoryMessages::from_values("topic", &values);
    let fates: Vec<_> = values.iter().map(|value| expected(value, required)).collect();
    // Twice by one decoder: nothing is left over from a batch.
    for _ in 0..2 {
        let decoded = decode(&mut decoder, &messages);
        check_reasons(&decoded);
        for (index, value) in values.iter().enumerate().filter(|(_, value)| !value.is_empty()) {
            let row = decoded.rows.origin.iter().position(|origin| *origin as usize == index);
            compare(&decoded.rows.batch, row, fates[index].as_deref(), value);
        }
    }
});

/// What the columns must hold; `None` for what is no record.
fn expected(value: &[u8], required: bool) -> Option<Vec<Expected>> {
    let text = str::from_utf8(value).ok()?;
    let record = record(text, 1)?;
    let mut fields = vec![Expected::Cell(Cell::Null); COLUMNS.len()];
    let mut wrong = false;
    for (name, value) in &record.0 {
        let Some(column) = COLUMNS.iter().position(|(column, _)| column == name) else { continue };
        let found = field(COLUMNS[column].1, value.get());
        wrong |= found == Expected::Rejected;
        // Of a field given twice the last counts, if none of them is refused.
        if fields[column] != Expected::Unknown {
            fields[column] = found;
        }
    }
    // A value that is wrong is so even where the field is given again.
    if wrong || (required && fields[2] == Expected::Cell(Cell::Null)) {
        return None;
    }
    Some(fields)
}

fn field(data_type: &str, json: &str) -> Expected {
    let bytes = |text: &str| Expected::Cell(Cell::Bytes(text.as_bytes().to_vec()));
    let is_text = matches!(data_type, "utf8" | "binary");
    match json.as_bytes()[0] {
        b'"' => {
            let text: String = serde_json::from_str(json).unwrap();
            match data_type {
                "utf8" | "binary" => bytes(&text),
                "date" => oracle::date(&text),
                "timestamp" => oracle::timestamp(&text),
                _ => Expected::Rejected,
            }
        }
        b'n' => Expected::Cell(Cell::Null),
        b't' | b'f' if data_type == "boolean" => Expected::Cell(Cell::Boolean(json == "true")),
        _ if is_text => bytes(json),
        b'-' | b'0'..=b'9' => match data_type {
            "int32" => oracle::integer(json, 32),
            "int64" => oracle::integer(json, 64),
            "float32" => oracle::float32(json),
            "float64" => oracle::float64(json),
            "date" => oracle::epoch_days(json),
            "timestamp" => oracle::epoch_millis(json),
            _ => Expected::Rejected,
        },
        _ => Expected::Rejected,
    }
}

/// An object's fields in order, each as often as it is given.
struct Record(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Record {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Record;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Record, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Record(fields))
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

/// An object at this depth, if it is JSON through and through: serde_json's raw values are not checked for half surrogates.
fn record(text: &str, depth: usize) -> Option<Record> {
    let record: Record = serde_json::from_str(text).ok()?;
    record.0.iter().all(|(_, value)| well_formed(value.get(), depth)).then_some(record)
}

fn well_formed(json: &str, depth: usize) -> bool {
    match json.as_bytes()[0] {
        b'"' => serde_json::from_str::<String>(json).is_ok(),
        b'{' => depth < MAX_DEPTH && record(json, depth + 1).is_some(),
        b'[' if depth < MAX_DEPTH => serde_json::from_str::<Vec<Box<RawValue>>>(json)
            .is_ok_and(|values| values.iter().all(|value| well_formed(value.get(), depth + 1))),
        b'[' => false,
        _ => true,
    }
}
