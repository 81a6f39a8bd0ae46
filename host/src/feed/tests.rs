//! Tests of the runner against the client library's own mock cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use apache_avro::reader::datum::GenericDatumReader;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use rdkafka::{Offset, TopicPartitionList};
use rillgate_feeds::{NaiveDate, feed};

use tokio::runtime::Runtime;

use super::*;
use crate::registry::{EmbeddedRegistry, Registry};

type Cluster = MockCluster<'static, DefaultProducerContext>;
/// Key and value.
type Content = (Vec<u8>, Vec<u8>);

const PARTITIONS: i32 = 2;

fn cluster(system: System) -> (Cluster, IndexMap<String, String>) {
    let cluster = MockCluster::new(1).unwrap();
    for topic in system.topics() {
        cluster.create_topic(topic, PARTITIONS, 1).unwrap();
    }
    let kafka = properties(&[("bootstrap.servers", &cluster.bootstrap_servers())]);
    (cluster, kafka)
}

fn properties(properties: &[(&str, &str)]) -> IndexMap<String, String> {
    properties.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

fn counted(system: System, count: u64) -> FeedOptions {
    FeedOptions { count: Some(count), ..FeedOptions::new(system, 42) }
}

fn run_to_the_end(kafka: &IndexMap<String, String>, options: &FeedOptions) -> Result<FeedReport, FeedError> {
    run(kafka, options, &AtomicBool::new(false), &mut |_| {})
}

/// The first `count` records in the system's topics, sorted within each topic.
fn consume(kafka: &IndexMap<String, String>, system: System, count: usize) -> BTreeMap<String, Vec<Content>> {
    let mut config: ClientConfig = kafka.clone().into_iter().collect();
    let consumer: BaseConsumer = config.set("group.id", "tests").create().unwrap();
    let mut partitions = TopicPartitionList::new();
    for topic in system.topics() {
        for partition in 0..PARTITIONS {
            partitions.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
        }
    }
    consumer.assign(&partitions).unwrap();
    let mut topics: BTreeMap<String, Vec<Content>> = BTreeMap::new();
    for _ in 0..count {
        let message = consumer.poll(Duration::from_secs(20)).expect("a record within 20 s").unwrap();
        let content = (message.key().unwrap().to_vec(), message.payload().unwrap().to_vec());
        topics.entry(message.topic().to_owned()).or_default().push(content);
    }
    topics.values_mut().for_each(|contents| contents.sort());
    topics
}

/// What [`consume`] has to find.
fn expected(system: System, count: usize) -> BTreeMap<String, Vec<Content>> {
    let mut topics: BTreeMap<String, Vec<Content>> = BTreeMap::new();
    for record in feed(system, 42).take(count) {
        topics.entry(record.topic.to_owned()).or_default().push((record.key, record.value));
    }
    topics.values_mut().for_each(|contents| contents.sort());
    topics
}

/// A record as JSON whose fields are in the order of their names.
fn sorted(value: serde_json::Value) -> Vec<u8> {
    serde_json::to_vec(&serde_json::from_value::<BTreeMap<String, serde_json::Value>>(value).unwrap()).unwrap()
}

/// A message in Confluent's wire format as JSON, as another library reads it by what is registered.
fn read_avro(registry: &Registry, runtime: &Runtime, subject: &str, message: &[u8]) -> Vec<u8> {
    let newest = runtime.block_on(registry.newest(subject)).unwrap().unwrap();
    assert_eq!(message[..5], [&[0], &newest.id.to_be_bytes()[..]].concat());
    let schema = apache_avro::Schema::parse_str(&newest.schema.schema).unwrap();
    let mut datum = &message[5..];
    let value = GenericDatumReader::builder(&schema).build().unwrap().read_value(&mut datum).unwrap();
    assert!(datum.is_empty());
    sorted(value.try_into().unwrap())
}

/// Makes what is Avro in these topics JSON again, and what is JSON that will be Avro the same JSON.
fn readable(
    mut topics: BTreeMap<String, Vec<Content>>,
    system: System,
    read: impl Fn(&str, &[u8]) -> Vec<u8>,
) -> BTreeMap<String, Vec<Content>> {
    let avro: BTreeSet<&str> =
        feed(system, 42).take(400).filter(|record| record.avro.is_some()).map(|record| record.topic).collect();
    for (topic, contents) in topics.iter_mut().filter(|(topic, _)| avro.contains(topic.as_str())) {
        for (key, value) in contents.iter_mut() {
            *key = read(&format!("{topic}-key"), key);
            *value = read(&format!("{topic}-value"), value);
        }
        contents.sort();
    }
    topics
}

#[test]
fn every_record_arrives_with_its_key() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let embedded = EmbeddedRegistry::start(runtime.handle()).unwrap();
    let options = RegistryOptions { url: embedded.url().to_owned(), ..RegistryOptions::default() };
    let registry = Registry::new(&options).unwrap();
    for system in System::ALL {
        let (_cluster, kafka) = cluster(system);
        let mut told = Vec::new();
        let counted = FeedOptions { registry: Some(options.clone()), ..counted(system, 400) };
        let report = run(&kafka, &counted, &AtomicBool::new(false), &mut |count| told.push(count)).unwrap();

        let expected = expected(system, 400);
        let found = readable(consume(&kafka, system, 400), system, |subject, message| {
            read_avro(&registry, &runtime, subject, message)
        });
        let json = |_: &str, json: &[u8]| sorted(serde_json::from_slice(json).unwrap());
        assert_eq!(found, readable(expected.clone(), system, json), "{system}");
        assert_eq!(report.total(), 400);
        assert!(report.records.keys().eq(system.topics()), "{report:?}");
        for (topic, count) in &report.records {
            assert_eq!(*count, expected.get(*topic).map_or(0, Vec::len) as u64, "{topic}");
        }
        assert_eq!(told.last(), Some(&400));
        assert!(told.is_sorted(), "{told:?}");
    }
}

