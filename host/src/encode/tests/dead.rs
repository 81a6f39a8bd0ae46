//! Dead letters keep every byte of a record, in JSON lines and in Parquet.

use serde_json::json;

use super::*;
use crate::batch::{MemoryMessage, MemoryMessages};

fn messages() -> MemoryMessages {
    let bytes = |text: &str| Some(text.as_bytes().to_vec());
    let messages = vec![
        MemoryMessage {
            offset: 7,
            timestamp_ms: Some(1_767_596_889_120),
            key: bytes("k"),
            value: bytes("{not json"),
            headers: vec![("a".to_owned(), bytes("text")), ("b".to_owned(), Some(vec![255])), ("a".to_owned(), None)],
        },
        MemoryMessage { offset: 8, value: Some(vec![0, 159, 146, 150]), ..MemoryMessage::default() },
        MemoryMessage { offset: 9, key: Some(vec![255]), timestamp_ms: Some(i64::MAX), ..MemoryMessage::default() },
    ];
    MemoryMessages { topic: "flow".to_owned(), partition: 3, messages }
}

fn dead(format: DeadLetterFormat) -> (RecordBatch, TableOptions) {
    let mut dead = DeadLetters::new(format);
    assert!(dead.is_empty());
    dead.push(&messages(), 0, "decode", "line 1: expected a name", None);
    dead.push(&messages(), 1, "transform", "trap: unreachable", Some("ab12"));
    dead.push(&messages(), 2, "sink", "too long", None);
    assert_eq!(dead.len(), 3);
    assert!(dead.bytes() > 60);
    let batch = dead.take();
    assert_eq!((dead.len(), dead.bytes(), dead.take().num_rows()), (0, 0, 0));
    assert_eq!(batch.schema(), dead.schema());
    (batch, dead.table_options("flow"))
}

#[test]
fn as_json_lines() {
    let (batch, options) = dead(DeadLetterFormat::Json);
    assert_eq!(options, TableOptions::new("_dead/flow", Format::Json));
    let written = text(&write(&options, &[batch])[0]);
    let lines: Vec<serde_json::Value> = written.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        lines,
        [
            json!({
                "topic": "flow", "partition": 3, "offset": 7, "timestamp": "2026-01-05T07:08:09.120Z", "stage": "decode",
                "reason": "line 1: expected a name", "plugin": null, "key": "k", "key_base64": null, "value": "{not json",
                "value_base64": null,
                "headers": r#"[{"key":"a","value":"text"},{"key":"b","value_base64":"/w=="},{"key":"a","value":null}]"#,
            }),
            json!({
                "topic": "flow", "partition": 3, "offset": 8, "timestamp": null, "stage": "transform",
                "reason": "trap: unreachable", "plugin": "ab12", "key": null, "key_base64": null, "value": null,
                "value_base64": "AJ+Slg==", "headers": "[]",
            }),
            json!({
                "topic": "flow", "partition": 3, "offset": 9, "timestamp": null, "stage": "sink", "reason": "too long",
                "plugin": null, "key": null, "key_base64": "/w==", "value": null, "value_base64": null, "headers": "[]",
            }),
        ]
    );
}

#[test]
fn as_parquet() {
    let (batch, options) = dead(DeadLetterFormat::Parquet);
    assert_eq!(options, TableOptions::new("_dead/flow", Format::Parquet));
    let written = write(&options, std::slice::from_ref(&batch));
    assert_eq!(read(&written[0], batch.schema_ref()), rows(&batch));
    let (keys, values) = (batch["key"].as_binary::<i32>(), batch["value"].as_binary::<i32>());
    assert_eq!(keys.iter().collect::<Vec<_>>(), [Some(&b"k"[..]), None, Some(&[255])]);
    assert_eq!(values.iter().collect::<Vec<_>>(), [Some(&b"{not json"[..]), Some(&[0, 159, 146, 150]), None]);
}

#[test]
fn formats_by_their_names() {
    for (name, format) in [("json", DeadLetterFormat::Json), ("parquet", DeadLetterFormat::Parquet)] {
        assert_eq!(serde_json::from_value::<DeadLetterFormat>(json!(name)).unwrap(), format);
    }
    assert!(serde_json::from_value::<DeadLetterFormat>(json!("csv")).is_err());
    assert_eq!(DeadLetterFormat::default(), DeadLetterFormat::Json);
}
