//! Avro by any schema into columns, several messages in a batch. The oracle reads what was accepted with the apache-avro crate.

#![no_main]

use std::sync::Arc;

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value as Datum;
use arrow::array::AsArray;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use libfuzzer_sys::fuzz_target;
use rillgate::avro::{SchemaText, Schemas, begin};
use rillgate::batch::MemoryMessages;
use rillgate::decode::{AvroOptions, ColumnOptions, DecodeOptions, Decoder};
use rillgate_fuzz::{check_reasons, decode, decoder};
use serde_json::{Value, json};

/// How deep schemas nest, and how many types they have.
const MAX_DEPTH: usize = 5;
const MAX_TYPES: usize = 40;

// The first bytes are a type, the rest data of it; 0xff and 0xfe stand between messages.
fuzz_target!(|data: &[u8]| {
    let mut shape = Shape { bytes: data, types: 0 };
    let kind = shape.kind(0);
    // In a list, so that it becomes JSON whatever it is.
    let schema = json!({ "type": "record", "name": "Root", "fields": [{ "name": "x", "type": { "type": "array", "items": kind } }] });
    let schema = schema.to_string();
    let schemas = Arc::new(Schemas::default());
    schemas.insert(1, &SchemaText { schema: schema.clone(), references: Vec::new() });
    let reader = |column: &str| {
        let options = DecodeOptions::Avro(AvroOptions::default());
        let mut decoder = decoder(&options, &[(column, ColumnOptions::new("utf8"))]).unwrap();
        decoder.look_up_in(Arc::clone(&schemas));
        decoder
    };
    let data: Vec<&[u8]> = split(shape.bytes);
    let messages = data.iter().map(|datum| {
        let mut message = Vec::new();
        begin(1, &mut message);
        message.extend_from_slice(datum);
        message
    });
    let messages = MemoryMessages::from_values("topic", messages);
    let read = accepted(&mut reader("x"), &messages);
    let passed_over = accepted(&mut reader("other"), &messages);
    let parsed = Schema::parse_str(&schema).unwrap();
    for (index, datum) in data.iter().enumerate() {
        let Some(Some(text)) = &read[index] else { continue };
        assert!(passed_over[index].is_some(), "read, and can't be passed over: {datum:?} of {schema}");
        let mut rest = *datum;
        let other = GenericDatumReader::builder(&parsed).build().unwrap().read_value(&mut rest);
        let other = other.unwrap_or_else(|error| panic!("accepted, but {error}: {datum:?} of {schema}"));
        assert!(rest.is_empty(), "accepted with {} bytes left: {datum:?} of {schema}", rest.len());
        let found: Value = serde_json::from_str(text).unwrap();
        let Datum::Record(mut fields) = other else { panic!("{schema}") };
        let expected: Value = serde_json::from_str(&json_of(fields.remove(0).1)).unwrap();
        assert_eq!(found, expected, "{datum:?} of {schema}");
    }
});

/// The text of each message that became a row; `None` for one that was rejected.
fn accepted(decoder: &mut Decoder, messages: &MemoryMessages) -> Vec<Option<Option<String>>> {
    assert!(decoder.prepare(messages).is_empty());
    let decoded = decode(decoder, messages);
    check_reasons(&decoded);
    let mut all = vec![None; messages.messages.len()];
    let texts = decoded.rows.batch.column(0).as_string::<i32>();
    for (text, origin) in texts.iter().zip(&decoded.rows.origin) {
        all[*origin as usize] = Some(text.map(str::to_owned));
    }
    all
}

fn split(bytes: &[u8]) -> Vec<&[u8]> {
    let mut all = Vec::new();
    let mut rest = bytes;
    while let Some(at) = rest.windows(2).position(|pair| pair == [0xff, 0xfe]) {
        all.push(&rest[..at]);
        rest = &rest[at + 2..];
    }
    all.push(rest);
    all
}

/// Makes types out of bytes.
struct Shape<'a> {
    bytes: &'a [u8],
    types: usize,
}

impl Shape<'_> {
    fn next(&mut self) -> u8 {
        let (first, rest) = self.bytes.split_first().unwrap_or((&0, &[]));
        self.bytes = rest;
        *first
    }

    fn kind(&mut self, depth: usize) -> Value {
        self.types += 1;
        let byte = self.next();
        let simple = depth >= MAX_DEPTH || self.types >= MAX_TYPES;
        let name = format!("T{}", self.types);
        match byte % if simple { 10 } else { 14 } {
            0 => json!("null"),
            1 => json!("boolean"),
            2 => json!("int"),
            3 => json!("long"),
            4 => json!("float"),
            5 => json!("double"),
            6 => json!("bytes"),
            7 => json!("string"),
            8 => json!({ "type": "fixed", "name": name, "size": byte / 16 }),
            9 => json!({ "type": "enum", "name": name, "symbols": ["A", "B", "C"] }),
            10 => json!({ "type": "array", "items": self.kind(depth + 1) }),
            11 => json!({ "type": "map", "values": self.kind(depth + 1) }),
            // Not all kinds can be together in a union; that of a list and null always can.
            12 => json!(["null", { "type": "array", "items": self.kind(depth + 1) }]),
            _ => {
                let fields = (0..byte / 64).map(|n| json!({ "name": format!("f{n}"), "type": self.kind(depth + 1) }));
                let fields: Vec<Value> = fields.collect();
                json!({ "type": "record", "name": name, "fields": fields })
            }
        }
    }
}

/// A value's JSON by docs/configuration.md, as text: numbers that are read and written again may lose a bit.
fn json_of(datum: Datum) -> String {
    let text = |text: &str| Value::from(text).to_string();
    let listed = |open: char, all: Vec<String>, close: char| format!("{open}{}{close}", all.join(","));
    let named = |(name, value): (String, Datum)| format!("{}:{}", text(&name), json_of(value));
    match datum {
        Datum::Null => "null".to_owned(),
        Datum::Boolean(value) => value.to_string(),
        Datum::Int(value) => value.to_string(),
        Datum::Long(value) => value.to_string(),
        Datum::Float(value) => serde_json::to_string(&value).unwrap(),
        Datum::Double(value) => serde_json::to_string(&value).unwrap(),
        Datum::Bytes(bytes) | Datum::Fixed(_, bytes) => text(&BASE64_STANDARD.encode(bytes)),
        Datum::String(value) | Datum::Enum(_, value) => text(&value),
        Datum::Array(all) => listed('[', all.into_iter().map(json_of).collect(), ']'),
        Datum::Map(all) => listed('{', all.into_iter().map(named).collect(), '}'),
        Datum::Record(all) => listed('{', all.into_iter().map(named).collect(), '}'),
        Datum::Union(_, value) => json_of(*value),
        other => panic!("no type of these schemas: {other:?}"),
    }
}
