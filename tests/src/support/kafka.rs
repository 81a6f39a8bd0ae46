//! Topics and records on a real Kafka.

use std::collections::HashSet;
use std::ffi::CString;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Header, Headers as _, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer};
use rdkafka::{Offset, TopicPartitionList};

use super::servers::servers;
use super::store::runtime;
use super::wait::until;

const TIMEOUT: Duration = Duration::from_secs(60);

/// A cluster, by the properties that reach it.
#[derive(Debug, Clone)]
pub struct Cluster {
    properties: Vec<(String, String)>,
}

impl Cluster {
    /// The cluster behind `bootstrap`, without authentication.
    pub fn at(bootstrap: &str) -> Self {
        Self { properties: vec![("bootstrap.servers".to_owned(), bootstrap.to_owned())] }
    }

    /// The shared cluster, by its plain listener.
    pub fn shared() -> Self {
        Self::at(&servers().kafka)
    }

    /// The shared cluster, by its listener that wants SASL, with this password.
    pub fn shared_sasl(mechanism: &str, password: &str) -> Self {
        Self::at(&servers().kafka_sasl)
            .with("security.protocol", "SASL_PLAINTEXT")
            .with("sasl.mechanism", mechanism)
            .with("sasl.username", &servers().kafka_user)
            .with("sasl.password", password)
    }

    /// With one more property of librdkafka.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.properties.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The section `[kafka]` for the host. A consumer that is killed is missed after two seconds, not after 45.
    pub fn toml(&self) -> String {
        let quick = Self::clone(self)
            .with("session.timeout.ms", "2000")
            .with("heartbeat.interval.ms", "500")
            .with("topic.metadata.refresh.interval.ms", "1000");
        let lines: Vec<String> =
            quick.properties.iter().map(|(name, value)| format!("\"{name}\" = \"{value}\"\n")).collect();
        format!("[kafka]\n{}", lines.concat())
    }

    /// Makes a topic with properties of its own (`retention.ms`, `cleanup.policy` ...). Returns when the broker tells of it, which is
    /// a moment later than that it is made.
    pub fn create_topic(&self, name: &str, partitions: i32, properties: &[(&str, &str)]) {
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        for (name, value) in properties {
            topic = topic.set(name, value);
        }
        let results = runtime().block_on(self.admin().create_topics([&topic], &AdminOptions::new()));
        results.unwrap().remove(0).unwrap();
        let consumer: BaseConsumer = self.config().create().unwrap();
        until(TIMEOUT, name, || {
            let metadata = consumer.fetch_metadata(Some(name), TIMEOUT).ok()?;
            let told = metadata.topics().iter().find(|topic| topic.name() == name && topic.error().is_none())?;
            (told.partitions().len() == partitions as usize).then_some(())
        });
    }

    /// Removes a topic and everything in it.
    pub fn delete_topic(&self, name: &str) {
        let results = runtime().block_on(self.admin().delete_topics(&[name], &AdminOptions::new()));
        results.unwrap().remove(0).unwrap();
    }

