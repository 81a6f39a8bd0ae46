//! Avro that is not what it says: every such message is rejected, none takes memory or time that its bytes don't pay for,
//! and what is accepted is what another library reads.

use std::time::{Duration, Instant};

use apache_avro::Schema as ApacheSchema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use proptest::prelude::*;
use serde_json::json;

use super::avro::{declared, message, one, record};

#[test]
fn what_is_wrong_is_said() {
    let fields = r#"{"name":"a","type":"int"},{"name":"s","type":"string"},{"name":"e","type":{"type":"enum","name":"E","symbols":["A"]}},
        {"name":"b","type":"boolean"},{"name":"u","type":["null","int"]},{"name":"f","type":{"type":"fixed","name":"F","size":2}},
        {"name":"list","type":{"type":"array","items":"int"}},{"name":"l","type":"long"}"#;
    let schema = record(fields);
    let all =
        "a = 'int32', s = 'utf8', e = 'utf8', b = 'boolean', u = 'int32', f = 'binary', list = 'utf8', l = 'int64'";
    let good = [2, 2, b'x', 0, 1, 2, 4, 7, 7, 2, 6, 0, 8];
    for columns in [all, "l = 'int64'"] {
        let mut decoder = declared(&[&schema], columns);
        assert!(one(&mut decoder, message(1, &good)).is_ok());
        let mut check = |datum: &[u8], words: &str| {
            let reason = one(&mut decoder, message(1, datum)).unwrap_err();
            assert!(reason.starts_with("not Avro of schema 1: ") && reason.ends_with(words), "{reason}");
        };
        for cut in 0..good.len() {
            check(&good[..cut], "it ends in the middle");
        }
        check(&[&good[..], &[0]].concat(), "1 byte too many");
        check(&[&good[..], &[0; 9]].concat(), "9 bytes too many");
        check(&[0xff; 10], "a number of more than 64 bits");
        check(&[0xff, 0xff, 0xff, 0xff, 0xff, 1], "an int of more than 32 bits, -34359738368");
        check(&[2, 1], "a length of -1");
        check(&[2, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], "it ends in the middle");
        check(&[2, 2, b'x', 2], "symbol 1 of an enum that has no such");
        check(&[2, 2, b'x', 1], "symbol -1 of an enum that has no such");
        check(&[2, 2, b'x', 0, 2], "a boolean of 0x02");
        check(&[2, 2, b'x', 0, 1, 4], "branch 2 of a union that has no such");
        check(&[2, 2, b'x', 0, 1, 0, 7, 7, 0x80], "it ends in the middle");
        check(&[2, 2, b'x', 0, 1, 0, 7, 7, 1, 1], "a length of -1");
    }
    let mut decoder = declared(&[&schema], all);
    let counted = |bytes: u8| message(1, &[&good[..8], &[7, 1, bytes, 6, 0, 8]].concat());
    assert!(one(&mut decoder, counted(2)).is_ok());
    let reason = one(&mut decoder, counted(4)).unwrap_err();
    assert_eq!(reason, "not Avro of schema 1: column list: a block that says 2 bytes, and has others");
    let wire = "not in Confluent's wire format: expected a byte of 0 and a schema id in 4, found 0x";
    for (bytes, found) in [
        (&[1, 0, 0, 0, 1, 2][..], "0100000001"),
        (&[0], "00"),
        (&[0, 0, 0, 1], "00000001"),
        (b"{\"a\":1}", "7b2261223a"),
    ] {
        assert_eq!(one(&mut decoder, bytes.to_vec()).unwrap_err(), format!("{wire}{found}"));
    }
}

const LONG: &str = "column x: a value whose JSON text is longer than";

/// As long as it must not take, by far.
fn soon<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let done = work();
    assert!(began.elapsed() < Duration::from_secs(20), "{what} took {:?}", began.elapsed());
    done
}

