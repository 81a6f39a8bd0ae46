//! Where to begin, and whether Kafka still has it.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::{Offset, TopicPartitionList};

use super::consumer::Context;
use super::options::{OnDataLoss, SourceOptions, Start};
use super::{SourceError, TopicPartition};

/// How long one question to the brokers may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks the brokers about offsets.
#[derive(Clone)]
pub struct Offsets {
    consumer: Arc<BaseConsumer<Context>>,
    options: Arc<SourceOptions>,
}

impl std::fmt::Debug for Offsets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Offsets")
    }
}

impl Offsets {
    pub(super) fn new(consumer: Arc<BaseConsumer<Context>>, options: Arc<SourceOptions>) -> Self {
        Self { consumer, options }
    }

    /// First and next offset of a partition, as its leader has them. Blocks for up to 10 seconds.
    pub fn bounds(&self, partition: &TopicPartition) -> Result<(i64, i64), SourceError> {
        self.consumer
            .fetch_watermarks(&partition.topic, partition.partition, PATIENCE)
            .map_err(|error| SourceError::Kafka(format!("offsets of {partition}: {error}")))
    }

    /// How far the group has come by Kafka's book, for partitions that another instance has. Blocks for up to 10 seconds.
    pub fn committed(&self, partitions: &[TopicPartition]) -> Result<Vec<Option<i64>>, SourceError> {
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            list.add_partition(&partition.topic, partition.partition);
        }
        let found = self.consumer.committed_offsets(list, PATIENCE);
        let found = found.map_err(|error| SourceError::Kafka(format!("committed offsets: {error}")))?;
        let offset =
            |partition: &TopicPartition| match found.find_partition(&partition.topic, partition.partition)?.offset() {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            };
        Ok(partitions.iter().map(offset).collect())
    }

    /// Where a task begins, given what its commit log says; an error says what is lost and how to go on. Blocks.
    pub fn first(&self, partition: &TopicPartition, logged: Option<i64>) -> Result<i64, SourceError> {
        let (low, high) = self.bounds(partition)?;
        let Some(logged) = logged else {
            return match self.options.start {
                Start::Earliest => Ok(low),
                Start::Latest => Ok(high),
                Start::Timestamp(milliseconds) => self.at(partition, milliseconds).map(|found| found.unwrap_or(high)),
            };
        };
        if (low..=high).contains(&logged) {
            return Ok(logged);
        }
        let what = if logged < low {
            format!("Kafka has no records of {partition} before offset {low}, and {logged} comes next")
        } else {
            format!("{partition} ends at offset {high}, and {logged} comes next: the topic was made anew")
        };
        match self.options.on_data_loss {
            OnDataLoss::Fail => Err(SourceError::DataLoss { what, low }),
            OnDataLoss::Continue => {
                tracing::warn!(%partition, "data loss: {what}; going on from offset {low}");
                Ok(low)
            }
        }
    }

    /// Tells Kafka's book how far a task has come. Only lag tools and other instances read it; failing is harmless.
    pub fn acknowledge(&self, partition: &TopicPartition, end: i64) {
        let mut list = TopicPartitionList::new();
        let added = list.add_partition_offset(&partition.topic, partition.partition, Offset::Offset(end));
        if let Err(error) = added.and_then(|()| self.consumer.commit(&list, CommitMode::Async)) {
            tracing::debug!(%partition, %error, "offset not committed to Kafka; the commit log has it");
        }
    }

    fn at(&self, partition: &TopicPartition, milliseconds: i64) -> Result<Option<i64>, SourceError> {
        let failed = |error| SourceError::Kafka(format!("offset of {partition} at {milliseconds} ms: {error}"));
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&partition.topic, partition.partition, Offset::Offset(milliseconds))
            .map_err(failed)?;
        let found = self.consumer.offsets_for_times(list, PATIENCE).map_err(failed)?;
        Ok(found.find_partition(&partition.topic, partition.partition).and_then(|found| match found.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        }))
    }
}
