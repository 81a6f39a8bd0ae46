//! What librdkafka knows of its properties and of a cluster, for whoever checks a configuration. No data comes by here.

use std::ffi::CStr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indexmap::IndexMap;
use rdkafka::ClientContext;
use rdkafka::bindings;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::RDKafkaConfRes;

/// Why librdkafka doesn't take a property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PropertyError {
    /// It has no such property.
    Unknown,
    /// It doesn't take the value, says librdkafka. The text may hold the value.
    Invalid(String),
}

/// Whether librdkafka takes the property. Connects to nothing.
pub fn check_property(name: &str, value: &str) -> Result<(), PropertyError> {
    match ClientConfig::new().set(name, value).create_native_config() {
        Ok(_) => Ok(()),
        Err(KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..)) => Err(PropertyError::Unknown),
        Err(KafkaError::ClientConfig(_, reason, ..)) => Err(PropertyError::Invalid(reason)),
        Err(other) => Err(PropertyError::Invalid(other.to_string())),
    }
}

/// Properties that people set and that have no value by default, so that librdkafka doesn't list them.
const UNLISTED: [&str; 9] = [
    "bootstrap.servers",
    "sasl.password",
    "sasl.username",
    "ssl.ca.location",
    "ssl.ca.pem",
    "ssl.certificate.location",
    "ssl.key.location",
    "ssl.key.password",
    "statistics.interval.ms",
];

/// The names of librdkafka's properties, to find what a mistyped one may have meant.
pub fn property_names() -> Vec<String> {
    let Ok(config) = ClientConfig::new().create_native_config() else { return Vec::new() };
    let mut count = 0;
    // SAFETY: the configuration outlives the call. What it returns is an array of `count` C strings, names and values in
    // turn, that are ours until they are freed; they are copied before that.
    unsafe {
        let dump = bindings::rd_kafka_conf_dump(config.ptr(), &mut count);
        let listed = (0..count).step_by(2).map(|at| CStr::from_ptr(*dump.add(at)).to_string_lossy().into_owned());
        let names = listed.chain(UNLISTED.map(str::to_owned)).collect();
        bindings::rd_kafka_conf_dump_free(dump, count);
        names
    }
}

/// Something that keeps a cluster from being read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProbeError {
    /// The client can't be made of these properties, or no broker answers it, or the broker refuses it.
    Cluster(String),
    /// The cluster answers, but this topic can't be read.
    Topic {
        /// The topic.
        topic: String,
        /// What the cluster says about it.
        reason: String,
    },
}

/// Asks the cluster about the topics; waits at most `timeout` for each answer. No error means that all of them can be
/// read.
pub fn probe(properties: &IndexMap<String, String>, topics: &[String], timeout: Duration) -> Vec<ProbeError> {
    let mut config: ClientConfig = properties.clone().into_iter().collect();
    // Asking for a topic must not make it.
    config.set("allow.auto.create.topics", "false").set_log_level(RDKafkaLogLevel::Emerg);
    let consumer: BaseConsumer<Errors> = match config.create_with_context(Errors::default()) {
        Ok(consumer) => consumer,
        Err(error) => return vec![ProbeError::Cluster(error.to_string())],
    };
    let mut found = Vec::new();
    for topic in topics {
        let reason = match consumer.fetch_metadata(Some(topic), timeout) {
            Ok(metadata) => match metadata.topics().iter().find(|known| known.name() == topic) {
                Some(known) => known.error().map(|code| rdkafka::error::RDKafkaErrorCode::from(code).to_string()),
                None => Some("the cluster does not know it".to_owned()),
            },
            // The reason (a refused password, a name that can't be resolved) comes by another way than the time-out.
            Err(error) => return vec![ProbeError::Cluster(why(&consumer, &error))],
        };
        found.extend(reason.map(|reason| ProbeError::Topic { topic: topic.clone(), reason }));
    }
    found
}