#[test]
fn lengths_and_counts_are_no_reason_to_take_memory_or_time() {
    let most = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
    let bomb = |levels: usize| {
        let inner = r#"{"type":"record","name":"R0","fields":[{"name":"n","type":"null"}]}"#.to_owned();
        (1..levels).fold(inner, |inner, level| {
            let fields = format!(r#"{{"name":"a","type":{inner}}},{{"name":"b","type":"R{}"}}"#, level - 1);
            format!(r#"{{"type":"record","name":"R{level}","fields":[{fields}]}}"#)
        })
    };
    let empty = "more than 8192 items that take no byte";
    for (name, kind, datum, words) in [
        ("nulls", r#"{"type":"array","items":"null"}"#.to_owned(), most.to_vec(), empty),
        (
            "empty records",
            r#"{"type":"array","items":{"type":"record","name":"E","fields":[]}}"#.to_owned(),
            most.to_vec(),
            empty,
        ),
        (
            "no bytes",
            r#"{"type":"array","items":{"type":"fixed","name":"F","size":0}}"#.to_owned(),
            most.to_vec(),
            empty,
        ),
        ("longs", r#"{"type":"array","items":"long"}"#.to_owned(), most.to_vec(), "it ends in the middle"),
        ("entries", r#"{"type":"map","values":"null"}"#.to_owned(), most.to_vec(), "it ends in the middle"),
        ("doubling", bomb(40), Vec::new(), empty),
        (
            "itself",
            r#"{"type":"record","name":"S","fields":[{"name":"s","type":"S"}]}"#.to_owned(),
            Vec::new(),
            "nested deeper than 128 levels",
        ),
        (
            "a list",
            r#"{"type":"record","name":"L","fields":[{"name":"l","type":["null","L"]}]}"#.to_owned(),
            vec![2; 100_000],
            "nested deeper than 128 levels",
        ),
    ] {
        let schema = record(&format!(r#"{{"name":"x","type":{kind}}},{{"name":"y","type":"int"}}"#));
        for columns in ["x = 'utf8'", "y = 'int32'"] {
            let mut decoder = declared(&[&schema], columns);
            let reason = soon(name, || one(&mut decoder, message(1, &datum)).unwrap_err());
            let is_long = name == "doubling" && reason.starts_with(LONG);
            assert!(reason.ends_with(words) || is_long, "{name}: {reason}");
        }
    }
    // Names stand in the schema: a few bytes make much text.
    let wide: Vec<String> =
        (0..1000).map(|n| format!(r#"{{"name":"{}{n}","type":"null"}}"#, "x".repeat(100))).collect();
    let kind = format!(r#"{{"type":"array","items":{{"type":"record","name":"W","fields":[{}]}}}}"#, wide.join(","));
    let mut decoder = declared(&[&record(&format!(r#"{{"name":"x","type":{kind}}}"#))], "x = 'utf8'");
    let reason = soon("names", || one(&mut decoder, message(1, &[0x80, 0x80, 1, 0])).unwrap_err());
    assert!(reason.starts_with(LONG), "{reason}");
}

#[test]
fn decimals_and_times_beyond_all_bounds_are_rejected() {
    let schema = record(
        r#"{"name":"d","type":{"type":"bytes","logicalType":"decimal","precision":99,"scale":2}},
           {"name":"t","type":{"type":"long","logicalType":"timestamp-millis"}},
           {"name":"m","type":{"type":"int","logicalType":"time-millis"}}"#,
    );
    let mut decoder = declared(&[&schema], "d = 'utf8', t = 'utf8', m = 'utf8'");
    let row = |digits: &[u8]| message(1, &[&[digits.len() as u8 * 2][..], digits, &[0, 0]].concat());
    for (digits, number) in
        [(&[][..], "0.00"), (&[0x80], "-1.28"), (&[0; 40], "0.00"), (&[0xff; 40], "-0.01"), (&[0, 0xff], "2.55")]
    {
        let found = one(&mut decoder, row(digits)).unwrap();
        assert!(found.starts_with(&format!(r#"{{"d":"{number}","#)), "{found}");
    }
    for digits in [[1; 17], [0x7f; 17]] {
        assert_eq!(one(&mut decoder, row(&digits)).unwrap_err(), "column d: a decimal of more than 38 digits");
    }
    let mut edge = [0; 17];
    edge[1] = 0x80;
    assert_eq!(one(&mut decoder, row(&edge)).unwrap_err(), "column d: a decimal of more than 38 digits");
    let far = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
    let beyond = one(&mut decoder, message(1, &[&[0][..], &far, &[0]].concat())).unwrap_err();
    assert_eq!(beyond, "column t: a timestamp beyond all calendars, 9223372036854775807");
    assert_eq!(one(&mut decoder, message(1, &[0, 0, 1])).unwrap_err(), "column m: no time of a day, -1");
    let mut times = declared(&[&schema], "t = 'timestamp'");
    let beyond = one(&mut times, message(1, &[&[0][..], &far, &[0]].concat())).unwrap_err();
    assert!(beyond.ends_with("found 9223372036854775807, which is out of range"), "{beyond}");
}

/// A type, a value of it as the other library has it, and the JSON that it must become.
type Sample = (serde_json::Value, Value, serde_json::Value);

fn sample() -> impl Strategy<Value = Sample> {
    let leaf = prop_oneof![
        Just((json!("null"), Value::Null, json!(null))),
        any::<bool>().prop_map(|b| (json!("boolean"), Value::Boolean(b), json!(b))),
        any::<i32>().prop_map(|n| (json!("int"), Value::Int(n), json!(n))),
        any::<i64>().prop_map(|n| (json!("long"), Value::Long(n), json!(n))),
        (-1e9_f32..1e9).prop_map(|n| (json!("float"), Value::Float(n), json!(n.to_string().parse::<f64>().unwrap()))),
        any::<f64>().prop_filter("JSON has none other", |n| n.is_finite()).prop_map(|n| (
            json!("double"),
            Value::Double(n),
            json!(n)
        )),
        any::<String>().prop_map(|s| (json!("string"), Value::String(s.clone()), json!(s))),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            // Of one value a list of it, so that all are of one type.
            (inner.clone(), 0..4_usize).prop_map(|((kind, value, json), n)| {
                (json!({ "type": "array", "items": kind }), Value::Array(vec![value; n]), json!(vec![json; n]))
            }),
            (inner.clone(), any::<Option<String>>()).prop_map(|((kind, value, json), key)| {
                let all = key.iter().map(|key| (key.clone(), value.clone())).collect();
                let object: serde_json::Map<_, _> = key.into_iter().map(|key| (key, json.clone())).collect();
                (json!({ "type": "map", "values": kind }), Value::Map(all), json!(object))
            }),
            proptest::collection::vec(inner, 0..4).prop_map(|parts| {
                let name = |at: usize| format!("f{at}");
                // Names of types are made unique afterwards.
                let fields: Vec<_> = parts
                    .iter()
                    .enumerate()
                    .map(|(at, (kind, ..))| json!({ "name": name(at), "type": kind }))
                    .collect();
                let values = parts.iter().enumerate().map(|(at, (_, value, _))| (name(at), value.clone())).collect();
                let object: serde_json::Map<_, _> =
                    parts.iter().enumerate().map(|(at, (.., json))| (name(at), json.clone())).collect();
                (json!({ "type": "record", "name": "R", "fields": fields }), Value::Record(values), json!(object))
            }),
        ]
    })
}

/// Gives every record a name of its own.
fn name_all(kind: &mut serde_json::Value, count: &mut usize) {
    match kind {
        serde_json::Value::Object(object) => {
            if let Some(name) = object.get_mut("name").filter(|name| **name == "R") {
                *name = json!(format!("R{count}"));
                *count += 1;
            }
            object.values_mut().for_each(|inner| name_all(inner, count));
        }
        serde_json::Value::Array(all) => all.iter_mut().for_each(|inner| name_all(inner, count)),
        _ => {}
    }
}

/// A record whose one field is a list of one such value, and the datum.
fn listed((mut kind, value, json): Sample) -> (String, Vec<u8>, serde_json::Value) {
    name_all(&mut kind, &mut 0);
    let schema = record(&format!(r#"{{"name":"x","type":{{"type":"array","items":{kind}}}}}"#));
    let parsed = ApacheSchema::parse_str(&schema).unwrap();
    let value = Value::Record(vec![("x".to_owned(), Value::Array(vec![value]))]);
    let datum = GenericDatumWriter::builder(&parsed).build().unwrap().write_value_to_vec(value).unwrap();
    (schema, datum, json)
}

proptest! {
    #[test]
    fn what_the_other_library_writes_is_read(sample in sample()) {
        let (schema, datum, json) = listed(sample);
        let mut decoder = declared(&[&schema], "x = 'utf8'");
        let row: serde_json::Value = serde_json::from_str(&one(&mut decoder, message(1, &datum)).unwrap()).unwrap();
        let found: serde_json::Value = serde_json::from_str(row["x"].as_str().unwrap()).unwrap();
        // By way of text, as the other.
        let expected: serde_json::Value = serde_json::from_str(&json!([json]).to_string()).unwrap();
        prop_assert_eq!(found, expected);
        // Passed over it is as long.
        let mut decoder = declared(&[&schema], "other = 'utf8'");
        prop_assert_eq!(one(&mut decoder, message(1, &datum)).unwrap(), r#"{"other":null}"#);
    }

    #[test]
    fn what_is_accepted_the_other_library_reads_too(
        sample in sample(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
        cuts in any::<bool>(),
    ) {
        let (schema, mut datum, _) = listed(sample);
        for (at, byte) in damage {
            let at = at.index(datum.len());
            datum[at] = byte;
        }
        if cuts {
            datum.truncate(cut.index(datum.len()));
        }
        let mut decoder = declared(&[&schema], "x = 'utf8'");
        let read = one(&mut decoder, message(1, &datum));
        let skipped = one(&mut declared(&[&schema], "other = 'utf8'"), message(1, &datum));
        if read.is_ok() {
            prop_assert!(skipped.is_ok());
            let parsed = ApacheSchema::parse_str(&schema).unwrap();
            let mut rest = &datum[..];
            prop_assert!(GenericDatumReader::builder(&parsed).build().unwrap().read_value(&mut rest).is_ok());
            prop_assert!(rest.is_empty());
        }
    }

    #[test]
    fn no_bytes_do_harm(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let schema = r#"{"type":"record","name":"N","fields":[{"name":"a","type":["null","N",{"type":"array","items":"N"},
            {"type":"map","values":["long","string","N"]}]},{"name":"t","type":{"type":"long","logicalType":"timestamp-nanos"}},
            {"name":"d","type":{"type":"bytes","logicalType":"decimal","precision":20,"scale":3}}]}"#;
        let mut decoder = declared(&[schema], "a = 'utf8', t = 'timestamp', d = 'float64'");
        let _ = one(&mut decoder, message(1, &bytes));
    }
}
