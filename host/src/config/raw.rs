//! What is typed in pipelines.toml, before it is known to make sense. The JSON Schema is made of this.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::{self, Deserializer, Unexpected};
use std::time::Duration;

use super::aggregate::AggregateOptions;
use super::options::{DeadLetterOptions, Delivery, HttpOptions, OnDataLoss, Properties, Start, TransformOptions};
use super::sink::{OutputOptions, SinkOptions};
use super::swap::SwapOptions;
use super::units;
use crate::decode::{ColumnOptions, DecodeOptions};

/// A rillgate configuration: pipelines from Kafka topics through WebAssembly plugins to tables of files.
///
/// `${NAME}` and `${NAME:-default}` inside of string values are replaced from the environment.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "rillgate pipelines.toml")]
pub(super) struct File {
    /// The Kafka cluster: librdkafka's properties as they are, for example `bootstrap.servers`.
    #[schemars(required, with = "KafkaSchema")]
    pub(super) kafka: Option<Properties>,
    /// The object store.
    #[schemars(required)]
    pub(super) store: Option<Store>,
    /// The schema registry, for pipelines that read or write Avro.
    pub(super) schema_registry: Option<SchemaRegistry>,
    /// The daemon's own endpoints.
    #[serde(default)]
    pub(super) http: HttpOptions,
    /// The pipelines by name: a-z, 0-9, `_` and `-`.
    #[serde(default)]
    pub(super) pipeline: IndexMap<String, Pipeline>,
}

/// librdkafka's client properties; those of `properties_file` hold where they are not given here.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "stands for `Properties` in the JSON Schema")]
struct KafkaSchema {
    /// A Java `client.properties` file, as Confluent Cloud hands it out. Relative to the configuration's folder.
    properties_file: Option<String>,
    /// Brokers to ask first: `host:9092,host2:9092`.
    #[serde(rename = "bootstrap.servers")]
    bootstrap_servers: Option<String>,
    /// Any other property of librdkafka.
    #[serde(flatten)]
    others: Properties,
}

/// The object store that tables and control files go to.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct Store {
    /// Where the tables go: `file:./lake`, `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix`.
    #[schemars(required)]
    pub(super) url: Option<String>,
    /// Where `_rillgate/` goes, if not beside the tables: for when a crawler walks the whole bucket.
    pub(super) control: Option<String>,
    /// Options of the store, named as object_store names them: `region`, `aws_endpoint`, `access_key_id` ...
    #[serde(flatten)]
    pub(super) options: Properties,
}

/// A schema registry with Confluent's REST API.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SchemaRegistry {
    /// Its URL, with a base path where it has one: `http://localhost:8081`, `https://host/apis/ccompat/v7`.
    #[schemars(required)]
    pub(super) url: Option<String>,
    /// The user, where it wants HTTP's basic authentication: for Confluent Cloud the API key.
    pub(super) username: Option<String>,
    /// The password; for Confluent Cloud the API secret.
    pub(super) password: Option<String>,
}

/// One pipeline, from topics to tables.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Pipeline {
    /// The topic it reads.
    pub(super) topic: Option<String>,
    /// The topics it reads, in place of `topic`.
    pub(super) topics: Option<Vec<String>>,
    /// Its consumer group. `rillgate.<pipeline>` unless said otherwise.
    pub(super) group: Option<String>,
    /// Where it starts in partitions that it has never committed: `"earliest"` (the default), `"latest"`, or a time
    /// like `"2026-01-31T06:00:00Z"`; without an offset, UTC.
    #[serde(default, deserialize_with = "start")]
    #[schemars(with = "Option<String>")]
    pub(super) start: Start,
    /// How the values are written.
    #[schemars(required)]
    pub(super) decode: Option<DecodeOptions>,
    /// The columns to make of the values, by name, in order: a type or a table.
    #[serde(default)]
    pub(super) columns: IndexMap<String, ColumnOptions>,
    /// The plugins that the rows go through, in order. None: the rows go to the sink as they are.
    #[serde(default)]
    pub(super) transform: Vec<TransformOptions>,
    /// How the rows are folded into groups, after the transforms. Without it they go to the sink as they are.
    pub(super) aggregate: Option<AggregateOptions>,
    /// Where the rows end up.
    #[schemars(required)]
    pub(super) sink: Option<SinkOptions>,
    /// Where the rows of the plugins' named outputs end up: a sink each, or `"drop"`.
    #[serde(default)]
    pub(super) outputs: IndexMap<String, OutputOptions>,
    /// How dead letters are written, under `_dead/` in the store.
    #[serde(default)]
    pub(super) dead_letters: DeadLetterOptions,
    /// What a new version of its plugins has to show before it goes live, and after.
    #[serde(default)]
    pub(super) swap: SwapOptions,
    /// What is promised about each record: `"exactly-once"` unless said otherwise.
    #[serde(default)]
    pub(super) delivery: Delivery,
    /// What to do when the commit log and Kafka disagree (topic recreated, retention passed): `"fail"` unless said
    /// otherwise.
    #[serde(default)]
    pub(super) on_data_loss: OnDataLoss,
    /// librdkafka's properties for this pipeline alone, over those of `[kafka]`.
    #[serde(default)]
    pub(super) kafka: Properties,
    /// How long entries of the commit log are kept: `"7d"` unless said otherwise, at least three hours.
    #[serde(default = "default_log_retention", deserialize_with = "units::log_retention")]
    #[schemars(with = "String", default = "default_log_retention_text")]
    pub(super) log_retention: Duration,
    /// Rows that a batch has at most: 8192 unless said otherwise.
    #[serde(default = "default_max_batch_rows", deserialize_with = "units::batch_rows")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(super) max_batch_rows: usize,
}

fn default_log_retention() -> Duration {
    Duration::from_secs(7 * 24 * 3600)
}

fn default_log_retention_text() -> String {
    "7d".to_owned()
}

fn default_max_batch_rows() -> usize {
    8192
}

fn start<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Start, D::Error> {
    let text = String::deserialize(deserializer)?;
    match text.as_str() {
        "earliest" => Ok(Start::Earliest),
        "latest" => Ok(Start::Latest),
        _ => time(&text).map(Start::At).ok_or_else(|| {
            let expected = "\"earliest\", \"latest\" or a time like \"2026-01-31T06:00:00Z\"";
            de::Error::invalid_value(Unexpected::Str(&text), &expected)
        }),
    }
}

/// ISO-8601: a date, or a date and a time, with an offset or in UTC.
fn time(text: &str) -> Option<DateTime<Utc>> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.to_utc());
    }
    let time = text.parse::<NaiveDateTime>().ok();
    time.or_else(|| Some(text.parse::<NaiveDate>().ok()?.and_time(NaiveTime::MIN))).map(|time| time.and_utc())
}
