//! What a sink says about its topic: the records that rows become, and the topic itself.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;

/// Bytes that a record may have, unless the topic or the client says otherwise: Kafka's default is a little more.
const MAX_RECORD_BYTES: usize = 1_000_000;

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
    /// Bytes of key, value and headers that a record may have.
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
            max_record_bytes: MAX_RECORD_BYTES,
            schema_id: None,
        }
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
