//! What a configuration means, once it is read and found right: what the rest of the program works with.

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::ops::Deref;
use std::time::Duration;

use chrono::{DateTime, Utc};
use indexmap::IndexMap;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::Deserializer;

use super::aggregate::AggregateOptions;
use super::secret::{MASK, is_secret};
use super::sink::{OutputOptions, SinkOptions};
use super::swap::SwapOptions;
use super::units::Text;
use crate::decode::{ColumnOptions, DecodeOptions};
use crate::encode::DeadLetterFormat;
use crate::plugin::{Limits, sha256};

/// Names and values, in the order of the file. Printing it masks what looks secret.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Properties(pub IndexMap<String, String>);

impl Deref for Properties {
    type Target = IndexMap<String, String>;
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Properties {
    /// These properties, and those of `over` in place of what they name too.
    pub fn with(&self, over: &Properties) -> Properties {
        let both = self.iter().chain(over.iter());
        Properties(both.map(|(name, value)| (name.clone(), value.clone())).collect())
    }
}

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter().map(|(k, v)| (k, if is_secret(k) { MASK } else { v.as_str() }))).finish()
    }
}

impl fmt::Display for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (name, value)) in self.iter().enumerate() {
            let value = if is_secret(name) { MASK } else { value };
            write!(f, "{}{name}={value}", if at == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Properties {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let all = IndexMap::<String, Text>::deserialize(deserializer)?;
        Ok(Self(all.into_iter().map(|(name, Text(value))| (name, value)).collect()))
    }
}

impl JsonSchema for Properties {
    fn schema_name() -> Cow<'static, str> {
        "Properties".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object", "additionalProperties": { "type": ["string", "number", "boolean"] } })
    }
}

/// Where the tables and the control files go: `[store]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreOptions {
    /// Where the tables go: `file:./lake`, `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix`.
    pub url: String,
    /// Where `_rillgate/` goes, if not beside the tables.
    pub control: Option<String>,
    /// Options of the store, named as object_store names them.
    pub options: Properties,
}

/// The daemon's own endpoints: `[http]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HttpOptions {
    /// Where health, metrics, the API and the live page are served. Open to nobody but this machine unless said
    /// otherwise.
    #[schemars(with = "String")]
    pub listen: SocketAddr,
    /// What an operator must send to change something: `Authorization: Bearer <token>`. Without one only this machine may, and only
    /// where `listen` is of this machine alone.
    pub token: Option<Token>,
}

/// A secret that is never printed.
#[derive(Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Token(pub String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 9464)), token: None }
    }
}

/// One pipeline, from topics to tables.
#[derive(Debug, Clone, PartialEq)]
pub struct PipelineOptions {
    /// The topics it reads, at least one.
    pub topics: Vec<String>,
    /// Its consumer group.
    pub group: String,
    /// Where it starts in partitions that it has never committed.
    pub start: Start,
    /// How the values are written.
    pub decode: DecodeOptions,
    /// The columns to make of them.
    pub columns: IndexMap<String, ColumnOptions>,
    /// The plugins that the rows go through, in order.
    pub transform: Vec<TransformOptions>,
    /// How the rows are folded into groups, after the transforms.
    pub aggregate: Option<AggregateOptions>,
    /// Where the rows end up.
    pub sink: SinkOptions,
    /// Where the rows of the plugins' named outputs end up.
    pub outputs: IndexMap<String, OutputOptions>,
    /// How dead letters are written.
    pub dead_letters: DeadLetterOptions,
    /// What a new version of its plugins has to show before it goes live, and after.
    pub swap: SwapOptions,
    /// What is promised about each record.
    pub delivery: Delivery,
    /// What to do when the commit log and Kafka disagree.
    pub on_data_loss: OnDataLoss,
    /// All client properties: those of `[kafka]` with the pipeline's own over them.
    pub kafka: Properties,
    /// How long entries of the commit log are kept.
    pub log_retention: Duration,
    /// Rows that a batch has at most.
    pub max_batch_rows: usize,
}

impl PipelineOptions {
    /// SHA-256 of what is configured, in hex, for lineage. Secrets don't go into it.
    pub fn digest(&self) -> String {
        sha256(format!("{self:?}").as_bytes())
    }

    /// Every sink with its name for people and its path below the pipeline: `sink`, `outputs.late`.
    pub fn sinks(&self) -> impl Iterator<Item = (String, &SinkOptions)> {
        let outputs = self.outputs.iter().filter_map(|(name, output)| match output {
            OutputOptions::Sink(sink) => Some((format!("outputs.{name}"), sink.as_ref())),
            OutputOptions::Drop => None,
        });
        std::iter::once(("sink".to_owned(), &self.sink)).chain(outputs)
    }
}

/// Where a pipeline starts in partitions that it has never committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Start {
    /// With the oldest record.
    #[default]
    Earliest,
    /// With what comes from now on.
    Latest,
    /// With the first record of this time or later.
    At(DateTime<Utc>),
}

/// A plugin that rows go through.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TransformOptions {
    /// The plugin's file, relative to the folder of the configuration: `plugins/railway.wasm`.
    pub plugin: String,
    /// What the plugin is told when it is opened. Strings, numbers and booleans, all as text.
    #[serde(default)]
    pub settings: Properties,
    /// What it may use.
    #[serde(default)]
    pub limits: Limits,
}

/// How dead letters are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DeadLetterOptions {
    /// Their file format.
    pub format: DeadLetterFormat,
}

/// What is promised about each record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Delivery {
    /// Each record once. Needs a store with conditional create.
    #[default]
    ExactlyOnce,
    /// Each record, after a failure perhaps twice. Works on any store.
    AtLeastOnce,
}

/// What to do when records that were not yet processed are gone: topic recreated, retention passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnDataLoss {
    /// The pipeline stops and says what is missing.
    #[default]
    Fail,
    /// It goes on with the oldest record there is, and says what is missing.
    Continue,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_wherever_properties_are_printed() {
        let pairs = [("sasl.username", "me"), ("sasl.password", "hunter2"), ("ssl.key.pem", "hunter2")];
        let properties = Properties(pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).into_iter().collect());
        assert_eq!(properties.to_string(), "sasl.username=me, sasl.password=***, ssl.key.pem=***");
        let store = StoreOptions { url: "s3://b".to_owned(), control: None, options: properties };
        assert!(!format!("{store:?}").contains("hunter2"), "{store:?}");
    }
}
