//! Records that are Avro: their schemas registered, their JSON written by them.

use std::borrow::Cow;

use rillgate_feeds::{AvroSchemas, Record, feed_with};
use serde_json::Value;

use super::{FeedError, FeedOptions};
use crate::avro::{Schema, SchemaText, begin};
use crate::registry::{Registry, RegistryOptions};

/// How many records of a feed are looked at to find all its schemas: the rarest come once an hour of the simulation.
const PREVIEW: usize = 20_000;

/// Writes records as Avro where that is what their system does.
pub(super) struct AvroWriter<'a> {
    registry: Option<&'a RegistryOptions>,
    /// The registry once it has been asked, and where to wait for its answers.
    asked: Option<(Registry, tokio::runtime::Runtime)>,
    topics: Vec<Topic>,
}

/// A key and a value.
type Message<'r> = (Cow<'r, [u8]>, Cow<'r, [u8]>);

struct Topic {
    name: &'static str,
    schemas: AvroSchemas,
    key: (u32, Schema),
    value: (u32, Schema),
}

/// Registers the schemas of all records that this feed will send, so that whoever reads them can take their columns from there
/// before the first is sent.
///
/// # Errors
/// The registry can't be asked, or doesn't take them.
pub fn register_schemas(options: &FeedOptions) -> Result<(), FeedError> {
    let mut writer = AvroWriter::new(options);
    let mut missing = options.system.topics().to_vec();
    for record in feed_with(options.system, &options.simulation).take(PREVIEW) {
        if let Some(at) = missing.iter().position(|topic| *topic == record.topic) {
            missing.swap_remove(at);
            writer.encode(&record)?;
        }
        if missing.is_empty() {
            break;
        }
    }
    Ok(())
}

impl<'a> AvroWriter<'a> {
    pub fn new(options: &'a FeedOptions) -> Self {
        Self { registry: options.registry.as_ref(), asked: None, topics: Vec::new() }
    }

    /// Key and value as they go to Kafka.
    pub fn encode<'r>(&mut self, record: &'r Record) -> Result<Message<'r>, FeedError> {
        let Some(schemas) = record.avro else { return Ok((Cow::from(&record.key), Cow::from(&record.value))) };
        let known = self.topics.iter().position(|topic| topic.name == record.topic && topic.schemas == schemas);
        let at = match known {
            Some(at) => at,
            None => {
                let topic = self.register(record.topic, schemas)?;
                self.topics.push(topic);
                self.topics.len() - 1
            }
        };
        let topic = &self.topics[at];
        let written = |(id, schema): &(u32, Schema), json: &[u8]| {
            let mut message = Vec::with_capacity(json.len());
            begin(*id, &mut message);
            let value: Value = serde_json::from_slice(json).map_err(|error| error.to_string())?;
            schema.encode(&value, &mut message).map(|()| message)
        };
        let failed = |reason| FeedError::Schema { topic: record.topic, reason };
        let key = written(&topic.key, &record.key).map_err(failed)?;
        let value = written(&topic.value, &record.value).map_err(failed)?;
        Ok((key.into(), value.into()))
    }

    fn register(&mut self, name: &'static str, schemas: AvroSchemas) -> Result<Topic, FeedError> {
        let Some(options) = self.registry else { return Err(FeedError::NoRegistry { topic: name }) };
        if self.asked.is_none() {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|error| FeedError::Client(error.to_string()))?;
            self.asked = Some((Registry::new(options)?, runtime));
        }
        let Some((registry, runtime)) = &self.asked else { return Err(FeedError::NoRegistry { topic: name }) };
        let one = |part: &str, text: &str| -> Result<(u32, Schema), FeedError> {
            let id = runtime.block_on(registry.register(&format!("{name}-{part}"), text))?;
            let schema = Schema::parse(&SchemaText { schema: text.to_owned(), references: Vec::new() });
            Ok((id, schema.map_err(|reason| FeedError::Schema { topic: name, reason })?))
        };
        Ok(Topic { name, schemas, key: one("key", schemas.key)?, value: one("value", schemas.value)? })
    }
}
