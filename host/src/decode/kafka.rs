//! Kafka's own fields as columns: what a message says of itself, beside its value.

use std::fmt::Write;

use base64::prelude::{BASE64_STANDARD, Engine};

use super::builder::Column;
use super::reason::Wrong;
use crate::batch::Messages;

/// One of Kafka's own fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KafkaField {
    Key,
    Topic,
    Partition,
    Offset,
    Timestamp,
    Headers,
}

impl KafkaField {
    /// The names of the columns that are Kafka's own fields.
    pub const NAMES: [&str; 6] = ["_key", "_topic", "_partition", "_offset", "_timestamp", "_headers"];

    /// The field that a column of this name is.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "_key" => Self::Key,
            "_topic" => Self::Topic,
            "_partition" => Self::Partition,
            "_offset" => Self::Offset,
            "_timestamp" => Self::Timestamp,
            "_headers" => Self::Headers,
            _ => return None,
        })
    }

    /// The types that a column of it can have.
    pub fn types(self) -> &'static [&'static str] {
        match self {
            Self::Key => &["binary", "utf8"],
            Self::Topic | Self::Headers => &["utf8"],
            Self::Partition => &["int32"],
            Self::Offset => &["int64"],
            Self::Timestamp => &["timestamp"],
        }
    }

    /// Pushes it onto its column; nothing where the message has none.
    pub fn push(self, messages: &dyn Messages, index: usize, column: &mut Column) -> Result<(), String> {
        let pushed = match self {
            Self::Key => messages.key(index).map_or(Ok(()), |key| column.push_bytes(key)),
            Self::Topic => column.push_text(messages.topic()),
            Self::Partition => column.push_integer(messages.partition().into()),
            Self::Offset => column.push_integer(messages.offset(index)),
            Self::Timestamp => messages
                .timestamp_ms(index)
                .map_or(Ok(()), |millis| column.push_integer(millis.checked_mul(1000).ok_or(Wrong::Range)?)),
            Self::Headers => column.push_text(&headers(messages.headers(index))),
        };
        pushed.map_err(|wrong| match messages.timestamp_ms(index) {
            Some(millis) if self == Self::Timestamp => column.reason(wrong, &format!("{millis} ms")),
            _ => column.reason(wrong, "a value that can't be read"),
        })
    }
}

/// Headers as a JSON array of `{"key": ..., "value": ...}`, or `"value_base64"` for what isn't UTF-8.
fn headers(headers: Vec<(String, Option<Vec<u8>>)>) -> String {
    let mut json = String::from("[");
    for (index, (key, value)) in headers.into_iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        // Writing to a string can't fail, and `serde_json::Value` prints as JSON.
        let _ = match value.map(String::from_utf8) {
            None => write!(json, r#"{comma}{{"key":{},"value":null}}"#, text(key)),
            Some(Ok(value)) => write!(json, r#"{comma}{{"key":{},"value":{}}}"#, text(key), text(value)),
            Some(Err(bytes)) => {
                let value = BASE64_STANDARD.encode(bytes.as_bytes());
                write!(json, r#"{comma}{{"key":{},"value_base64":"{value}"}}"#, text(key))
            }
        };
    }
    json.push(']');
    json
}

fn text(text: String) -> serde_json::Value {
    serde_json::Value::String(text)
}

#[cfg(test)]
mod tests {
    use super::super::DecodeOptions;
    use super::super::tests::helpers::{decoder, rows};
    use crate::batch::{MemoryMessage, MemoryMessages};

    fn messages(messages: Vec<MemoryMessage>) -> MemoryMessages {
        MemoryMessages { topic: "station".to_owned(), partition: 3, messages }
    }

    fn message() -> MemoryMessage {
        MemoryMessage { offset: 1 << 40, value: Some(b"{\"a\":1}".to_vec()), ..MemoryMessage::default() }
    }

    #[test]
    fn all_of_them() {
        let full = MemoryMessage {
            timestamp_ms: Some(1_700_000_000_123),
            key: Some(b"k\"1".to_vec()),
            headers: vec![
                ("plain".to_owned(), Some(b"text \"quoted\"".to_vec())),
                ("bytes".to_owned(), Some(vec![0xff, 0])),
                ("none".to_owned(), None),
            ],
            ..message()
        };
        let columns = "a = 'int32', _key = 'utf8', _topic = 'utf8', _partition = 'int32', _offset = 'int64', _timestamp = 'timestamp', _headers = 'utf8'";
        let decoded = decoder(&DecodeOptions::Json {}, columns).decode(&messages(vec![full, message()]));
        let found = rows(&decoded.rows.batch);
        let headers = r#"[{"key":"plain","value":"text \"quoted\""},{"key":"bytes","value_base64":"/wA="},{"key":"none","value":null}]"#;
        let expected = format!(
            r#"{{"a":1,"_key":"k\"1","_topic":"station","_partition":3,"_offset":1099511627776,"_timestamp":"2023-11-14T22:13:20.123Z","_headers":{}}}"#,
            serde_json::to_string(headers).unwrap(),
        );
        assert_eq!(found[0], expected);
        let bare = r#"{"a":1,"_key":null,"_topic":"station","_partition":3,"_offset":1099511627776,"_timestamp":null,"_headers":"[]"}"#;
        assert_eq!(found[1], bare);
    }

    #[test]
    fn what_does_not_fit_is_rejected() {
        let binary = MemoryMessage { key: Some(vec![0xff]), ..message() };
        let late = MemoryMessage { timestamp_ms: Some(i64::MAX), ..message() };
        for (columns, message, reason) in [
            ("_key = 'utf8'", &binary, "column _key: expected utf8, found bytes that are not UTF-8"),
            (
                "_timestamp = 'timestamp'",
                &late,
                "column _timestamp: expected timestamp (ISO-8601 text or epoch milliseconds), found 9223372036854775807 ms, which is out of range",
            ),
            (
                "_key = { type = 'binary', nullable = false }",
                &message(),
                "column _key: missing or null, which `nullable = false` forbids",
            ),
        ] {
            let decoded = decoder(&DecodeOptions::Json {}, columns).decode(&messages(vec![message.clone()]));
            assert_eq!(decoded.rejected[0].reason, reason);
        }
        let decoded = decoder(&DecodeOptions::Json {}, "_key = 'binary'").decode(&messages(vec![binary]));
        assert_eq!(rows(&decoded.rows.batch), [r#"{"_key":"ff"}"#]);
    }
}
