//! Avro into columns: every type, keys, schemas that change, bytes that are not what they say.

use std::sync::Arc;

use apache_avro::Schema as ApacheSchema;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use indexmap::IndexMap;
use serde_json::json;

use super::helpers::{columns, rows};
use crate::avro::{SchemaText, Schemas, begin};
use crate::batch::{MemoryMessage, MemoryMessages, type_name};
use crate::decode::{AvroOptions, DecodeOptions, Decoder, KeyFormat, NewestSchemas};

pub(super) fn text(schema: &str) -> SchemaText {
    SchemaText { schema: schema.to_owned(), references: Vec::new() }
}

/// A record with these fields.
pub(super) fn record(fields: &str) -> String {
    format!(r#"{{"type":"record","name":"Row","namespace":"tests","fields":[{fields}]}}"#)
}

/// Schemas by their ids, from 1.
fn schemas(all: &[&str]) -> Arc<Schemas> {
    let schemas = Schemas::default();
    for (at, schema) in all.iter().enumerate() {
        schemas.insert(at as u32 + 1, &text(schema));
    }
    Arc::new(schemas)
}

/// A decoder of declared columns.
pub(super) fn declared(all: &[&str], columns: &str) -> Decoder {
    let options = DecodeOptions::Avro(AvroOptions::default());
    let mut decoder = Decoder::new(&options, &self::columns(columns)).unwrap();
    decoder.look_up_in(schemas(all));
    decoder
}

fn newest(value: &str, key: Option<&str>) -> DecodeOptions {
    let newest = NewestSchemas { topic: "t".to_owned(), value: text(value), key: key.map(text) };
    DecodeOptions::Avro(AvroOptions { key: key.map(|_| KeyFormat::Avro), newest: vec![newest] })
}

/// A decoder of the last schema's columns.
fn derived(all: &[&str]) -> Decoder {
    let mut decoder = Decoder::new(&newest(all.last().unwrap(), None), &IndexMap::new()).unwrap();
    decoder.look_up_in(schemas(all));
    decoder
}

/// A message by the schema of that id.
pub(super) fn message(id: u32, datum: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    begin(id, &mut message);
    message.extend_from_slice(datum);
    message
}

/// JSON written by the schema of that id, by what defaults are written by.
fn written(id: u32, schema: &str, value: serde_json::Value) -> Vec<u8> {
    let mut datum = Vec::new();
    crate::avro::Schema::parse(&text(schema)).unwrap().encode(&value, &mut datum).unwrap();
    message(id, &datum)
}

/// Decodes one value: its row as JSON, or the reason of its rejection.
pub(super) fn one(decoder: &mut Decoder, value: Vec<u8>) -> Result<String, String> {
    keyed(decoder, None, value)
}

fn keyed(decoder: &mut Decoder, key: Option<Vec<u8>>, value: Vec<u8>) -> Result<String, String> {
    let message = MemoryMessage { key, value: Some(value), ..MemoryMessage::default() };
    let messages = MemoryMessages { messages: vec![message], ..MemoryMessages::from_values::<&str>("t", []) };
    assert_eq!(decoder.prepare(&messages), [0; 0]);
    let mut decoded = decoder.decode(&messages);
    for column in decoded.rows.batch.columns() {
        column.to_data().validate_full().unwrap();
    }
    match decoded.rejected.pop() {
        None => Ok(rows(&decoded.rows.batch).remove(0)),
        Some(rejection) => {
            assert_eq!(decoded.rows.batch.num_rows(), 0);
            assert!(!rejection.reason.contains(['\n', '\r']), "{:?}", rejection.reason);
            Err(rejection.reason)
        }
    }
}

const EVERY_TYPE: &str = r#"{"type":"record","name":"Row","namespace":"tests","fields":[
    {"name":"boolean","type":"boolean"},
    {"name":"int","type":"int"},
    {"name":"long","type":["null","long"]},
    {"name":"float","type":"float"},
    {"name":"double","type":"double"},
    {"name":"bytes","type":"bytes"},
    {"name":"string","type":"string"},
    {"name":"fixed","type":{"type":"fixed","name":"F","size":2}},
    {"name":"enum","type":{"type":"enum","name":"E","symbols":["A","B"]}},
    {"name":"date","type":{"type":"int","logicalType":"date"}},
    {"name":"time_ms","type":{"type":"int","logicalType":"time-millis"}},
    {"name":"time_us","type":{"type":"long","logicalType":"time-micros"}},
    {"name":"at_ms","type":{"type":"long","logicalType":"timestamp-millis"}},
    {"name":"at_us","type":{"type":"long","logicalType":"timestamp-micros"}},
    {"name":"at_ns","type":["null",{"type":"long","logicalType":"timestamp-nanos"}]},
    {"name":"local","type":{"type":"long","logicalType":"local-timestamp-millis"}},
    {"name":"decimal","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}},
    {"name":"money","type":{"type":"fixed","name":"M","size":4,"logicalType":"decimal","precision":9,"scale":3}},
    {"name":"uuid","type":{"type":"string","logicalType":"uuid"}},
    {"name":"uuid16","type":{"type":"fixed","name":"U","size":16,"logicalType":"uuid"}},
    {"name":"duration","type":{"type":"fixed","name":"D","size":12,"logicalType":"duration"}},
    {"name":"array","type":{"type":"array","items":["null","F"]}},
    {"name":"map","type":{"type":"map","values":"E"}},
    {"name":"record","type":{"type":"record","name":"Inner","fields":[{"name":"next","type":["null","Inner"]},{"name":"at","type":{"type":"long","logicalType":"timestamp-millis"}}]}},
    {"name":"either","type":["int","string"]},
    {"name":"number","type":["null","int","double"]},
    {"name":"nothing","type":"null"}
]}"#;

