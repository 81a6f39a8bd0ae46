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