#[test]
fn schemas_are_there_before_the_first_record_or_it_is_not_sent() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let embedded = EmbeddedRegistry::start(runtime.handle()).unwrap();
    let registry = RegistryOptions { url: embedded.url().to_owned(), ..RegistryOptions::default() };
    let options = FeedOptions { registry: Some(registry.clone()), ..counted(System::Cta, 1) };
    register_schemas(&options).unwrap();
    let client = Registry::new(&registry).unwrap();
    let subjects: BTreeSet<String> = feed(System::Cta, 42)
        .take(20_000)
        .filter(|record| record.avro.is_some())
        .flat_map(|record| ["key", "value"].map(|part| format!("{}-{part}", record.topic)))
        .collect();
    assert_eq!(subjects.len(), 6, "arrivals, turnstiles and weather: {subjects:?}");
    for subject in &subjects {
        assert!(runtime.block_on(client.newest(subject)).unwrap().is_some(), "{subject}");
    }

    let (_cluster, kafka) = cluster(System::Cta);
    let error = run_to_the_end(&kafka, &counted(System::Cta, 1_000)).unwrap_err();
    assert!(error.to_string().contains("are Avro: add [schema_registry]"), "{error}");
    let nobody = RegistryOptions { url: "http://127.0.0.1:1".to_owned(), ..RegistryOptions::default() };
    let error = register_schemas(&FeedOptions { registry: Some(nobody), ..counted(System::Cta, 1) }).unwrap_err();
    assert!(matches!(error, FeedError::Registry(_)), "{error}");
    // Systems without Avro need none.
    register_schemas(&counted(System::Railway, 1)).unwrap();
}

#[test]
fn a_full_queue_delays_and_loses_nothing() {
    let (_cluster, mut kafka) = cluster(System::Railway);
    kafka.insert("queue.buffering.max.messages".to_owned(), "10".to_owned());
    let report = run_to_the_end(&kafka, &counted(System::Railway, 300)).unwrap();
    assert_eq!(report.total(), 300);
    assert_eq!(consume(&kafka, System::Railway, 300), expected(System::Railway, 300));
}

#[test]
fn a_record_that_has_to_be_sent_again_arrives_once() {
    let (cluster, kafka) = cluster(System::Railway);
    let errors = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT; 3];
    cluster.request_errors(RDKafkaApiKey::Produce, &errors);
    assert_eq!(run_to_the_end(&kafka, &counted(System::Railway, 300)).unwrap().total(), 300);
    assert_eq!(consume(&kafka, System::Railway, 300), expected(System::Railway, 300));
}

#[test]
fn topics_that_cant_be_created_are_named() {
    // The mock cluster knows no CreateTopics.
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("incidents", PARTITIONS, 1).unwrap();
    let kafka = properties(&[("bootstrap.servers", &cluster.bootstrap_servers())]);
    let options = FeedOptions { timeout: Duration::from_millis(300), ..counted(System::Railway, 1) };
    let error = run_to_the_end(&kafka, &options).unwrap_err();
    let FeedError::Create { topic, .. } = &error else { panic!("{error:?}") };
    assert!(topic.contains("passenger_flow") && !topic.contains("incidents"), "{topic}");
}

#[test]
fn a_system_that_ends_ends_the_feed() {
    let (_cluster, kafka) = cluster(System::SmartCity);
    let options = FeedOptions { speed: Some(1e9), ..FeedOptions::new(System::SmartCity, 42) };
    let report = run_to_the_end(&kafka, &options).unwrap();
    assert!(report.records.values().all(|count| *count == 100), "{report:?}");
}

#[test]
fn a_feed_that_is_stopped_sends_no_more_and_waits_for_what_it_sent() {
    let (_cluster, kafka) = cluster(System::Railway);
    let stop = AtomicBool::new(false);
    // In real time the second tick would come after three minutes.
    let report = run(&kafka, &FeedOptions::new(System::Railway, 42), &stop, &mut |_| {
        stop.store(true, Ordering::Relaxed);
    })
    .unwrap();
    let first_tick = feed(System::Railway, 42).take_while(|record| record.due_ms == 0).count();
    assert_eq!(report.total(), first_tick as u64);

    let report = run(&kafka, &FeedOptions::new(System::Railway, 42), &stop, &mut |_| {}).unwrap();
    assert_eq!(report.total(), 0, "stopped before it began");
}

