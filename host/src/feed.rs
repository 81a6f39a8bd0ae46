//! Sends the records of a simulated system to Kafka, at the pace asked for, and waits until each is acknowledged.
//!
//! What `simulate` does, and `demo` for each of the five systems. What the records are is `rillgate_feeds`'s business.

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
use rillgate_feeds::{NaiveDate, Options, Record, System, feed_with};

/// How long a wait goes on before the feed looks at `stop` again.
const SLICE: Duration = Duration::from_millis(100);
/// How long to wait for room where the client's queue is full.
const ROOM: Duration = Duration::from_millis(5);
/// How many records are sent between two looks at what has been acknowledged.
const RECORDS_PER_POLL: u64 = 64;
/// The first days that make timestamps which every reader knows: of four digits, and not before 1970.
const START_YEARS: std::ops::RangeInclusive<i32> = 1970..=9000;

/// What to send, and how fast.
#[derive(Debug, Clone, PartialEq)]
pub struct FeedOptions {
    /// The system to simulate.
    pub system: System,
    /// What the records depend on: seed, first day, size of the fleet.
    pub simulation: Options,
    /// How many records to send; `None` for as many as the system has, without an end for most.
    pub count: Option<u64>,
    /// Records per second. Goes before `speed`.
    pub rate: Option<f64>,
    /// How fast the simulation runs: 1 in real time, 60 a minute each second. With neither `rate` nor `speed`, a feed
    /// that has a `count` is sent as fast as the broker takes it, and any other in real time.
    pub speed: Option<f64>,
    /// How many partitions a topic gets that isn't there yet. Topics that are there stay as they are; librdkafka's mock
    /// cluster can't be asked for topics, so there they have to be.
    pub partitions: i32,
    /// How long to wait for a broker before giving up.
    pub timeout: Duration,
}

impl FeedOptions {
    /// All records of `system`, in real time, to topics of four partitions.
    pub fn new(system: System, seed: u64) -> Self {
        FeedOptions {
            system,
            simulation: Options::seeded(seed),
            count: None,
            rate: None,
            speed: None,
            partitions: 4,
            timeout: Duration::from_secs(10),
        }
    }

    fn check(&self) -> Result<(), FeedError> {
        let wrong = |option, value: String, wanted| Err(FeedError::Option { option, value, wanted });
        for (option, number) in [("rate", self.rate), ("speed", self.speed)] {
            if let Some(number) = number.filter(|number| !(number.is_finite() && *number > 0.0)) {
                return wrong(option, number.to_string(), "a number above 0");
            }
        }
        if self.partitions < 1 {
            return wrong("partitions", self.partitions.to_string(), "1 or more");
        }
        if self.simulation.vehicles < 1 {
            return wrong("vehicles", self.simulation.vehicles.to_string(), "1 or more");
        }
        if !START_YEARS.contains(&year(self.simulation.start)) {
            return wrong("start", self.simulation.start.to_string(), "a day of the years 1970 to 9000");
        }
        Ok(())
    }

    fn pace(&self) -> Pace {
        match (self.rate, self.speed, self.count) {
            (Some(rate), _, _) => Pace::Rate(rate),
            (None, Some(speed), _) => Pace::Speed(speed),
            (None, None, Some(_)) => Pace::FlatOut,
            (None, None, None) => Pace::Speed(1.0),
        }
    }
}

fn year(day: NaiveDate) -> i32 {
    chrono::Datelike::year(&day)
}

/// When each record is sent.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Pace {
    /// As fast as the broker takes them.
    FlatOut,
    /// So many records per second.
    Rate(f64),
    /// When they are due in a simulation that runs so many times as fast as the clock on the wall.
    Speed(f64),
}

impl Pace {
    /// How long after the first record to send the one that comes after `sent` others and is due `due_ms` after the first.
    fn due(self, sent: u64, due_ms: u64) -> Duration {
        let seconds = match self {
            Pace::FlatOut => return Duration::ZERO,
            Pace::Rate(rate) => sent as f64 / rate,
            Pace::Speed(speed) => due_ms as f64 / 1000.0 / speed,
        };
        // Fails only for what is longer than any wait.
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }
}

/// What was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedReport {
    /// Records that the broker has acknowledged, for each topic of the system.
    pub records: IndexMap<&'static str, u64>,
    /// From the first record to the last acknowledgement.
    pub elapsed: Duration,
}

impl FeedReport {
    /// Records of all topics.
    pub fn total(&self) -> u64 {
        self.records.values().sum()
    }
}

