//! The Kafka source: one consumer per pipeline, one queue per partition.
//!
//! - [`options`]: what a pipeline asks for, and the librdkafka properties that follow from it
//! - [`consumer`]: membership in the group; partitions come and go
//! - [`queue`]: the messages of one partition, in batches, without a copy
//! - [`offsets`]: where to begin, and whether Kafka still has it
//!
//! No type of rdkafka leaves this module.

mod brokers;
pub mod consumer;
pub mod offsets;
pub mod options;
pub mod queue;
#[cfg(test)]
pub(crate) mod tests;

pub use consumer::{Consumer, Owner};
pub use offsets::Offsets;
pub use options::{OnDataLoss, SourceOptions, Start};
pub use queue::{KafkaMessages, PartitionQueue};

/// A partition of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: String,
    /// The partition's number.
    pub partition: i32,
}

impl std::fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

/// Why the source can't work.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// librdkafka doesn't take a property: mend the configuration.
    #[error("[kafka]: {0}")]
    Property(String),
    /// No broker answers.
    #[error("no Kafka broker answers at {servers}: {reason}")]
    Unreachable {
        /// `bootstrap.servers` as configured.
        servers: String,
        /// What librdkafka says.
        reason: String,
    },
    /// The broker refuses user and password, or the certificate.
    #[error(
        "Kafka refuses to authenticate us at {servers}: {reason}; check sasl.username, sasl.password and security.protocol"
    )]
    Authentication {
        /// `bootstrap.servers` as configured.
        servers: String,
        /// What librdkafka says.
        reason: String,
    },
    /// A topic isn't there.
    #[error(
        "topic {topic} does not exist at {servers}; create it, or wait for it with `rillgate run` without --until-caught-up"
    )]
    UnknownTopic {
        /// Its name.
        topic: String,
        /// `bootstrap.servers` as configured.
        servers: String,
    },
    /// Kafka no longer has the records that come next.
    #[error("data loss: {what}; set on_data_loss = \"continue\" to go on from offset {low}")]
    DataLoss {
        /// What is lost.
        what: String,
        /// The oldest offset there is.
        low: i64,
    },
    /// Anything else that Kafka says.
    #[error("Kafka: {0}")]
    Kafka(String),
}