fn every_type() -> serde_json::Value {
    json!({
        "boolean": true, "int": -1, "long": i64::MIN, "float": 1.5, "double": 0.1, "bytes": "\u{ff}\u{0}", "string": "é",
        "fixed": "ab", "enum": "B", "date": 19_000, "time_ms": 60_840_250, "time_us": 1, "at_ms": 1_700_000_000_123_i64,
        "at_us": -1, "at_ns": 1_999, "local": 0, "decimal": "\u{fb}\u{2e}", "money": "\u{0}\u{0}\u{0}\u{5}",
        "uuid": "67e55044-10b1-426f-9247-bb680e5fe0c8", "uuid16": "\u{67}\u{e5}\u{50}\u{44}\u{10}\u{b1}\u{42}\u{6f}\u{92}\u{47}\u{bb}\u{68}\u{e}\u{5f}\u{e0}\u{c8}",
        "duration": "\u{1}\u{0}\u{0}\u{0}\u{2}\u{0}\u{0}\u{0}\u{bc}\u{b}\u{0}\u{0}", "array": [null, "xy"], "map": { "k\"": "A" },
        "record": { "next": { "next": null, "at": 1 }, "at": 0 }, "either": "x", "number": 2.5, "nothing": null
    })
}

#[test]
fn every_type_has_its_column_and_its_value() {
    let mut decoder = derived(&[EVERY_TYPE]);
    let types: Vec<(String, &str, bool)> = decoder
        .schema()
        .fields()
        .iter()
        .map(|field| (field.name().clone(), type_name(field.data_type()).unwrap(), field.is_nullable()))
        .collect();
    let types: Vec<(&str, &str, bool)> = types.iter().map(|(name, kind, null)| (name.as_str(), *kind, *null)).collect();
    assert_eq!(
        types,
        [
            ("boolean", "boolean", false),
            ("int", "int32", false),
            ("long", "int64", true),
            ("float", "float32", false),
            ("double", "float64", false),
            ("bytes", "binary", false),
            ("string", "utf8", false),
            ("fixed", "binary", false),
            ("enum", "utf8", false),
            ("date", "date", false),
            ("time_ms", "utf8", false),
            ("time_us", "utf8", false),
            ("at_ms", "timestamp", false),
            ("at_us", "timestamp", false),
            ("at_ns", "timestamp", true),
            ("local", "timestamp", false),
            ("decimal", "utf8", false),
            ("money", "utf8", false),
            ("uuid", "utf8", false),
            ("uuid16", "utf8", false),
            ("duration", "utf8", false),
            ("array", "utf8", false),
            ("map", "utf8", false),
            ("record", "utf8", false),
            ("either", "utf8", false),
            ("number", "float64", true),
            ("nothing", "utf8", true),
        ]
    );
    let row = one(&mut decoder, written(1, EVERY_TYPE, every_type())).unwrap();
    assert_eq!(
        row,
        concat!(
            r#"{"boolean":true,"int":-1,"long":-9223372036854775808,"float":1.5,"double":0.1,"bytes":"ff00","string":"é","#,
            r#""fixed":"6162","enum":"B","date":"2022-01-08","time_ms":"16:54:00.250","time_us":"00:00:00.000001","#,
            r#""at_ms":"2023-11-14T22:13:20.123Z","at_us":"1969-12-31T23:59:59.999999Z","at_ns":"1970-01-01T00:00:00.000001Z","#,
            r#""local":"1970-01-01T00:00:00Z","decimal":"-12.34","money":"0.005","uuid":"67e55044-10b1-426f-9247-bb680e5fe0c8","#,
            r#""uuid16":"67e55044-10b1-426f-9247-bb680e5fe0c8","duration":"P1M2DT3.004S","array":"[null,\"eHk=\"]","#,
            r#""map":"{\"k\\\"\":\"A\"}","record":"{\"next\":{\"next\":null,\"at\":\"1970-01-01T00:00:00.001Z\"},\"at\":\"1970-01-01T00:00:00Z\"}","#,
            r#""either":"x","number":2.5,"nothing":null}"#,
        )
    );
}

