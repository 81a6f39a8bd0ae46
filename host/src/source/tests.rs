//! The consumer against the client library's own mock cluster, with an owner whose claims don't all succeed.

use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer as _};

use super::*;

const TOPIC: &str = "claims";
/// Claimed at once, claimed when asked for again, and never claimed.
const PARTITIONS: i32 = 3;
const BOUND: Duration = Duration::from_secs(60);

/// Keeps the queues of what it has claimed.
#[derive(Default)]
struct Hesitant {
    queues: Mutex<Vec<PartitionQueue>>,
    asked: Mutex<Vec<i32>>,
    failures: Mutex<Vec<String>>,
}

impl Owner for Hesitant {
    fn assigned(&self, queues: Vec<PartitionQueue>) -> Vec<(TopicPartition, i64)> {
        let mut asked = self.asked.lock().unwrap();
        let mut starts = Vec::new();
        for queue in queues {
            let number = queue.partition.partition;
            let again = asked.contains(&number);
            asked.push(number);
            if number == 0 || (number == 1 && again) {
                starts.push((queue.partition.clone(), 0));
                self.queues.lock().unwrap().push(queue);
            }
        }
        starts
    }

    fn revoked(&self, _: &[TopicPartition], _: bool) {
        self.queues.lock().unwrap().clear();
    }

    fn wanted(&self) -> Vec<TopicPartition> {
        let asked = self.asked.lock().unwrap();
        let once = |number: i32| asked.iter().filter(|asked| **asked == number).count() == 1;
        let wanted = (1..PARTITIONS).filter(|number| once(*number));
        wanted.map(|partition| TopicPartition { topic: TOPIC.to_owned(), partition }).collect()
    }

    fn failed(&self, error: SourceError) {
        self.failures.lock().unwrap().push(error.to_string());
    }
}

/// The partitions that messages came from, once there are `count` of them.
fn heard_of(owner: &Hesitant, count: usize) -> Vec<i32> {
    let deadline = Instant::now() + BOUND;
    let mut heard = Vec::new();
    while heard.len() < count {
        let failures = owner.failures.lock().unwrap().clone();
        assert!(failures.is_empty() && Instant::now() < deadline, "messages from {heard:?} only; {failures:?}");
        for queue in owner.queues.lock().unwrap().iter_mut() {
            let mut messages = KafkaMessages::new(queue.partition.clone());
            if queue.take(&mut messages, &mut 0, 1, 1).messages > 0 {
                heard.push(queue.partition.partition);
            }
        }
        std::thread::yield_now();
    }
    heard.sort_unstable();
    heard
}

/// A cluster in which each of the partitions has a message of this value, and a consumer of it.
fn cluster(value: &str, partitions: i32, strategy: &str) -> (MockCluster<'static, DefaultProducerContext>, Consumer) {
    let cluster: MockCluster<'static, DefaultProducerContext> = MockCluster::new(1).unwrap();
    cluster.create_topic(TOPIC, partitions, 1).unwrap();
    let servers = cluster.bootstrap_servers();
    let producer: BaseProducer = ClientConfig::new().set("bootstrap.servers", &servers).create().unwrap();
    for partition in 0..partitions {
        let record = BaseRecord::<(), str>::to(TOPIC).partition(partition).payload(value);
        producer.send(record).map_err(|(e, _)| e).unwrap();
    }
    producer.flush(BOUND).unwrap();
    let properties = [("bootstrap.servers", servers.as_str()), ("partition.assignment.strategy", strategy)];
    let consumer = Consumer::connect(SourceOptions {
        properties: properties.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect(),
        group: "group".to_owned(),
        topics: vec![TOPIC.to_owned()],
        start: Start::Earliest,
        on_data_loss: OnDataLoss::Fail,
    });
    (cluster, consumer.unwrap())
}

fn consume_with(strategy: &str) {
    let (_cluster, mut consumer) = cluster("a", PARTITIONS, strategy);
    let owner = Arc::new(Hesitant::default());
    consumer.join(Arc::clone(&owner) as Arc<dyn Owner>).unwrap();
    assert_eq!(heard_of(&owner, 2), [0, 1]);
    // Partition 2 is given back without ever having been fetched.
    consumer.stop();
    assert_eq!(*owner.failures.lock().unwrap(), Vec::<String>::new());
}

/// Hands over the queues of all partitions.
struct Giving(Sender<PartitionQueue>);

impl Owner for Giving {
    fn assigned(&self, queues: Vec<PartitionQueue>) -> Vec<(TopicPartition, i64)> {
        let starts = queues.iter().map(|queue| (queue.partition.clone(), 0)).collect();
        queues.into_iter().for_each(|queue| self.0.send(queue).unwrap());
        starts
    }
    fn revoked(&self, _: &[TopicPartition], _: bool) {}
    fn wanted(&self) -> Vec<TopicPartition> {
        Vec::new()
    }
    fn failed(&self, error: SourceError) {
        panic!("{error}");
    }
}

/// The queues of so many partitions with a message of this value each, by number; and what must be kept for as long as they are.
pub(crate) fn queues(value: &str, partitions: i32) -> (Vec<PartitionQueue>, impl Sized) {
    let (cluster, mut consumer) = cluster(value, partitions, "cooperative-sticky");
    let (give, given) = channel();
    consumer.join(Arc::new(Giving(give))).unwrap();
    let mut queues: Vec<_> = (0..partitions).map(|_| given.recv_timeout(BOUND).unwrap()).collect();
    queues.sort_by_key(|queue| queue.partition.partition);
    (queues, (consumer, cluster))
}

#[test]
fn a_partition_that_could_not_be_claimed_is_taken_later() {
    consume_with("cooperative-sticky");
}