/// Why a feed ended before its time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FeedError {
    /// An option that makes no sense.
    #[error("`{option}` is {value}; it has to be {wanted}")]
    Option {
        /// The option's name.
        option: &'static str,
        /// What it was.
        value: String,
        /// What it may be.
        wanted: &'static str,
    },
    /// A property that the Kafka client doesn't take.
    #[error("`{property}` in [kafka] can't be used: {reason}")]
    Property {
        /// The property's name.
        property: String,
        /// What the client says.
        reason: String,
    },
    /// The Kafka client can't be made of these properties, which are all right one by one.
    #[error("the properties in [kafka] can't be used: {0}")]
    Client(String),
    /// No broker answers, or none any more.
    #[error("no Kafka broker answers at {servers}: {reason}; start one there, or set bootstrap.servers in [kafka]")]
    Unreachable {
        /// `bootstrap.servers`.
        servers: String,
        /// What the client says.
        reason: String,
    },
    /// A topic is missing and can't be created.
    #[error("topic `{topic}` can't be created: {reason}; create it beforehand, or ask for the right to")]
    Create {
        /// The topic's name.
        topic: String,
        /// What the broker says.
        reason: String,
    },
    /// The broker refused a record.
    #[error("topic `{topic}` didn't take a record: {reason}")]
    Delivery {
        /// The topic's name.
        topic: &'static str,
        /// What the broker says.
        reason: String,
    },
}

/// Creates the topics that are missing and sends the records, until they are all sent or `stop` is true; returns when
/// each record sent is acknowledged. `progress` is told how many are, every time that it has changed.
///
/// `kafka` are librdkafka's properties. The producer is idempotent whatever they say, so a record that had to be sent
/// again is in its topic once. Blocks: give it a thread that runs no async tasks.
///
/// # Errors
/// See [`FeedError`]. What was acknowledged before the error stays in the topics.
pub fn run(
    kafka: &IndexMap<String, String>,
    options: &FeedOptions,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(u64),
) -> Result<FeedReport, FeedError> {
    options.check()?;
    let mut sender = Sender::open(kafka, options, stop, progress)?;
    sender.create_missing_topics(options.partitions)?;

    let (started, pace) = (Instant::now(), options.pace());
    let mut first_due_ms = None;
    let records = feed_with(options.system, &options.simulation);
    for (sent, record) in (0..options.count.unwrap_or(u64::MAX)).zip(records) {
        let since_first_ms = record.due_ms - *first_due_ms.get_or_insert(record.due_ms);
        sender.wait_until(started, pace.due(sent, since_first_ms))?;
        if sender.stopped() {
            break;
        }
        if sent % RECORDS_PER_POLL == 0 {
            sender.poll(Duration::ZERO)?;
        }
        sender.send(&record)?;
    }
    sender.finish()?;
    Ok(FeedReport { records: sender.deliveries().by_topic(), elapsed: started.elapsed() })
}

/// The producer, and whom it has to look out for.
struct Sender<'a> {
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
    fn open(
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

    fn deliveries(&self) -> &Deliveries {
        self.producer.context()
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Creates the system's topics that the cluster doesn't have, with its default number of replicas.
    fn create_missing_topics(&mut self, partitions: i32) -> Result<(), FeedError> {
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
    fn wait_until(&mut self, started: Instant, due: Duration) -> Result<(), FeedError> {
        loop {
            let left = due.saturating_sub(started.elapsed());
            if left.is_zero() || self.stopped() {
                return Ok(());
            }
            self.poll(left.min(SLICE))?;
        }
    }

    /// Serves the producer for as long as `wait`, then looks at what has become of the records sent.
    fn poll(&mut self, wait: Duration) -> Result<(), FeedError> {
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
    fn send(&mut self, record: &Record) -> Result<(), FeedError> {
        // A feed sends to its system's topics and to no other.
        let index = self.deliveries().topics.iter().position(|topic| *topic == record.topic).unwrap_or_default();
        loop {
            // Without a timestamp: it would be the simulation's, which retention may find too old to keep.
            let message = BaseRecord::with_opaque_to(record.topic, index).key(&record.key).payload(&record.value);
            match self.producer.send(message).map_err(|(error, _)| error.rdkafka_error_code()) {
                Ok(()) => return Ok(()),
                Err(Some(RDKafkaErrorCode::QueueFull)) => self.poll(ROOM)?,
                Err(code) => return Err(self.delivery_error(record.topic, code.unwrap_or(RDKafkaErrorCode::Fail))),
            }
        }
    }

    /// Waits until each record sent is acknowledged; once the feed is stopped, no longer than the time for a broker.
    fn finish(&mut self) -> Result<(), FeedError> {
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
struct Deliveries {
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

    fn by_topic(&self) -> IndexMap<&'static str, u64> {
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
            *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.to_owned());
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

#[cfg(test)]
mod tests;
