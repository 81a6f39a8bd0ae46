//! Which epoch each task has sent last: the metadata of an offset, committed in the transaction that sent it.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::Offset;

use super::Secret;
use super::client::{self, Events, Failure, lock};
use crate::source::TopicPartition;

/// How long one question may take.
const ANSWER: Duration = Duration::from_secs(10);
/// How long to wait for a transaction that is about to end.
const SOON: Duration = Duration::from_millis(20);

/// The marks of a pipeline's tasks. One client for all of them, made when it is needed first.
#[derive(Debug)]
pub(super) struct Marks {
    group: String,
    config: ClientConfig,
    reader: Mutex<Option<Reader>>,
}

#[derive(Clone)]
struct Reader(Arc<BaseConsumer<Events>>);

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reader")
    }
}

impl Marks {
    pub(super) fn new(group: String, properties: &Secret) -> Self {
        Self { config: client::reader(properties, &group), group, reader: Mutex::default() }
    }

    fn reader(&self) -> Result<Reader, Failure> {
        let mut reader = lock(&self.reader);
        if let Some(reader) = &*reader {
            return Ok(reader.clone());
        }
        let made = self.config.create_with_context(Events::default());
        let made: BaseConsumer<Events> = made.map_err(|error| Failure::Refused(error.to_string()))?;
        Ok(reader.insert(Reader(Arc::new(made))).clone())
    }

    /// The mark of a task. Blocks until `deadline`, at most: an open transaction may be about to change it.
    pub(super) fn read(&self, partition: &TopicPartition, deadline: Instant) -> Result<Option<String>, Failure> {
        let Reader(reader) = self.reader()?;
        loop {
            // Errors of brokers are events: they arrive only when polled for.
            let _ = reader.poll(Duration::ZERO);
            let mut list = TopicPartitionList::new();
            list.add_partition(&partition.topic, partition.partition);
            let error = match reader.committed_offsets(list, ANSWER) {
                Ok(found) => match found.find_partition(&partition.topic, partition.partition) {
                    Some(found) => match found.error() {
                        Ok(()) => return Ok(mark(found.offset(), found.metadata())),
                        Err(error) => error,
                    },
                    None => KafkaError::OffsetFetch(RDKafkaErrorCode::UnknownPartition),
                },
                Err(error) => error,
            };
            let reason = reader.context().explain(&format!("offsets of group {}: {error}", self.group));
            if error.rdkafka_error_code().is_some_and(client::is_refusal) {
                return Err(Failure::Refused(reason));
            }
            if Instant::now() > deadline {
                // It may have lost sight of the brokers for good: whoever asks next asks by another.
                *lock(&self.reader) = None;
                return Err(Failure::Over(reason));
            }
            std::thread::sleep(SOON);
        }
    }

    /// What a transaction needs to commit a mark.
    pub(super) fn group(&self) -> Result<ConsumerGroupMetadata, Failure> {
        let group = self.reader()?.0.group_metadata();
        group.ok_or_else(|| Failure::Over(format!("no metadata of group {}", self.group)))
    }
}

/// The mark in an offset's metadata. Tools that set offsets leave none there, or something of their own.
fn mark(offset: Offset, metadata: &str) -> Option<String> {
    let (sequence, attempt) = metadata.split_once(' ')?;
    let is_ours = matches!(offset, Offset::Offset(_)) && sequence.parse::<u64>().is_ok() && !attempt.is_empty();
    is_ours.then(|| metadata.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_we_wrote_is_a_mark() {
        assert_eq!(mark(Offset::Offset(7), "12 a1b2").as_deref(), Some("12 a1b2"));
        for (offset, metadata) in [
            (Offset::Invalid, "12 a"),
            (Offset::Offset(7), ""),
            (Offset::Offset(7), "by hand"),
            (Offset::Offset(7), "12 "),
        ] {
            assert_eq!(mark(offset, metadata), None, "{offset:?} {metadata}");
        }
    }
}