    /// Removes the records of partition 0 before this offset, as retention would.
    pub fn delete_records_before(&self, topic: &str, offset: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, 0, Offset::Offset(offset)).unwrap();
        let results = runtime().block_on(self.admin().delete_records(&list, &AdminOptions::new())).unwrap();
        results.elements().iter().for_each(|element| element.error().unwrap());
    }

    /// Sends values to partition 0 in one transaction, which is committed or aborted: its marker takes an offset of its own.
    pub fn send_transaction(&self, topic: &str, values: &[&str], commit: bool) {
        let mut config = self.config();
        config.set("transactional.id", super::servers::unique("transactional"));
        let producer: BaseProducer = config.create().unwrap();
        producer.init_transactions(TIMEOUT).unwrap();
        producer.begin_transaction().unwrap();
        for value in values {
            producer
                .send(BaseRecord::<(), str>::to(topic).partition(0).payload(value))
                .map_err(|(error, _)| error)
                .unwrap();
        }
        producer.flush(TIMEOUT).unwrap();
        if commit { producer.commit_transaction(TIMEOUT) } else { producer.abort_transaction(TIMEOUT) }.unwrap();
    }

    /// The offset after the last record of a partition.
    pub fn end_offset(&self, topic: &str, partition: i32) -> i64 {
        let consumer: BaseConsumer = self.config().create().unwrap();
        // Of a topic that has just been made brokers may not know the leader yet.
        until(TIMEOUT, "where the partition ends", || consumer.fetch_watermarks(topic, partition, TIMEOUT).ok()).1
    }

    /// How far a consumer group has come.
    pub fn committed_offset(&self, group: &str, topic: &str, partition: i32) -> Option<i64> {
        let mut config = self.config();
        config.set("group.id", group);
        let consumer: BaseConsumer = config.create().unwrap();
        let mut list = TopicPartitionList::new();
        list.add_partition(topic, partition);
        let found = consumer.committed_offsets(list, TIMEOUT).unwrap();
        found.find_partition(topic, partition)?.offset().to_raw().filter(|offset| *offset >= 0)
    }

    /// Whether there is a topic of this name.
    pub fn has_topic(&self, name: &str) -> bool {
        let consumer: BaseConsumer = self.config().create().unwrap();
        let metadata = consumer.fetch_metadata(None, TIMEOUT).unwrap();
        metadata.topics().iter().any(|topic| topic.name() == name)
    }

    /// Everything that a reader of committed records finds in a topic.
    pub fn read_committed(&self, topic: &str) -> Vec<Received> {
        let mut config = self.config();
        config.set("group.id", super::servers::unique("reader")).set("isolation.level", "read_committed");
        config.set("enable.partition.eof", "true").set("enable.auto.commit", "false");
        let consumer: BaseConsumer = config.create().unwrap();
        let metadata = consumer.fetch_metadata(Some(topic), TIMEOUT).unwrap();
        let partitions: Vec<i32> = metadata.topics()[0].partitions().iter().map(|partition| partition.id()).collect();
        let mut list = TopicPartitionList::new();
        for partition in &partitions {
            list.add_partition_offset(topic, *partition, Offset::Beginning).unwrap();
        }
        consumer.assign(&list).unwrap();
        let (mut found, mut ended) = (Vec::new(), HashSet::new());
        while ended.len() < partitions.len() {
            match consumer.poll(TIMEOUT).expect("records, or the end of a partition") {
                Ok(message) => found.push(Received::of(&message)),
                Err(KafkaError::PartitionEOF(partition)) => drop(ended.insert(partition)),
                Err(error) => panic!("{topic}: {error}"),
            }
        }
        found
    }

    /// Reads a topic from its beginning, committed records only, and goes on as more come.
    pub fn follow_committed(&self, topic: &str) -> Following {
        let mut config = self.config();
        config.set("group.id", super::servers::unique("reader")).set("isolation.level", "read_committed");
        config.set("auto.offset.reset", "error").set("enable.auto.commit", "false");
        let consumer: BaseConsumer = config.create().unwrap();
        let metadata = consumer.fetch_metadata(Some(topic), TIMEOUT).unwrap();
        let mut list = TopicPartitionList::new();
        for partition in metadata.topics()[0].partitions() {
            list.add_partition_offset(topic, partition.id(), Offset::Beginning).unwrap();
        }
        consumer.assign(&list).unwrap();
        Following { consumer }
    }

    /// How many members of a consumer group have partitions now, if the group is not about to share them out anew.
    pub fn members_with_partitions(&self, group: &str) -> usize {
        let consumer: BaseConsumer = self.config().create().unwrap();
        let Ok(groups) = consumer.client().fetch_group_list(Some(group), TIMEOUT) else { return 0 };
        let stable = groups.groups().iter().find(|found| found.name() == group && found.state() == "Stable");
        // An assignment of no partitions is ten bytes: version, a count of zero topics, no user data.
        let holds = |assignment: Option<&[u8]>| assignment.is_some_and(|bytes| bytes.len() > 10);
        stable.map_or(0, |group| group.members().iter().filter(|member| holds(member.assignment())).count())
    }

    /// A producer.
    pub fn producer(&self) -> Producer {
        let failed = Arc::new(AtomicU64::new(0));
        let mut config = self.config();
        // What the topic holds must be what was sent, each once, or the tests would blame the host.
        config.set("enable.idempotence", "true").set("linger.ms", "5").set("queue.buffering.max.messages", "500000");
        let inner = config.create_with_context(Failures(Arc::clone(&failed))).unwrap();
        let servers = CString::new(config.get("bootstrap.servers").unwrap()).unwrap();
        Producer { inner, failed, servers }
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.config().create().unwrap()
    }

    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.extend(self.properties.iter().cloned());
        config
    }
}

