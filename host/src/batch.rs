//! What flows between the stages: messages as they came, and batches of rows in columns.
//!
//! Every stage imports this module and no stage imports another. Nothing here does I/O.

pub use arrow::array::RecordBatch;
pub use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

/// Messages of one partition, in the order of their offsets, borrowed from whoever fetched them.
///
/// Two things implement it: what the Kafka source takes from its queue, and [`MemoryMessages`].
pub trait Messages {
    /// The topic that all of these messages come from.
    fn topic(&self) -> &str;
    /// The partition that all of these messages come from.
    fn partition(&self) -> i32;
    /// How many messages there are.
    fn len(&self) -> usize;
    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Kafka's offset of message `index`.
    fn offset(&self, index: usize) -> i64;
    /// Kafka's timestamp of message `index`, milliseconds since 1970-01-01T00:00:00Z; `None` where it has none.
    fn timestamp_ms(&self, index: usize) -> Option<i64>;
    /// The key of message `index`; `None` for a null key.
    fn key(&self, index: usize) -> Option<&[u8]>;
    /// The value of message `index`; `None` for a null value.
    fn value(&self, index: usize) -> Option<&[u8]>;
    /// The headers of message `index`, in order. Costs a call into the client library: ask only where they are wanted.
    fn headers(&self, index: usize) -> Vec<(String, Option<Vec<u8>>)>;
}

/// Rows, and the message that each of them came from.
#[derive(Debug, Clone)]
pub struct Rows {
    /// The rows in columns.
    pub batch: RecordBatch,
    /// `origin[row]` is the index of the message that the row came from; never decreases.
    pub origin: Vec<u32>,
}

/// A row or message that can't be processed, and why. Its record becomes a dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// Index of the row in its batch, or of the message among its messages.
    pub row: u32,
    /// What is wrong, in words for the person who looks at the dead letters.
    pub reason: String,
}

/// The column types that can cross to a plugin, with the names that pipelines.toml and the WIT package give them.
///
/// | name | Arrow type |
/// |---|---|
/// | `boolean` | Boolean |
/// | `int32` `int64` | Int32, Int64 |
/// | `float32` `float64` | Float32, Float64 |
/// | `utf8` | Utf8 (32-bit offsets) |
/// | `binary` | Binary (32-bit offsets) |
/// | `date` | Date32: days since 1970-01-01 |
/// | `timestamp` | Timestamp(Microsecond, "UTC") |
pub const COLUMN_TYPES: [&str; 9] =
    ["boolean", "int32", "int64", "float32", "float64", "utf8", "binary", "date", "timestamp"];

/// The Arrow type of a column type's name; `None` for any other name.
pub fn data_type(name: &str) -> Option<DataType> {
    Some(match name {
        "boolean" => DataType::Boolean,
        "int32" => DataType::Int32,
        "int64" => DataType::Int64,
        "float32" => DataType::Float32,
        "float64" => DataType::Float64,
        "utf8" => DataType::Utf8,
        "binary" => DataType::Binary,
        "date" => DataType::Date32,
        "timestamp" => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        _ => return None,
    })
}

/// The name of an Arrow type that has one, as [`data_type`] reads it; `None` for types that can't cross to a plugin.
pub fn type_name(data_type: &DataType) -> Option<&'static str> {
    COLUMN_TYPES.into_iter().find(|name| self::data_type(name).as_ref() == Some(data_type))
}

/// One message held in memory, for tests, fuzzing, benchmarks and replay.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemoryMessage {
    /// Kafka's offset.
    pub offset: i64,
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub timestamp_ms: Option<i64>,
    /// The key's bytes.
    pub key: Option<Vec<u8>>,
    /// The value's bytes.
    pub value: Option<Vec<u8>>,
    /// Names and values of the headers.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

/// Messages held in memory.
#[derive(Debug, Clone, Default)]
pub struct MemoryMessages {
    /// The topic they count as coming from.
    pub topic: String,
    /// The partition they count as coming from.
    pub partition: i32,
    /// The messages.
    pub messages: Vec<MemoryMessage>,
}

impl MemoryMessages {
    /// Messages with these values at offsets 0, 1, 2 ..., without keys, headers or timestamps.
    pub fn from_values<V: AsRef<[u8]>>(topic: &str, values: impl IntoIterator<Item = V>) -> Self {
        let messages = values.into_iter().enumerate().map(|(offset, value)| MemoryMessage {
            offset: offset as i64,
            value: Some(value.as_ref().to_vec()),
            ..MemoryMessage::default()
        });
        Self { topic: topic.to_owned(), partition: 0, messages: messages.collect() }
    }
}

impl Messages for MemoryMessages {
    fn topic(&self) -> &str {
        &self.topic
    }
    fn partition(&self) -> i32 {
        self.partition
    }
    fn len(&self) -> usize {
        self.messages.len()
    }
    fn offset(&self, index: usize) -> i64 {
        self.messages[index].offset
    }
    fn timestamp_ms(&self, index: usize) -> Option<i64> {
        self.messages[index].timestamp_ms
    }
    fn key(&self, index: usize) -> Option<&[u8]> {
        self.messages[index].key.as_deref()
    }
    fn value(&self, index: usize) -> Option<&[u8]> {
        self.messages[index].value.as_deref()
    }
    fn headers(&self, index: usize) -> Vec<(String, Option<Vec<u8>>)> {
        self.messages[index].headers.clone()
    }
}
