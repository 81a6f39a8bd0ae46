//! Records sent one by one as they are, outside of any transaction.

use std::time::{Duration, Instant};

use indexmap::IndexMap;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::client::{self, Events};
use super::topics::SinkError;

/// How long Kafka may take for a number of records, and for a little room.
const PATIENCE: Duration = Duration::from_secs(60);
const ROOM: Duration = Duration::from_millis(5);

/// A record as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawRecord {
    /// Where it goes.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub timestamp_ms: Option<i64>,
    /// The key's bytes.
    pub key: Option<Vec<u8>>,
    /// The value's bytes.
    pub value: Option<Vec<u8>>,
    /// Names and values of the headers.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

/// An idempotent producer: what it sends comes once, in order, as long as it lives.
pub struct RawProducer {
    producer: BaseProducer<Events>,
}

impl RawProducer {
    /// Talks to no broker yet.
    ///
    /// # Errors
    /// Properties that librdkafka doesn't take.
    pub fn new(properties: &IndexMap<String, String>) -> Result<Self, SinkError> {
        let made = client::idempotent(properties).create_with_context(Events::default());
        Ok(Self { producer: made.map_err(|error: KafkaError| SinkError::Property(error.to_string()))? })
    }

    /// Sends records, and waits until Kafka has all of them. Blocks.
    ///
    /// # Errors
    /// One that Kafka didn't take. Others may be there then.
    pub fn send(&self, records: impl Iterator<Item = RawRecord>) -> Result<(), SinkError> {
        let producer = &self.producer;
        producer.context().begin();
        let deadline = Instant::now() + PATIENCE;
        for record in records {
            let mut all = OwnedHeaders::new_with_capacity(record.headers.len());
            for (key, value) in &record.headers {
                all = all.insert(Header { key, value: value.as_deref() });
            }
            let mut next: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(&record.topic).partition(record.partition);
            next.headers = Some(all);
            next.timestamp = record.timestamp_ms;
            next.key = record.key.as_deref();
            next.payload = record.value.as_deref();
            while let Err((error, back)) = producer.send(next) {
                if !matches!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)) {
                    return Err(SinkError::Undelivered { topic: record.topic.clone(), reason: error.to_string() });
                }
                self.serve(&record.topic, deadline)?;
                next = back;
            }
        }
        while producer.in_flight_count() > 0 {
            self.serve("the pipeline's", deadline)?;
        }
        self.serve("the pipeline's", deadline)
    }

    fn serve(&self, topic: &str, deadline: Instant) -> Result<(), SinkError> {
        self.producer.poll(ROOM);
        let events = self.producer.context();
        if let Some((topic, code)) = events.undelivered() {
            return Err(SinkError::Undelivered { topic, reason: code.to_string() });
        }
        if Instant::now() > deadline {
            let reason = events.explain("Kafka doesn't take them");
            return Err(SinkError::Undelivered { topic: topic.to_owned(), reason });
        }
        Ok(())
    }
}
