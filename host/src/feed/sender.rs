//! The producer's side of a feed: topics made, records handed over, acknowledgements counted, errors put into words.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use indexmap::IndexMap;
use rdkafka::ClientContext;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::{ClientConfig, FromClientConfig};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use rillgate_feeds::System;

use super::{FeedError, FeedOptions};

/// How long a wait goes on before the feed looks at `stop` again.
const SLICE: Duration = Duration::from_millis(100);
/// How long to wait for room where the client's queue is full.
const ROOM: Duration = Duration::from_millis(5);

/// The producer, and whom it has to look out for.
pub(super) struct Sender<'a> {
    config: ClientConfig,
    producer: BaseProducer<Deliveries>,
    servers: String,
    timeout: Duration,
    stop: &'a AtomicBool,
    progress: &'a mut dyn FnMut(u64),
    /// What `progress` was told last.
    told: u64,
}

impl<'a> Sender<'a> {
    /// A producer of these properties; talks to no broker yet.
    pub(super) fn open(
        kafka: &IndexMap<String, String>,
        options: &FeedOptions,
        stop: &'a AtomicBool,
        progress: &'a mut dyn FnMut(u64),
    ) -> Result<Self, FeedError> {
        let mut config: ClientConfig = kafka.clone().into_iter().collect();
        config.set("enable.idempotence", "true").set("acks", "all");
        let servers = config.get("bootstrap.servers").unwrap_or("(no bootstrap.servers)").to_owned();
        let producer = config.create_with_context(Deliveries::new(options.system)).map_err(client_error)?;
        Ok(Sender { config, producer, servers, timeout: options.timeout, stop, progress, told: 0 })
    }

    /// What has become of the records sent.
    pub(super) fn deliveries(&self) -> &Deliveries {
        self.producer.context()
    }

    /// Whether the feed is to end.
    pub(super) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Creates the system's topics that the cluster doesn't have, with its default number of replicas.
    pub(super) fn create_missing_topics(&mut self, partitions: i32) -> Result<(), FeedError> {
        let Some(existing) = self.existing_topics()? else { return Ok(()) };
        let missing: Vec<NewTopic> = (self.deliveries().topics.iter())
            .filter(|topic| !existing.iter().any(|name| name == *topic))
            .map(|topic| NewTopic::new(topic, partitions, TopicReplication::Fixed(-1)))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let names = missing.iter().map(|topic| topic.name).collect::<Vec<_>>().join(", ");
        let failed = |topic: String, reason: String| FeedError::Create { topic, reason };

        let admin = AdminClient::<DefaultClientContext>::from_config(&self.config).map_err(client_error)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .map_err(|error| failed(names.clone(), error.to_string()))?;
        let options = AdminOptions::new().request_timeout(Some(self.timeout));
        match runtime.block_on(admin.create_topics(&missing, &options)) {
            Ok(results) => {
                for result in results {
                    match result {
                        // Somebody else has just done it.
                        Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                        Err((topic, code)) => return Err(failed(topic, code.to_string())),
                    }
                }
                Ok(())
            }
            Err(KafkaError::AdminOp(code)) => Err(failed(names, code.to_string())),
            Err(error) => Err(failed(names, error.to_string())),
        }
    }

    /// The names of all topics of the cluster; `None` where the feed was stopped before a broker answered.
    fn existing_topics(&mut self) -> Result<Option<Vec<String>>, FeedError> {
        let started = Instant::now();
        loop {
            let error = match self.producer.client().fetch_metadata(None, self.timeout.min(10 * SLICE)) {
                Ok(metadata) => {
                    return Ok(Some(metadata.topics().iter().map(|topic| topic.name().to_owned()).collect()));
                }
                Err(error) => error,
            };
            // The reasons come with the events.
            self.producer.poll(SLICE.min(self.timeout));
            if self.stopped() {
                return Ok(None);
            }
            if started.elapsed() >= self.timeout {
                let reason = self.deliveries().trouble().unwrap_or_else(|| error.to_string());
                return Err(FeedError::Unreachable { servers: self.servers.clone(), reason });
            }
        }
    }

    /// Serves the producer until `due` after `started`, or until the feed is stopped.
    pub(super) fn wait_until(&mut self, started: Instant, due: Duration) -> Result<(), FeedError> {
        loop {
            let left = due.saturating_sub(started.elapsed());
            if left.is_zero() || self.stopped() {
                return Ok(());
            }
            self.poll(left.min(SLICE))?;
        }
    }