#[test]
fn no_broker_is_an_error_of_its_own() {
    // Nobody listens on port 1.
    let servers = "127.0.0.1:1";
    let options = FeedOptions { timeout: Duration::from_millis(300), ..counted(System::Railway, 1) };
    let error = run_to_the_end(&properties(&[("bootstrap.servers", servers)]), &options).unwrap_err();
    assert!(matches!(&error, FeedError::Unreachable { servers: told, .. } if *told == servers), "{error:?}");
    let text = error.to_string();
    assert!(text.contains(servers) && text.contains("bootstrap.servers") && text.contains("refused"), "{text}");

    let stopped = run(&properties(&[("bootstrap.servers", servers)]), &options, &AtomicBool::new(true), &mut |_| {});
    assert_eq!(stopped.unwrap().total(), 0);
}

#[test]
fn a_refused_record_names_its_topic() {
    let (cluster, kafka) = cluster(System::SmartCity);
    let errors = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED];
    cluster.request_errors(RDKafkaApiKey::Produce, &errors);
    let error = run_to_the_end(&kafka, &counted(System::SmartCity, 1)).unwrap_err();
    let FeedError::Delivery { topic, reason } = &error else { panic!("{error:?}") };
    assert_eq!(*topic, "vehicle_data");
    assert!(reason.contains("authorization"), "{reason}");
}

#[test]
fn properties_that_are_wrong_are_named_and_secrets_are_not_told() {
    for (property, value) in [("sasl.pasword", "pa55word"), ("security.protocol", "TSL"), ("socket.timeout.ms", "soon")]
    {
        let error = run_to_the_end(&properties(&[(property, value)]), &counted(System::Railway, 1)).unwrap_err();
        assert!(matches!(&error, FeedError::Property { property: told, .. } if told == property), "{error:?}");
        assert!(error.to_string().contains(property) && !error.to_string().contains("pa55word"), "{error}");
    }
    // The client refuses what contradicts the idempotence that the feed insists on.
    let kafka = properties(&[("max.in.flight.requests.per.connection", "100")]);
    let error = run_to_the_end(&kafka, &counted(System::Railway, 1)).unwrap_err();
    assert!(matches!(&error, FeedError::Client(reason) if reason.contains("max.in.flight")), "{error:?}");
}

#[test]
fn options_that_make_no_sense_are_named() {
    let good = counted(System::SmartTravel, 1);
    let simulation = |change: fn(&mut Options)| {
        let mut options = good.clone();
        change(&mut options.simulation);
        options
    };
    for (options, text) in [
        (FeedOptions { rate: Some(0.0), ..good.clone() }, "`rate` is 0; it has to be a number above 0"),
        (FeedOptions { rate: Some(f64::NAN), ..good.clone() }, "`rate` is NaN; it has to be a number above 0"),
        (FeedOptions { speed: Some(-1.5), ..good.clone() }, "`speed` is -1.5; it has to be a number above 0"),
        (FeedOptions { partitions: 0, ..good.clone() }, "`partitions` is 0; it has to be 1 or more"),
        (simulation(|options| options.vehicles = 0), "`vehicles` is 0; it has to be 1 or more"),
        (
            simulation(|options| options.start = NaiveDate::from_ymd_opt(1969, 12, 31).unwrap()),
            "`start` is 1969-12-31; it has to be a day of the years 1970 to 9000",
        ),
    ] {
        assert_eq!(run_to_the_end(&IndexMap::new(), &options).unwrap_err().to_string(), text);
    }
}

#[test]
fn the_pace_is_the_one_asked_for() {
    let options = FeedOptions::new(System::Railway, 42);
    assert_eq!(options.pace(), Pace::Speed(1.0));
    assert_eq!(FeedOptions { count: Some(1), ..options.clone() }.pace(), Pace::FlatOut);
    assert_eq!(FeedOptions { count: Some(1), speed: Some(2.0), ..options.clone() }.pace(), Pace::Speed(2.0));
    assert_eq!(FeedOptions { rate: Some(3.0), speed: Some(2.0), ..options }.pace(), Pace::Rate(3.0));

    assert_eq!(Pace::FlatOut.due(1000, 180_000), Duration::ZERO);
    assert_eq!(Pace::Rate(500.0).due(1000, 180_000), Duration::from_secs(2));
    assert_eq!(Pace::Speed(1.0).due(1000, 180_000), Duration::from_secs(180));
    assert_eq!(Pace::Speed(60.0).due(1000, 180_000), Duration::from_secs(3));
    assert_eq!(Pace::Rate(f64::MIN_POSITIVE).due(u64::MAX, 0), Duration::MAX);
}

#[test]
fn a_rate_is_kept() {
    let (_cluster, kafka) = cluster(System::Railway);
    let options = FeedOptions { rate: Some(1000.0), ..counted(System::Railway, 101) };
    let report = run_to_the_end(&kafka, &options).unwrap();
    assert!(report.elapsed >= Duration::from_millis(100), "{:?}", report.elapsed);
}