/// A reader that stays.
pub struct Following {
    consumer: BaseConsumer,
}

impl Following {
    /// The next record, if one comes within `bound`. A broker that is away is waited for.
    pub fn next(&self, bound: Duration) -> Option<Received> {
        match self.consumer.poll(bound)? {
            Ok(message) => Some(Received::of(&message)),
            Err(KafkaError::MessageConsumption(error)) if error != RDKafkaErrorCode::AutoOffsetReset => None,
            Err(error) => panic!("{error}"),
        }
    }
}

/// One record that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Where it was.
    pub partition: i32,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value.
    pub value: Option<Vec<u8>>,
    /// Its timestamp.
    pub timestamp_ms: Option<i64>,
    /// Names and values of its headers.
    pub headers: Vec<(String, Vec<u8>)>,
}

impl Received {
    fn of(message: &BorrowedMessage<'_>) -> Self {
        let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
        let headers = headers.map(|header| (header.key.to_owned(), header.value.unwrap_or_default().to_vec()));
        Self {
            partition: message.partition(),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            timestamp_ms: message.timestamp().to_millis(),
            headers: headers.collect(),
        }
    }
}

/// One record to send.
#[derive(Debug, Clone, Copy, Default)]
pub struct Record<'a> {
    /// Where to; by hash of the key where it is not given.
    pub partition: Option<i32>,
    /// Null where it is not given.
    pub key: Option<&'a [u8]>,
    /// Null where it is not given.
    pub value: Option<&'a [u8]>,
    /// In order.
    pub headers: &'a [(&'a str, Option<&'a [u8]>)],
    /// Milliseconds since 1970-01-01T00:00:00Z; now where it is not given.
    pub timestamp_ms: Option<i64>,
}

/// Sends records, each exactly once and, within a partition, in order.
pub struct Producer {
    inner: ThreadedProducer<Failures>,
    failed: Arc<AtomicU64>,
    servers: CString,
}

impl Producer {
    /// Hands a record over; waits only while the queue is full.
    pub fn send(&self, topic: &str, record: &Record<'_>) {
        let mut message: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(topic);
        message.partition = record.partition;
        message.key = record.key;
        message.payload = record.value;
        message.timestamp = record.timestamp_ms;
        if !record.headers.is_empty() {
            let add =
                |all: OwnedHeaders, (key, value): &(&str, Option<&[u8]>)| all.insert(Header { key, value: *value });
            message.headers = Some(record.headers.iter().fold(OwnedHeaders::new(), add));
        }
        loop {
            match self.inner.send(message) {
                Ok(()) => return,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    self.inner.poll(Duration::from_millis(20));
                    message = back;
                }
                Err((error, _)) => panic!("{topic}: {error}"),
            }
        }
    }

    /// Returns when the broker has everything; panics if something was lost on the way.
    pub fn flush(&self) {
        let deadline = Instant::now() + TIMEOUT;
        while let Err(error) = self.inner.flush(TIMEOUT / 6) {
            assert!(Instant::now() < deadline, "{error}");
            // librdkafka may have lost sight of a broker that was restarted, for good.
            // SAFETY: the client is alive, and the list is a C string that it copies.
            unsafe { rdkafka::bindings::rd_kafka_brokers_add(self.inner.client().native_ptr(), self.servers.as_ptr()) };
        }
        assert_eq!(self.failed.load(Ordering::Relaxed), 0, "records that the broker did not take");
    }
}

struct Failures(Arc<AtomicU64>);

impl rdkafka::ClientContext for Failures {}

impl ProducerContext for Failures {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if result.is_err() {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}
