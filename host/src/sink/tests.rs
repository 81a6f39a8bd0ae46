//! The sink against the client library's own mock cluster, which answers the requests of transactions, and fails where it is
//! told to. It fences nobody and forgets the offsets of transactions: that is tested end to end, on Apache Kafka.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, StringArray};
use bytes::Bytes;
use indexmap::IndexMap;
use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{Headers, OwnedMessage};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey as ApiKey, RDKafkaRespErr as Code};

use super::*;
use crate::commit::{Outgoing, TopicsError};
use crate::encode::{Output, RecordWriter, TopicOptions};

const SOURCE: &str = "trips";
const TOPIC: &str = "stations";
const BOUND: Duration = Duration::from_secs(60);

struct Lab {
    cluster: MockCluster<'static, DefaultProducerContext>,
    properties: IndexMap<String, String>,
    sink: Sink,
}

impl Lab {
    fn new() -> Self {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic(SOURCE, 2, 1).unwrap();
        cluster.create_topic(TOPIC, 1, 1).unwrap();
        let properties: IndexMap<_, _> = [("bootstrap.servers".to_owned(), cluster.bootstrap_servers())].into();
        let sink = Sink::new("rides", &properties);
        Self { cluster, properties, sink }
    }

    fn task(&self, partition: i32) -> Arc<dyn Topics> {
        self.sink.task(&TopicPartition { topic: SOURCE.to_owned(), partition })
    }

    /// The first `count` records of the topic.
    fn read(&self, count: usize) -> Vec<OwnedMessage> {
        let mut config: rdkafka::ClientConfig = self.properties.clone().into_iter().collect();
        config.set("group.id", "reader").set("auto.offset.reset", "earliest");
        let consumer: BaseConsumer = config.create().unwrap();
        let mut list = rdkafka::TopicPartitionList::new();
        list.add_partition_offset(TOPIC, 0, rdkafka::Offset::Beginning).unwrap();
        consumer.assign(&list).unwrap();
        let begin = Instant::now();
        let mut found = Vec::new();
        while found.len() < count {
            assert!(begin.elapsed() < BOUND, "{} of {count} records came", found.len());
            if let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) {
                found.push(message.detach());
            }
        }
        found
    }
}

/// A staged file with a record for each station; those that are gone have no value.
fn staged(stations: &[(&str, bool)]) -> Bytes {
    let options = TopicOptions {
        key: vec!["station".to_owned()],
        headers: [("of".to_owned(), "station".to_owned())].into(),
        tombstone: Some("gone".to_owned()),
        ..TopicOptions::new(TOPIC)
    };
    let names: ArrayRef = Arc::new(StringArray::from_iter_values(stations.iter().map(|(name, _)| name)));
    let gone: ArrayRef = Arc::new(BooleanArray::from_iter(stations.iter().map(|(_, gone)| Some(*gone))));
    let batch = RecordBatch::try_from_iter([("station", names), ("gone", gone)]).unwrap();
    let mut writer = RecordWriter::new(&options, &batch.schema()).unwrap();
    let mut out = Vec::new();
    writer.write(&batch, &mut out).unwrap();
    writer.finish(&[], &mut out).unwrap();
    bytes(out)
}

/// Those of the one file.
fn bytes(out: Vec<Output>) -> Bytes {
    let bytes = out.into_iter().filter_map(|output| match output {
        Output::Bytes { bytes, .. } => Some(bytes.to_vec()),
        Output::Closed { .. } => None,
    });
    bytes.flatten().collect::<Vec<u8>>().into()
}

fn outgoing(stations: &[(&str, bool)], mark: &str) -> Outgoing {
    Outgoing { records: vec![(TOPIC.to_owned(), staged(stations))], mark: mark.to_owned(), offset: 7 }
}

#[tokio::test]
async fn records_are_sent_as_they_were_staged() {
    let lab = Lab::new();
    let task = lab.task(1);
    assert_eq!(task.take_over().await.unwrap(), None);
    task.send(outgoing(&[("North", false), ("South", true)], "3 first")).await.unwrap();

    let found = lab.read(2);
    let text = |bytes: Option<&[u8]>| bytes.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap());
    let records: Vec<_> = found.iter().map(|message| (text(message.key()), text(message.payload()))).collect();
    let north = (Some("North".to_owned()), Some("{\"station\":\"North\"}".to_owned()));
    assert_eq!(records, [north, (Some("South".to_owned()), None)]);
    let header = found[0].headers().unwrap().get(0);
    assert_eq!((header.key, text(header.value)), ("of", Some("North".to_owned())));
}