#[test]
fn the_other_library_reads_what_is_written_here() {
    let schema = ApacheSchema::parse_str(EVERY_TYPE).unwrap();
    let mut datum = &written(1, EVERY_TYPE, every_type())[5..];
    let reader = apache_avro::reader::datum::GenericDatumReader::builder(&schema).build().unwrap();
    let value = reader.read_value(&mut datum).unwrap();
    assert!(datum.is_empty());
    let again = GenericDatumWriter::builder(&schema).build().unwrap().write_value_to_vec(value).unwrap();
    assert_eq!(again, &written(1, EVERY_TYPE, every_type())[5..]);
}

#[test]
fn declared_columns_take_what_fits() {
    let fields = r#"{"name":"n","type":["null","int","long","float","double","string","boolean","bytes",
        {"type":"array","items":"int"}]}"#;
    let schema = record(fields);
    let branch = |branch: u8, rest: &[u8]| message(1, &[&[branch * 2], rest].concat());
    let array = branch(8, &[4, 2, 4, 0]);
    for (column, value, expected) in [
        ("'int32'", branch(0, &[]), Ok("null")),
        ("'int32'", branch(1, &[3]), Ok("-2")),
        ("'int32'", branch(2, &[3]), Ok("-2")),
        (
            "'int32'",
            branch(2, &[0xfe, 0xff, 0xff, 0xff, 0xff, 1]),
            Err("column n: expected int32, found 34359738367, which is out of range"),
        ),
        ("'int32'", branch(3, &1.0_f32.to_le_bytes()), Err("column n: expected int32, found 1.0")),
        ("'int64'", branch(1, &[1]), Ok("-1")),
        ("'float32'", branch(1, &[4]), Ok("2.0")),
        (
            "'float32'",
            branch(4, &1e300_f64.to_le_bytes()),
            Err("column n: expected float32, found 1e300, which is out of range"),
        ),
        ("'float64'", branch(2, &[4]), Ok("2.0")),
        ("'float64'", branch(3, &1.5_f32.to_le_bytes()), Ok("1.5")),
        ("'float64'", branch(5, &[2, b'1']), Err("column n: expected float64, found \"1\"")),
        ("'boolean'", branch(6, &[1]), Ok("true")),
        ("'boolean'", branch(1, &[2]), Err("column n: expected boolean, found 1")),
        ("'utf8'", branch(1, &[2]), Ok("\"1\"")),
        ("'utf8'", branch(4, &0.1_f64.to_le_bytes()), Ok("\"0.1\"")),
        ("'utf8'", branch(6, &[0]), Ok("\"false\"")),
        ("'utf8'", branch(7, &[2, b'x']), Ok("\"x\"")),
        ("'utf8'", branch(7, &[2, 0xff]), Err("column n: expected utf8, found bytes that are not UTF-8")),
        ("'utf8'", branch(5, &[2, 0xff]), Err("column n: expected utf8, found bytes that are not UTF-8")),
        ("'utf8'", array.clone(), Ok("\"[1,2]\"")),
        ("'binary'", branch(5, &[2, b'x']), Ok("\"78\"")),
        ("'int64'", array, Err("column n: expected int64, found [1,2]")),
        ("'timestamp'", branch(5, b"\x142024-02-29"), Ok("\"2024-02-29T00:00:00Z\"")),
        ("'timestamp'", branch(2, &[0xd0, 0x0f]), Ok("\"1970-01-01T00:00:01Z\"")),
        ("{ type = 'timestamp', format = 'epoch_s' }", branch(2, &[2]), Ok("\"1970-01-01T00:00:01Z\"")),
        ("'date'", branch(5, b"\x142024-02-29"), Ok("\"2024-02-29\"")),
        ("'date'", branch(1, &[2]), Ok("\"1970-01-02\"")),
        (
            "{ type = 'utf8', nullable = false }",
            branch(0, &[]),
            Err("column n: missing or null, which `nullable = false` forbids"),
        ),
    ] {
        let mut decoder = declared(&[&schema], &format!("n = {column}"));
        let found = one(&mut decoder, value);
        let expected = expected.map(|value| format!(r#"{{"n":{value}}}"#)).map_err(str::to_owned);
        assert_eq!(found, expected, "{column}");
    }
}

#[test]
fn what_has_a_meaning_goes_to_other_columns_too() {
    let mut decoder = declared(
        &[EVERY_TYPE],
        "text = { type = 'utf8', from = 'at_ms' }, raw = { type = 'int64', from = 'at_us' }, day = { type = 'utf8', from = 'date' }, \
         price = { type = 'float64', from = 'decimal' }, ms = { type = 'int32', from = 'time_ms' }, id = { type = 'binary', from = 'uuid16' }",
    );
    let row = one(&mut decoder, written(1, EVERY_TYPE, every_type())).unwrap();
    assert_eq!(
        row,
        r#"{"text":"2023-11-14T22:13:20.123Z","raw":-1,"day":"2022-01-08","price":-12.34,"ms":60840250,"id":"67e5504410b1426f9247bb680e5fe0c8"}"#
    );
}

#[test]
fn each_message_is_read_by_the_schema_that_it_was_written_by() {
    let first = record(
        r#"{"name":"id","type":"int"},{"name":"name","type":"string"},{"name":"gone","type":{"type":"map","values":"long"}}"#,
    );
    let second = record(
        r#"{"name":"extra","type":["null","string"],"default":null},{"name":"id","type":"long"},
           {"name":"title","type":"bytes","aliases":["name"]},{"name":"level","type":["int","null"],"default":7}"#,
    );
    let old = written(1, &first, json!({ "id": 1, "name": "a", "gone": { "x": 1 } }));
    let new = written(2, &second, json!({ "extra": "e", "id": 1_i64 << 40, "title": "b", "level": null }));
    let mut decoder = derived(&[&first, &second]);
    for _ in 0..2 {
        assert_eq!(one(&mut decoder, old.clone()).unwrap(), r#"{"extra":null,"id":1,"title":"61","level":7}"#);
        assert_eq!(
            one(&mut decoder, new.clone()).unwrap(),
            r#"{"extra":"e","id":1099511627776,"title":"62","level":null}"#
        );
    }
    let mut decoder = declared(&[&first, &second], "id = 'int64', level = 'int32', name = 'utf8'");
    assert_eq!(one(&mut decoder, old).unwrap(), r#"{"id":1,"level":null,"name":"a"}"#);
    assert_eq!(one(&mut decoder, new).unwrap(), r#"{"id":1099511627776,"level":null,"name":null}"#);
}

#[test]
fn keys_are_columns_where_that_is_said() {
    let key = r#"{"type":"record","name":"Key","fields":[{"name":"station_id","type":"int"},{"name":"at","type":["null","long"]}]}"#;
    let value = record(r#"{"name":"line","type":"string"}"#);
    let mut decoder = Decoder::new(&newest(&value, Some(key)), &columns("_offset = 'int64'")).unwrap();
    decoder.look_up_in(schemas(&[key, &value]));
    let line = written(2, &value, json!({ "line": "red" }));
    let red = keyed(&mut decoder, Some(written(1, key, json!({ "station_id": 40_010, "at": null }))), line.clone());
    assert_eq!(red.unwrap(), r#"{"key_station_id":40010,"key_at":null,"line":"red","_offset":0}"#);
    for (key, reason) in [
        (
            Some(b"plain".to_vec()),
            "key: not in Confluent's wire format: expected a byte of 0 and a schema id in 4, found 0x706c61696e",
        ),
        (Some(message(1, &[2])), "key: not Avro of schema 1: column key_at: it ends in the middle"),
        (None, "column key_station_id: missing or null, which `nullable = false` forbids"),
        (Some(Vec::new()), "column key_station_id: missing or null, which `nullable = false` forbids"),
    ] {
        assert_eq!(keyed(&mut decoder, key, line.clone()).unwrap_err(), reason);
    }

    // A key that is one number, and columns that are declared for the value only.
    let mut decoder = Decoder::new(&newest(&value, Some(r#""long""#)), &IndexMap::new()).unwrap();
    decoder.look_up_in(schemas(&[r#""long""#, &value]));
    assert_eq!(keyed(&mut decoder, Some(message(1, &[4])), line.clone()).unwrap(), r#"{"_key":2,"line":"red"}"#);
    let options = DecodeOptions::Avro(AvroOptions { key: Some(KeyFormat::Avro), newest: Vec::new() });
    let all = "_key = 'utf8', id = { type = 'int64', from = '_key.station_id' }, line = 'utf8'";
    let mut decoder = Decoder::new(&options, &columns(all)).unwrap();
    decoder.look_up_in(schemas(&[key, &value]));
    let red = keyed(&mut decoder, Some(written(1, key, json!({ "station_id": 1, "at": 5 }))), line.clone());
    assert_eq!(red.unwrap(), r#"{"_key":"{\"station_id\":1,\"at\":5}","id":1,"line":"red"}"#);

    // Without that the key is its bytes.
    let mut decoder = declared(&[key, &value], "_key = 'utf8', line = 'utf8'");
    assert_eq!(keyed(&mut decoder, Some(b"k".to_vec()), line).unwrap(), r#"{"_key":"k","line":"red"}"#);
}

#[test]
fn roots_that_are_no_records() {
    let mut decoder = derived(&[r#""long""#]);
    assert_eq!(one(&mut decoder, message(1, &[4])).unwrap(), r#"{"value":2}"#);
    let either = r#"["null",{"type":"record","name":"A","fields":[{"name":"x","type":"int"},{"name":"y","type":"string"}]},
        {"type":"record","name":"B","fields":[{"name":"x","type":"long"}]}]"#;
    let mut decoder = derived(&[either]);
    for (datum, row) in [(&[2, 1, 2, b'a'][..], r#"{"x":-1,"y":"a"}"#), (&[4, 1], r#"{"x":-1,"y":null}"#)] {
        assert_eq!(one(&mut decoder, message(1, datum)).unwrap(), row);
    }
    assert_eq!(
        one(&mut decoder, message(1, &[6])).unwrap_err(),
        "not Avro of schema 1: branch 3 of a union that has no such"
    );
}

#[test]
fn schemas_that_are_lacking_are_named_once_and_those_nobody_has_reject() {
    let schema = record(r#"{"name":"a","type":"int"}"#);
    let known = Arc::new(Schemas::default());
    let mut decoder = declared(&[], "a = 'int32'");
    decoder.look_up_in(Arc::clone(&known));
    let messages = MemoryMessages::from_values(
        "t",
        [message(9, &[2]), message(3, &[2]), message(9, &[4]), b"junk".to_vec(), message(3, &[6])],
    );
    assert_eq!(decoder.prepare(&messages), [9, 3]);
    known.insert(9, &text(&schema));
    assert_eq!(decoder.prepare(&messages), [3]);
    known.insert_unusable(3, "not here".to_owned());
    assert_eq!(decoder.prepare(&messages), [0; 0]);
    let decoded = decoder.decode(&messages);
    assert_eq!(rows(&decoded.rows.batch), [r#"{"a":1}"#, r#"{"a":2}"#]);
    let reasons: Vec<_> = decoded.rejected.iter().map(|one| (one.row, one.reason.as_str())).collect();
    let junk = "not in Confluent's wire format: expected a byte of 0 and a schema id in 4, found 0x6a756e6b";
    assert_eq!(reasons, [(1, "schema 3: not here"), (3, junk), (4, "schema 3: not here")]);
    // It is registered after all.
    known.insert(3, &text(&schema));
    assert_eq!(decoder.prepare(&messages), [0; 0]);
    assert_eq!(decoder.decode(&messages).rows.batch.num_rows(), 4);
}

#[test]
fn columns_that_cannot_be() {
    let (one, two) = (record(r#"{"name":"a","type":"int"}"#), record(r#"{"name":"a","type":"string"}"#));
    let topics = |values: &[&str]| {
        let newest = values.iter().enumerate().map(|(at, value)| NewestSchemas {
            topic: format!("t{at}"),
            value: text(value),
            key: None,
        });
        DecodeOptions::Avro(AvroOptions { key: None, newest: newest.collect() })
    };
    let clash = record(r#"{"name":"key_x","type":"int"},{"name":"_offset","type":"long"}"#);
    let key = r#"{"type":"record","name":"K","fields":[{"name":"x","type":"int"}]}"#;
    for (options, columns, words) in [
        (topics(&[]), "", "without `columns` they come from the schema registry, which has not been asked"),
        (
            topics(&[&one, &two]),
            "",
            "the schemas make the column `a` twice: `int32`, and `utf8` in topic t1; declare `columns`",
        ),
        (topics(&["{}"]), "", "topic t0: the schema has a type without a `type`"),
        (topics(&[&record("")]), "", "the newest schema has no fields"),
        (topics(&[&clash]), "_offset = 'int64'", "column _offset: a field of the schema is called so, too"),
        (newest(&clash, Some(key)), "", "the schemas make the column `key_x` twice"),
        (
            topics(&[&one]),
            "a = 'int32', b = { type = 'int32', from = 'a' }",
            "column b: column a reads the field `a` already",
        ),
        (topics(&[&one]), "b = { type = 'int32', from = '_key.a' }", "`_key.a` is a field of an Avro key"),
        (topics(&[&one]), "_key = 'int64'", "Kafka's _key is `binary` or `utf8`, not `int64`"),
    ] {
        let error = Decoder::new(&options, &self::columns(columns)).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    let wide = record(r#"{"name":"a","type":"long"},{"name":"b","type":"int"}"#);
    let both = Decoder::new(&topics(&[&one, &wide]), &IndexMap::new()).unwrap();
    let types: Vec<_> =
        both.schema().fields().iter().map(|f| (f.name().as_str(), type_name(f.data_type()), f.is_nullable())).collect();
    assert_eq!(types, [("a", Some("int64"), false), ("b", Some("int32"), true)]);
}

#[test]
fn values_of_the_other_library() {
    let schema = record(
        r#"{"name":"a","type":{"type":"array","items":["null","double"]}},{"name":"m","type":{"type":"map","values":"string"}}"#,
    );
    let parsed = ApacheSchema::parse_str(&schema).unwrap();
    let union = |value: Option<f64>| match value {
        None => Value::Union(0, Box::new(Value::Null)),
        Some(value) => Value::Union(1, Box::new(Value::Double(value))),
    };
    let value = Value::Record(vec![
        ("a".to_owned(), Value::Array(vec![union(None), union(Some(f64::NAN)), union(Some(0.5))])),
        ("m".to_owned(), Value::Map([("k".to_owned(), Value::String("v".to_owned()))].into())),
    ]);
    let datum = GenericDatumWriter::builder(&parsed).build().unwrap().write_value_to_vec(value).unwrap();
    let mut decoder = derived(&[&schema]);
    assert_eq!(one(&mut decoder, message(1, &datum)).unwrap(), r#"{"a":"[null,null,0.5]","m":"{\"k\":\"v\"}"}"#);
}
