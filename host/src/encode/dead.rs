//! Dead letters: records that couldn't be processed, as a table that keeps them byte for byte.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryBuilder, Int32Builder, Int64Builder, StringBuilder, TimestampMicrosecondBuilder};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::options::{Format, TableOptions};
use crate::batch::{DataType, Field, Messages, RecordBatch, Schema, SchemaRef, TimeUnit};

/// The header of a dead letter that is no record but a row made of some: it holds the name of the table or topic that didn't take it.
pub const ROW_HEADER: &str = "rillgate.row";

/// How dead letters are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeadLetterFormat {
    /// JSON lines: `key` and `value` hold text; what isn't UTF-8 is in `key_base64` and `value_base64` instead.
    #[default]
    Json,
    /// Parquet: `key` and `value` are binary columns.
    Parquet,
}

/// Gathers dead letters into a batch. Holds a copy of each record, so take the batch out when
/// [`DeadLetters::bytes`] has grown to some MiB; a batch can't hold 2 GiB.
#[derive(Debug)]
pub struct DeadLetters {
    schema: SchemaRef,
    topic: StringBuilder,
    partition: Int32Builder,
    offset: Int64Builder,
    timestamp: TimestampMicrosecondBuilder,
    stage: StringBuilder,
    reason: StringBuilder,
    plugin: StringBuilder,
    key: Payload,
    value: Payload,
    headers: StringBuilder,
    len: usize,
    bytes: usize,
}

impl DeadLetters {
    /// None yet, in the columns of the format.
    pub fn new(format: DeadLetterFormat) -> Self {
        Self {
            schema: schema(format),
            topic: StringBuilder::new(),
            partition: Int32Builder::new(),
            offset: Int64Builder::new(),
            timestamp: TimestampMicrosecondBuilder::new().with_timezone("UTC"),
            stage: StringBuilder::new(),
            reason: StringBuilder::new(),
            plugin: StringBuilder::new(),
            key: Payload::new(format),
            value: Payload::new(format),
            headers: StringBuilder::new(),
            len: 0,
            bytes: 0,
        }
    }

    /// Adds message `index`: the stage that couldn't process it (`decode`, `transform`, `sink`), why, and the digest of
    /// the plugin, if it was one.
    pub fn push(&mut self, messages: &dyn Messages, index: usize, stage: &str, reason: &str, plugin: Option<&str>) {
        let headers = headers_json(messages.headers(index));
        let (key, value) = (messages.key(index), messages.value(index));
        let lengths = [messages.topic(), stage, reason, plugin.unwrap_or_default(), &headers].map(str::len);
        self.bytes += lengths.iter().sum::<usize>() + key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len);
        self.len += 1;
        self.topic.append_value(messages.topic());
        self.partition.append_value(messages.partition());
        self.offset.append_value(messages.offset(index));
        // A timestamp that doesn't fit in microseconds is none.
        self.timestamp.append_option(messages.timestamp_ms(index).and_then(|millis| millis.checked_mul(1000)));
        self.stage.append_value(stage);
        self.reason.append_value(reason);
        self.plugin.append_option(plugin);
        self.key.append(key);
        self.value.append(value);
        self.headers.append_value(headers);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What they hold, about, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The columns of [`DeadLetters::take`].
    pub fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// Takes them out as a batch; none are left.
    pub fn take(&mut self) -> RecordBatch {
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(self.topic.finish()),
            Arc::new(self.partition.finish()),
            Arc::new(self.offset.finish()),
            Arc::new(self.timestamp.finish()),
            Arc::new(self.stage.finish()),
            Arc::new(self.reason.finish()),
            Arc::new(self.plugin.finish()),
        ];
        self.key.finish(&mut columns);
        self.value.finish(&mut columns);
        columns.push(Arc::new(self.headers.finish()));
        (self.len, self.bytes) = (0, 0);
        // `push` adds to every column, and `schema` and `Payload` agree on the columns' types.
        RecordBatch::try_new(self.schema(), columns).expect("columns of the schema's types and of one length")
    }

    /// The table that a pipeline's dead letters go to: `_dead/<pipeline>`.
    pub fn table_options(&self, pipeline: &str) -> TableOptions {
        let format = match self.key {
            Payload::Text(..) => Format::Json,
            Payload::Binary(_) => Format::Parquet,
        };
        TableOptions::new(format!("_dead/{pipeline}"), format)
    }
}

fn schema(format: DeadLetterFormat) -> SchemaRef {
    let required = |name: &str, data_type: DataType| Field::new(name, data_type, false);
    let nullable = |name: &str, data_type: DataType| Field::new(name, data_type, true);
    let mut fields = vec![
        required("topic", DataType::Utf8),
        required("partition", DataType::Int32),
        required("offset", DataType::Int64),
        nullable("timestamp", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
        required("stage", DataType::Utf8),
        required("reason", DataType::Utf8),
        nullable("plugin", DataType::Utf8),
    ];
    for name in ["key", "value"] {
        match format {
            DeadLetterFormat::Json => {
                fields.push(nullable(name, DataType::Utf8));
                fields.push(nullable(&format!("{name}_base64"), DataType::Utf8));
            }
            DeadLetterFormat::Parquet => fields.push(nullable(name, DataType::Binary)),
        }
    }
    fields.push(required("headers", DataType::Utf8));
    Arc::new(Schema::new(fields))
}

/// A column of keys or values.
#[derive(Debug)]
enum Payload {
    /// Text, and base64 of what is none.
    Text(StringBuilder, StringBuilder),
    Binary(BinaryBuilder),
}

impl Payload {
    fn new(format: DeadLetterFormat) -> Self {
        match format {
            DeadLetterFormat::Json => Self::Text(StringBuilder::new(), StringBuilder::new()),
            DeadLetterFormat::Parquet => Self::Binary(BinaryBuilder::new()),
        }
    }

    fn append(&mut self, bytes: Option<&[u8]>) {
        match self {
            Self::Binary(builder) => builder.append_option(bytes),
            Self::Text(text, base64) => {
                let as_text = bytes.and_then(|bytes| str::from_utf8(bytes).ok());
                text.append_option(as_text);
                base64.append_option(bytes.filter(|_| as_text.is_none()).map(|bytes| BASE64_STANDARD.encode(bytes)));
            }
        }
    }

    fn finish(&mut self, columns: &mut Vec<ArrayRef>) {
        match self {
            Self::Binary(builder) => columns.push(Arc::new(builder.finish())),
            Self::Text(text, base64) => {
                columns.push(Arc::new(text.finish()));
                columns.push(Arc::new(base64.finish()));
            }
        }
    }
}

/// `[{"key": "k", "value": "text"}, {"key": "k", "value_base64": "/w=="}]`; a null value is `"value": null`.
fn headers_json(headers: Vec<(String, Option<Vec<u8>>)>) -> String {
    let header = |(key, value): (String, Option<Vec<u8>>)| match value.map(String::from_utf8) {
        None => json!({"key": key, "value": null}),
        Some(Ok(text)) => json!({"key": key, "value": text}),
        Some(Err(error)) => json!({"key": key, "value_base64": BASE64_STANDARD.encode(error.as_bytes())}),
    };
    Value::Array(headers.into_iter().map(header).collect()).to_string()
}