/// Put there by hand: the mock cluster forgets the offsets of transactions.
#[tokio::test]
async fn the_mark_of_the_task_is_found() {
    let lab = Lab::new();
    let mut config: rdkafka::ClientConfig = lab.properties.clone().into_iter().collect();
    config.set("group.id", marks_group("rides"));
    let by_hand: BaseConsumer = config.create().unwrap();
    let mut offsets = rdkafka::TopicPartitionList::new();
    for partition in 0..2 {
        let mut mark = offsets.add_partition(SOURCE, partition);
        mark.set_offset(rdkafka::Offset::Offset(7)).unwrap();
        mark.set_metadata(format!("{partition} a"));
    }
    by_hand.commit(&offsets, rdkafka::consumer::CommitMode::Sync).unwrap();
    for partition in 0..2 {
        let found = lab.task(partition).take_over().await.unwrap();
        assert_eq!(found, Some(format!("{partition} a")));
    }
}

#[tokio::test]
async fn errors_that_pass_are_waited_for() {
    let lab = Lab::new();
    let task = lab.task(0);
    for (turn, (request, error)) in [
        (ApiKey::InitProducerId, Code::RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS),
        (ApiKey::OffsetFetch, Code::RD_KAFKA_RESP_ERR_NOT_COORDINATOR),
        (ApiKey::Produce, Code::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION),
        (ApiKey::AddPartitionsToTxn, Code::RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS),
        (ApiKey::AddOffsetsToTxn, Code::RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE),
        (ApiKey::TxnOffsetCommit, Code::RD_KAFKA_RESP_ERR_NOT_COORDINATOR),
        (ApiKey::EndTxn, Code::RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE),
        // The transaction is void, and begun again.
        (ApiKey::TxnOffsetCommit, Code::RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID),
    ]
    .into_iter()
    .enumerate()
    {
        lab.cluster.request_errors(request, &[error; 2]);
        if turn < 2 {
            let mark = task.take_over().await;
            assert_eq!(mark, Ok(None), "{request:?}");
            continue;
        }
        let sent = task.send(outgoing(&[("North", false)], &format!("{turn} a"))).await;
        sent.unwrap_or_else(|error| panic!("{request:?}: {error}"));
    }
}

#[tokio::test]
async fn a_producer_that_is_fenced_at_the_end_of_its_transaction_leaves_the_rest_to_the_next_claim() {
    let lab = Lab::new();
    let task = lab.task(0);
    task.take_over().await.unwrap();
    lab.cluster.request_errors(ApiKey::EndTxn, &[Code::RD_KAFKA_RESP_ERR_PRODUCER_FENCED]);
    let sent = task.send(outgoing(&[("North", false)], "1 a")).await;
    assert!(matches!(&sent, Err(TopicsError::Again(_))), "{sent:?}");
    let again = task.send(outgoing(&[("North", false)], "1 a")).await;
    assert!(matches!(&again, Err(TopicsError::Again(_))), "only who has taken over sends: {again:?}");
}

#[tokio::test]
async fn what_kafka_refuses_for_good_stops_the_pipeline() {
    let lab = Lab::new();
    let task = lab.task(0);
    task.take_over().await.unwrap();
    lab.cluster.request_errors(ApiKey::Produce, &[Code::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE]);
    let refused = task.send(outgoing(&[("North", false)], "1 a")).await;
    assert!(matches!(&refused, Err(TopicsError::Fatal(reason)) if reason.contains(TOPIC)), "{refused:?}");
    let none = task.send(outgoing(&[("North", false)], "1 a")).await;
    assert!(matches!(&none, Err(TopicsError::Again(_))), "its producer is gone: {none:?}");
    assert_eq!(task.take_over().await.unwrap(), None, "nothing was sent");
}

