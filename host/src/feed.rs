//! Sends the records of a simulated system to Kafka, at the pace asked for, and waits until each is acknowledged.
//!
//! What `simulate` does, and `demo` for each simulated system. What the records are is `rillgate_feeds`'s business.

mod avro;
mod sender;

use std::ops::RangeInclusive;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use chrono::Datelike;
use indexmap::IndexMap;
use rillgate_feeds::{Options, System, feed_with};

use crate::registry::{RegistryError, RegistryOptions};
use avro::AvroWriter;
use sender::Sender;

pub use avro::register_schemas;

/// How many records are sent between two looks at what has been acknowledged.
const RECORDS_PER_POLL: u64 = 64;
/// The first days that make timestamps which every reader knows: of four digits, and not before 1970.
const START_YEARS: RangeInclusive<i32> = 1970..=9000;

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
    /// Where the schemas of records go that are Avro.
    pub registry: Option<RegistryOptions>,
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
            registry: None,
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
        if !START_YEARS.contains(&self.simulation.start.year()) {
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
    /// The schema registry can't be asked, or doesn't take a schema.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// Records that are Avro, and no registry for their schemas.
    #[error("the records of topic `{topic}` are Avro: add [schema_registry] with url = \"http://host:8081\"")]
    NoRegistry {
        /// The topic's name.
        topic: &'static str,
    },
    /// A record isn't of its own schema.
    #[error("topic `{topic}`: {reason}")]
    Schema {
        /// The topic's name.
        topic: &'static str,
        /// What is wrong.
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

    let mut avro = AvroWriter::new(options);
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
        let (key, value) = avro.encode(&record)?;
        sender.send(record.topic, &key, &value)?;
    }
    sender.finish()?;
    Ok(FeedReport { records: sender.deliveries().by_topic(), elapsed: started.elapsed() })
}

#[cfg(test)]
mod tests;
