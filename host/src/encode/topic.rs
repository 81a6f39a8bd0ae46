//! What a sink says about its topic: the records that rows become, and the topic itself.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;

/// What a client sends in one request, unless its `message.max.bytes` says otherwise: librdkafka's default. A topic's is a little more.
const MAX_MESSAGE_BYTES: usize = 1_000_000;
/// What client and broker count beside a record, and more: lengths, and the head of a batch.
const OVERHEAD_BYTES: usize = 1024;

/// A topic that rows go to.
#[derive(Debug, Clone, PartialEq)]
pub struct TopicOptions {
    /// Its name.
    pub topic: String,
    /// How values are written.
    pub format: RecordFormat,
    /// The columns that make the key: of one its plain text, of several a JSON object. None: records have no key.
    pub key: Vec<String>,
    /// The headers, and the column that each takes its value from.
    pub headers: IndexMap<String, String>,
    /// The boolean column that says where the key is gone: those records have no value. It isn't written itself.
    pub tombstone: Option<String>,
    /// Partitions that it is created with; the cluster's default, if not given.
    pub partitions: Option<i32>,
    /// Replicas that it is created with; the cluster's default, if not given.
    pub replication: Option<i32>,
    /// What else it is created with, as Kafka names it: `cleanup.policy`, `retention.ms` ...
    pub config: IndexMap<String, String>,
    /// Bytes of key, value and headers that a record may have: less than client and topic take.
    pub max_record_bytes: usize,
    /// The id that the schema of Avro values is registered under.
    pub schema_id: Option<u32>,
}

impl TopicOptions {
    /// A topic of JSON records without keys, all else by default.
    pub fn new(topic: impl Into<String>) -> Self {
        Self {
            topic: topic.into(),
            format: RecordFormat::Json,
            key: Vec::new(),
            headers: IndexMap::new(),
            tombstone: None,
            partitions: None,
            replication: None,
            config: IndexMap::new(),
            max_record_bytes: MAX_MESSAGE_BYTES - OVERHEAD_BYTES,
            schema_id: None,
        }
    }

    /// Takes up how large a message may be: for the client (its default, if it doesn't say), and for the topic, where that is known.
    pub fn limit_to(&mut self, client_bytes: Option<usize>, topic_bytes: Option<usize>) {
        let client_bytes = client_bytes.unwrap_or(MAX_MESSAGE_BYTES);
        let bytes = topic_bytes.map_or(client_bytes, |topic_bytes| topic_bytes.min(client_bytes));
        self.max_record_bytes = bytes.saturating_sub(OVERHEAD_BYTES);
    }

    /// Whether Kafka keeps the newest record of each key alone: then it takes none without a key.
    pub fn is_compacted(&self) -> bool {
        self.config.get("cleanup.policy").is_some_and(|policy| policy.contains("compact"))
    }
}

/// How the values of records are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RecordFormat {
    /// A JSON object.
    #[default]
    Json,
    /// Avro, by a schema that is registered for `<topic>-value`.
    Avro,
}

impl RecordFormat {
    /// Its name in pipelines.toml.
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Avro => "avro",
        }
    }
}