    /// Serves the producer for as long as `wait`, then looks at what has become of the records sent.
    pub(super) fn poll(&mut self, wait: Duration) -> Result<(), FeedError> {
        self.producer.poll(wait);
        let deliveries = self.producer.context();
        if let Some((topic, code)) = deliveries.failure.get() {
            return Err(self.delivery_error(topic, *code));
        }
        let acknowledged = deliveries.total();
        if acknowledged != self.told {
            self.told = acknowledged;
            (self.progress)(acknowledged);
        }
        Ok(())
    }

    /// Hands one record to the producer, as soon as it has room.
    pub(super) fn send(&mut self, topic: &'static str, key: &[u8], value: &[u8]) -> Result<(), FeedError> {
        // A feed sends to its system's topics and to no other.
        let index = self.deliveries().topics.iter().position(|name| *name == topic).unwrap_or_default();
        loop {
            // Without a timestamp: it would be the simulation's, which retention may find too old to keep.
            let message = BaseRecord::with_opaque_to(topic, index).key(key).payload(value);
            match self.producer.send(message).map_err(|(error, _)| error.rdkafka_error_code()) {
                Ok(()) => return Ok(()),
                Err(Some(RDKafkaErrorCode::QueueFull)) => self.poll(ROOM)?,
                Err(code) => return Err(self.delivery_error(topic, code.unwrap_or(RDKafkaErrorCode::Fail))),
            }
        }
    }

    /// Waits until each record sent is acknowledged; once the feed is stopped, no longer than the time for a broker.
    pub(super) fn finish(&mut self) -> Result<(), FeedError> {
        let mut stopped = None;
        while self.producer.in_flight_count() > 0 {
            self.poll(ROOM)?;
            if self.stopped() && stopped.get_or_insert_with(Instant::now).elapsed() >= self.timeout {
                let reason = format!("{} records were never acknowledged", self.producer.in_flight_count());
                return Err(FeedError::Unreachable { servers: self.servers.clone(), reason });
            }
        }
        self.poll(Duration::ZERO)
    }

    fn delivery_error(&self, topic: &'static str, code: RDKafkaErrorCode) -> FeedError {
        let reason = self.deliveries().trouble().map_or(code.to_string(), |trouble| format!("{code} ({trouble})"));
        match code {
            RDKafkaErrorCode::MessageTimedOut => FeedError::Unreachable { servers: self.servers.clone(), reason },
            _ => FeedError::Delivery { topic, reason },
        }
    }
}

/// Why no client could be made. Tells a value only where it is none of a choice or a range, which no secret is.
fn client_error(error: KafkaError) -> FeedError {
    match error {
        KafkaError::ClientConfig(_, reason, property, _) => FeedError::Property { property, reason },
        other => FeedError::Client(other.to_string()),
    }
}

/// What has become of the records sent, as the producer's events tell it.
pub(super) struct Deliveries {
    topics: &'static [&'static str],
    /// Acknowledged records of each topic.
    acknowledged: Vec<AtomicU64>,
    /// The first record that wasn't delivered: its topic, and why.
    failure: OnceLock<(&'static str, RDKafkaErrorCode)>,
    /// What the client complained about last.
    trouble: Mutex<Option<String>>,
}

impl Deliveries {
    fn new(system: System) -> Self {
        let topics = system.topics();
        Deliveries {
            topics,
            acknowledged: topics.iter().map(|_| AtomicU64::new(0)).collect(),
            failure: OnceLock::new(),
            trouble: Mutex::new(None),
        }
    }

    /// How many records of each topic are acknowledged.
    pub(super) fn by_topic(&self) -> IndexMap<&'static str, u64> {
        let counts = self.acknowledged.iter().map(|count| count.load(Ordering::Relaxed));
        self.topics.iter().copied().zip(counts).collect()
    }

    fn total(&self) -> u64 {
        self.acknowledged.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ClientContext for Deliveries {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, "{reason}");
        // "1/1 brokers are down" says less than what was said of the broker before.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            // "... (after 0ms in state CONNECT, 1 identical error(s) suppressed)"
            let reason = reason.split(" (after ").next().unwrap_or(reason).to_owned();
            *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
        }
    }
}

impl ProducerContext for Deliveries {
    /// Index of the record's topic in `topics`.
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, topic: usize) {
        match result {
            Ok(_) => {
                self.acknowledged[topic].fetch_add(1, Ordering::Relaxed);
            }
            Err((error, _)) => {
                let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
                // Only the first counts; the others mostly follow from it.
                let _ = self.failure.set((self.topics[topic], code));
            }
        }
    }
}
