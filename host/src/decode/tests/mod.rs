//! What holds for every format: each message is a row, a rejection or skipped, and a rejected one leaves no trace.

mod avro;
mod avro_hostile;
pub(super) mod helpers;
mod json;

use proptest::prelude::*;

use super::{CsvOptions, DecodeOptions, Decoder};
use crate::batch::{MemoryMessage, MemoryMessages};
use helpers::{decode, decoder, one, rows};

const COLUMNS: &str =
    "a = 'utf8', b = 'int64', c = 'boolean', d = 'timestamp', e = { type = 'binary', nullable = false }";

fn formats() -> [(DecodeOptions, &'static str); 3] {
    [
        (DecodeOptions::Json {}, COLUMNS),
        (DecodeOptions::Csv(CsvOptions::default()), COLUMNS),
        (DecodeOptions::Raw {}, "_topic = 'utf8', value = 'utf8'"),
    ]
}

/// Checks the promises of [`Decoder::decode`] for these values.
fn check(decoder: &mut Decoder, values: &[Vec<u8>]) -> Vec<String> {
    let decoded = decode(decoder, values);
    let batch = &decoded.rows.batch;
    for column in batch.columns() {
        column.to_data().validate_full().unwrap();
    }
    assert_eq!(decoded.rows.origin.len(), batch.num_rows());
    let mut fates: Vec<u32> = decoded.rows.origin.clone();
    fates.extend(decoded.rejected.iter().map(|rejection| rejection.row));
    fates.extend((0..values.len()).filter(|&index| values[index].is_empty()).map(|index| index as u32));
    assert_eq!(fates.len(), decoded.rows.origin.len() + decoded.rejected.len() + decoded.skipped as usize);
    assert!(decoded.rows.origin.is_sorted());
    fates.sort_unstable();
    assert_eq!(fates, (0..values.len() as u32).collect::<Vec<_>>());
    assert!(decoded.rejected.iter().all(|rejection| !rejection.reason.contains(['\n', '\r', '\0'])));
    // Alone, the good ones come out the same.
    let good = decoded.rows.origin.iter().map(|&index| &values[index as usize]);
    assert_eq!(&decode(decoder, good).rows.batch, batch);
    rows(batch)
}

/// Text that is nearly right for JSON and for CSV: the pieces of good messages, shuffled.
fn nearly_good() -> impl Strategy<Value = Vec<u8>> {
    const PIECES: &str = r#"{~}~[~]~:~,~"~\~\u00e9~\ud83d~"a"~"b":1~"c":true~"d":"2024-01-01"~"e":"x"~{"a":1.5,~null~ ~
~1e5~-~é~"e":[1,{"x":"y"}]}~x,1,true,0,y~,,,,z"#;
    let pieces = prop::sample::select(PIECES.split('~').collect::<Vec<_>>());
    prop::collection::vec(pieces, 0..12).prop_map(|pieces| pieces.concat().into_bytes())
}

fn good() -> impl Strategy<Value = Vec<u8>> {
    (any::<String>(), any::<i64>(), any::<bool>(), 0..4_000_000_000_000i64, any::<bool>()).prop_map(
        |(a, b, c, d, json)| {
            let message = if json {
                format!(r#"{{"a":{},"b":{b},"c":{c},"d":{d},"e":"x"}}"#, serde_json::Value::from(a))
            } else {
                format!("\"{}\",{b},{c},{d},x", a.replace('"', "\"\""))
            };
            message.into_bytes()
        },
    )
}

proptest! {
    #[test]
    fn nothing_panics_and_nothing_is_lost(first in messages(), second in messages()) {
        for (options, columns) in formats() {
            let mut decoder = decoder(&options, columns);
            check(&mut decoder, &first);
            check(&mut decoder, &second);
        }
    }

    #[test]
    fn json_is_read_as_serde_json_reads_it(value in json_value(), text in any::<String>()) {
        let object = serde_json::json!({ "text": text, "nested": value, "number": 1.5 });
        for json in [serde_json::to_string(&object).unwrap(), serde_json::to_string_pretty(&object).unwrap()] {
            let mut decoder = decoder(&DecodeOptions::Json {}, "nested = 'utf8', text = 'utf8', number = 'float64'");
            let row: serde_json::Value = serde_json::from_str(&one(&mut decoder, &json).unwrap()).unwrap();
            prop_assert_eq!(&row["text"], &object["text"]);
            prop_assert_eq!(&row["number"], &object["number"]);
            match &object["nested"] {
                text @ (serde_json::Value::String(_) | serde_json::Value::Null) => prop_assert_eq!(&row["nested"], text),
                other => {
                    let nested: serde_json::Value = serde_json::from_str(row["nested"].as_str().unwrap()).unwrap();
                    prop_assert_eq!(&nested, other);
                }
            }
        }
    }

    #[test]
    fn json_is_refused_where_serde_json_refuses_it(pieces in nearly_good()) {
        let mut decoder = decoder(&DecodeOptions::Json {}, "a = 'utf8'");
        let ours = pieces.is_empty() || one(&mut decoder, &pieces).is_ok();
        let theirs = pieces.is_empty() || serde_json::from_slice::<serde_json::Map<_, serde_json::Value>>(&pieces).is_ok();
        prop_assert_eq!(ours, theirs);
    }
}

fn messages() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let any_bytes = prop::collection::vec(any::<u8>(), 0..40);
    prop::collection::vec(prop_oneof![any_bytes, nearly_good(), good(), good()], 0..20)
}