/// What the client's own events say about the failure, in the order in which they came, each once.
fn why(consumer: &BaseConsumer<Errors>, error: &KafkaError) -> String {
    let end = Instant::now() + Duration::from_millis(500);
    let seen = &consumer.context().0;
    // Events are handed over by polling. One is enough; the others are likely to be the same again.
    while Instant::now() < end && seen.lock().is_ok_and(|seen| seen.is_empty()) {
        let _ = consumer.poll(Duration::from_millis(50));
    }
    let seen = seen.lock().map(|seen| seen.clone()).unwrap_or_default();
    if seen.is_empty() { error.to_string() } else { seen.join("; ") }
}

/// Keeps what librdkafka reports, a few lines of it.
#[derive(Default)]
struct Errors(Mutex<Vec<String>>);

impl ClientContext for Errors {
    fn error(&self, error: KafkaError, reason: &str) {
        if let Ok(mut seen) = self.0.lock() {
            let text = format!("{error}: {reason}");
            if seen.len() < 4 && !seen.contains(&text) {
                seen.push(text);
            }
        }
    }
    fn log(&self, _: RDKafkaLogLevel, _: &str, _: &str) {}
}

impl ConsumerContext for Errors {}

/// A broker inside this process, for the demo: librdkafka's own. It forgets what is beyond 5 MB in a partition.
pub struct EmbeddedBroker {
    servers: String,
    cluster: MockCluster<'static, DefaultProducerContext>,
}

impl EmbeddedBroker {
    /// Starts one on a free port of localhost, with these topics.
    ///
    /// # Errors
    /// librdkafka can't start it, in words.
    pub fn start(topics: &[&str], partitions: i32) -> Result<Self, String> {
        let cluster = MockCluster::new(1).map_err(|error| format!("embedded broker: {error}"))?;
        let broker = Self { servers: cluster.bootstrap_servers(), cluster };
        topics.iter().try_for_each(|topic| broker.create_topic(topic, partitions))?;
        Ok(broker)
    }

    /// Makes one more topic.
    ///
    /// # Errors
    /// There is one of that name, most likely.
    pub fn create_topic(&self, topic: &str, partitions: i32) -> Result<(), String> {
        let created = self.cluster.create_topic(topic, partitions, 1);
        created.map_err(|error| format!("embedded broker: topic {topic}: {error}"))
    }

    /// Its `bootstrap.servers`.
    pub fn servers(&self) -> &str {
        &self.servers
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdkafka::mocking::MockCluster;

    #[test]
    fn properties_are_checked_without_a_broker() {
        assert_eq!(check_property("bootstrap.servers", "a:1"), Ok(()));
        assert_eq!(check_property("bootstrap.server", "a:1"), Err(PropertyError::Unknown));
        let invalid = check_property("session.timeout.ms", "soon").unwrap_err();
        assert!(
            matches!(&invalid, PropertyError::Invalid(reason) if reason.contains("session.timeout.ms")),
            "{invalid:?}"
        );
        let names = property_names();
        assert!(names.iter().any(|name| name == "session.timeout.ms"), "{names:?}");
    }

    fn properties(servers: &str) -> IndexMap<String, String> {
        [("bootstrap.servers", servers)].map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect()
    }

    #[test]
    fn acluster_is_asked_for_its_topics() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("there", 2, 1).unwrap();
        let topics = ["there".to_owned(), "not-there".to_owned()];
        let found = probe(&properties(&cluster.bootstrap_servers()), &topics, Duration::from_secs(10));
        assert!(matches!(&found[..], [ProbeError::Topic { topic, .. }] if topic == "not-there"), "{found:?}");
    }

    #[test]
    fn no_broker_is_an_error_that_says_why() {
        // Port 1 of this machine: nobody listens there.
        let found = probe(&properties("127.0.0.1:1"), &["x".to_owned()], Duration::from_secs(2));
        assert!(matches!(&found[..], [ProbeError::Cluster(reason)] if reason.contains("127.0.0.1:1")), "{found:?}");
    }
}