fn config(pairs: &[(&str, &str)]) -> HashMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn a_topic_is_compared_with_what_was_asked_for() {
    let options = TopicOptions {
        partitions: Some(4),
        config: [("cleanup.policy", "compact,delete"), ("retention.ms", "5")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        ..TopicOptions::new(TOPIC)
    };
    let found = |partitions, pairs| Found { partitions, config: config(pairs) };
    let same = found(6, &[("cleanup.policy", "delete,compact"), ("retention.ms", "5")]);
    assert_eq!(differences(&options, &same), []);
    assert_eq!(differences(&options, &found(4, &[])), [], "a cluster that doesn't tell");
    let other = found(2, &[("cleanup.policy", "delete"), ("retention.ms", "6"), ("max.message.bytes", "2048")]);
    let all = differences(&options, &other);
    let keys: Vec<_> = all.iter().map(|difference| (difference.key.as_str(), difference.is_error)).collect();
    assert_eq!(keys, [("partitions", false), ("config.cleanup.policy", true), ("config.retention.ms", false)]);
    assert_eq!(all[1].message, "topic stations has cleanup.policy = delete, not compact,delete");

    let mut real = options.clone();
    other.apply_to(&mut real, &IndexMap::new());
    assert!(!real.is_compacted() && options.is_compacted());
    assert_eq!(real.max_record_bytes, 1024);
}

/// Whichever takes less, the client or the topic; a little of that is their own.
#[test]
fn a_record_may_be_as_large_as_both_the_client_and_the_topic_take() {
    let record_bytes = |client: Option<&str>, topic: Option<&str>| {
        let properties = client.map(|bytes| ("message.max.bytes".to_owned(), bytes.to_owned())).into_iter().collect();
        let topic: Vec<_> = topic.map(|bytes| ("max.message.bytes", bytes)).into_iter().collect();
        let mut options = TopicOptions::new(TOPIC);
        Found { partitions: 1, config: config(&topic) }.apply_to(&mut options, &properties);
        options.max_record_bytes
    };
    assert_eq!(record_bytes(None, None), 1_000_000 - 1024);
    assert_eq!(record_bytes(None, Some("1048588")), 1_000_000 - 1024, "librdkafka's default");
    assert_eq!(record_bytes(Some("5000"), Some("1048588")), 5000 - 1024);
    assert_eq!(record_bytes(Some("12000000"), Some("1048588")), 1_048_588 - 1024);
    assert_eq!(record_bytes(Some("12000000"), None), 12_000_000 - 1024);
    assert_eq!(record_bytes(Some("1000"), None), 0);
}

/// Found before it is decided, or never sent: the client counts names and lengths, too.
#[tokio::test]
async fn the_largest_record_that_passes_is_sent() {
    let lab = Lab::new();
    let task = lab.task(0);
    task.take_over().await.unwrap();
    let mut options = TopicOptions { key: vec!["station".to_owned()], ..TopicOptions::new(TOPIC) };
    options.headers.insert("n".repeat(5000), "short".to_owned());
    let column = |length: usize| -> ArrayRef { Arc::new(StringArray::from(vec!["x".repeat(length)])) };
    let batch = |length| RecordBatch::try_from_iter([("station", column(length)), ("short", column(1))]).unwrap();
    let mut writer = RecordWriter::new(&options, &batch(0).schema()).unwrap();
    let longest =
        (400_000..500_000).collect::<Vec<_>>().partition_point(|length| writer.check(&batch(*length)).is_ok());
    let largest = batch(400_000 + longest - 1);
    let mut out = Vec::new();
    writer.write(&largest, &mut out).unwrap();
    writer.finish(&[], &mut out).unwrap();
    let outgoing = Outgoing { records: vec![(TOPIC.to_owned(), bytes(out))], mark: "1 a".to_owned(), offset: 7 };
    task.send(outgoing).await.unwrap();
    assert_eq!(lab.read(1)[0].key().map(<[u8]>::len), Some(400_000 + longest - 1));
}

#[test]
fn a_cluster_that_never_tells_its_configuration_is_not_waited_for_long() {
    let lab = Lab::new();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (asked, begin) = (TopicOptions::new(TOPIC), Instant::now());
    let found = create_missing(&lab.properties, &[&asked], runtime.handle(), Duration::from_secs(20)).unwrap();
    assert_eq!(found[TOPIC], Found { partitions: 1, config: HashMap::new() });
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
}