fn json_value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(6, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
            prop::collection::vec((any::<String>(), inner), 0..5)
                .prop_map(|fields| serde_json::Value::Object(fields.into_iter().collect())),
        ]
    })
}

#[test]
fn null_and_empty_values_are_skipped() {
    for (options, columns) in formats() {
        let empty = |value: Option<&[u8]>| MemoryMessage { value: value.map(Into::into), ..MemoryMessage::default() };
        let messages = MemoryMessages { messages: vec![empty(None), empty(Some(b""))], ..MemoryMessages::default() };
        let decoded = decoder(&options, columns).decode(&messages);
        assert_eq!((decoded.skipped, decoded.rows.batch.num_rows(), decoded.rejected.len()), (2, 0, 0));
    }
}

#[test]
fn a_rejected_message_leaves_no_trace() {
    let mut decoder = decoder(&DecodeOptions::Json {}, COLUMNS);
    let values = [
        r#"{"a":"one","b":1,"c":true,"d":0,"e":"x"}"#,
        r#"{"a":"broken","b":1,"c":true,"d":0,"e":"x""#,
        "",
        r#"{"a":"wrong","b":2,"c":false,"d":0,"e":"x","c":3}"#,
        r#"{"a":"no e","b":2}"#,
        r#"{"b":3,"e":"z"}"#,
        r#"{"a":"wrong","b":2,"c":null,"d":null,"e":7,"b":"!"}"#,
    ];
    // Twice, so that a column that has had nulls is begun anew.
    for _ in 0..2 {
        let found = check(&mut decoder, &values.map(|value| value.as_bytes().to_vec()));
        let expected = [
            r#"{"a":"one","b":1,"c":true,"d":"1970-01-01T00:00:00Z","e":"78"}"#,
            r#"{"a":null,"b":3,"c":null,"d":null,"e":"7a"}"#,
        ];
        assert_eq!(found, expected);
    }
}

#[test]
fn raw_values_are_the_bytes_themselves() {
    let message = |key: Option<&[u8]>, value: &[u8]| MemoryMessage {
        key: key.map(Into::into),
        value: Some(value.into()),
        ..MemoryMessage::default()
    };
    let messages = vec![message(Some(b"k"), b"\xff"), message(None, b"x")];
    let messages = MemoryMessages { messages, ..MemoryMessages::default() };
    let decoded = decoder(&DecodeOptions::Raw {}, "").decode(&messages);
    assert_eq!(rows(&decoded.rows.batch), [r#"{"key":"6b","value":"ff"}"#, r#"{"key":null,"value":"78"}"#]);
    let decoded = decoder(&DecodeOptions::Raw {}, "value = 'utf8', _offset = 'int64'").decode(&messages);
    assert_eq!(rows(&decoded.rows.batch), [r#"{"value":"x","_offset":0}"#]);
    assert_eq!(decoded.rejected[0].reason, "column value: expected utf8, found bytes that are not UTF-8");
    let decoded = decoder(&DecodeOptions::Raw {}, "key = { type = 'binary', nullable = false }").decode(&messages);
    assert_eq!(decoded.rejected[0].reason, "column key: missing or null, which `nullable = false` forbids");
}
