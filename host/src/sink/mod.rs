//! The Kafka sink: topics made as configured, and the records of an epoch sent in one transaction.
//!
//! - [`topics`]: what topics are like, and what they should be like
//! - [`producer`]: one attempt at one task; implements what the commit protocol asks of it
//! - [`raw`]: records as they are, sent by hand
//! - [`marks`]: which epoch a task has sent last, as Kafka keeps it
//! - [`client`]: librdkafka's properties, events and errors
//!
//! No type of rdkafka leaves this module.

mod client;
mod marks;
mod producer;
mod raw;
#[cfg(test)]
mod tests;
mod topics;

use std::sync::Arc;

use indexmap::IndexMap;

use crate::commit::Topics;
use crate::source::TopicPartition;

pub use raw::{RawProducer, RawRecord};
pub use topics::{Difference, Found, SinkError, create_missing, differences, look};

use marks::Marks;
use producer::TaskProducer;

/// What a pipeline sends to topics.
#[derive(Debug, Clone)]
pub struct Sink {
    pipeline: String,
    /// librdkafka properties as configured. May hold secrets.
    properties: Secret,
    marks: Arc<Marks>,
}

/// The group whose offsets say what a pipeline has sent. It has no members.
pub fn marks_group(pipeline: &str) -> String {
    format!("rillgate.{pipeline}.epochs")
}

impl Sink {
    /// Connects to nothing until there is something to send.
    pub fn new(pipeline: &str, properties: &IndexMap<String, String>) -> Self {
        let properties = Secret(properties.clone());
        let marks = Arc::new(Marks::new(marks_group(pipeline), &properties));
        Self { pipeline: pipeline.to_owned(), properties, marks }
    }

    /// What one attempt at the task of a partition sends by.
    pub fn task(&self, partition: &TopicPartition) -> Arc<dyn Topics> {
        let Self { pipeline, properties, marks } = self;
        let id = format!("rillgate.{pipeline}.{}.{}", partition.topic, partition.partition);
        let config = client::producer(properties, &id);
        Arc::new(TaskProducer::new(pipeline.clone(), config, Arc::clone(marks), partition.clone()))
    }
}

/// Properties that are never printed.
#[derive(Clone)]
struct Secret(IndexMap<String, String>);

impl std::ops::Deref for Secret {
    type Target = IndexMap<String, String>;
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
