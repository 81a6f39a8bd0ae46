//! Kafka as a sink, on a real Kafka: what records look like, and that whoever reads committed records reads each one once,
//! whatever dies whenever.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use support::flow::{CATCH_UP, Flow, Producing, id};
use support::host::{Config, Host, signal};
use support::kafka::{Cluster, Received, Record};
use support::proxy::{Moment, Proxy, Request};
use support::reader::Reader;
use support::registry::registry;
use support::servers::{OwnKafka, servers, unique};
use support::store::Place;
use support::wait::{seconds, until};

const ROUNDS: u32 = 20;
/// Partitions of the topic that is written.
const PARTITIONS: i32 = 3;

/// Records that go from one topic to another.
struct Through {
    flow: Flow,
    topic: String,
}

impl Through {
    fn new(cluster: &Cluster, name: &str, partitions: u64) -> Self {
        Self { flow: Flow::new(cluster, name, partitions), topic: unique(&format!("{name}_out")) }
    }

    /// The pipeline: no plugin, a commit each `every`.
    fn config(&self, place: &Place, every: &str) -> Config {
        let Self { flow, topic } = self;
        let pipeline = format!(
            r#"[pipeline.{source}]
topic = "{source}"
decode = {{ format = "json" }}
columns = {{ id = "utf8", station = "utf8" }}
sink = {{ topic = "{topic}", key = ["station"], partitions = {PARTITIONS}, replication = 1, every = "{every}" }}
"#,
            source = flow.topic
        );
        Config::new(&flow.cluster, place, &pipeline)
    }

    /// Returns when more was sent than is now; panics if the host ends before.
    fn expect_progress(&self, host: &mut Host) {
        let end = || (0..PARTITIONS).map(|partition| self.end(partition)).sum::<i64>();
        let before = end();
        until(seconds(60), "more records in the topic", || {
            host.expect_running();
            (end() > before).then_some(())
        });
    }

    fn end(&self, partition: i32) -> i64 {
        if self.flow.cluster.has_topic(&self.topic) { self.flow.cluster.end_offset(&self.topic, partition) } else { 0 }
    }

    /// After one more run whoever reads committed records has records `0..count`, each once, those of a station in one
    /// partition.
    fn expect_complete(&self, config: &Config, count: u64) {
        config.catch_up(CATCH_UP);
        config.verify();
        let mut seen: BTreeMap<String, u32> = BTreeMap::new();
        let mut homes: BTreeMap<Vec<u8>, i32> = BTreeMap::new();
        for Received { partition, key, value, .. } in self.flow.cluster.read_committed(&self.topic) {
            let value: serde_json::Value = serde_json::from_slice(&value.expect("a value")).unwrap();
            *seen.entry(value["id"].as_str().unwrap().to_owned()).or_default() += 1;
            assert_eq!(key.as_deref(), value["station"].as_str().map(str::as_bytes));
            if let Some(key) = key {
                assert_eq!(*homes.entry(key).or_insert(partition), partition, "a key in two partitions");
            }
        }
        let doubles: Vec<_> = seen.iter().filter(|(_, times)| **times > 1).take(5).collect();
        assert!(doubles.is_empty(), "read twice: {doubles:?}");
        // One in a hundred has no value.
        let sent = (0..count).filter(|i| i % 100 != 99).map(id);
        let lost: Vec<String> = sent.clone().filter(|id| !seen.contains_key(id)).take(5).collect();
        assert!(lost.is_empty(), "never read: {lost:?}");
        assert_eq!(seen.len(), sent.count(), "records that nobody sent");
    }
}

#[test]
fn killed_twenty_times_each_record_is_read_once() {
    let place = Place::local();
    let through = Through::new(&Cluster::shared(), "topic_kill", 4);
    let config = through.config(&place, "200ms");
    let mut random = StdRng::seed_from_u64(5);
    let producing = Producing::start(&through.flow);
    for round in 0..ROUNDS {
        let mut host = config.run();
        match round % 2 {
            // While it starts, takes over, or sends what its forerunner decided.
            0 => host.kill_after(Duration::from_millis(random.random_range(300..4000))),
            // At any time of a transaction.
            _ => {
                through.expect_progress(&mut host);
                host.kill_after(Duration::from_millis(random.random_range(0..400)));
            }
        }
    }
    through.expect_complete(&config, producing.finish());
}

#[test]
fn killed_when_decided_or_when_sent_each_record_is_read_once() {
    let proxy = Proxy::before(servers().s3.address());
    let place = Place::s3().through(&proxy.address());
    let through = Through::new(&Cluster::shared(), "topic_steps", 2);
    let config = through.config(&place, "300ms");
    let producing = Producing::start(&through.flow);
    // Decided and not sent; sent, and nobody told: the next one sends, or finds that it is sent.
    for step in [(Request::Entry, Moment::After), (Request::Remove, Moment::Before)] {
        for _ in 0..3 {
            let mut host = config.run();
            through.expect_progress(&mut host);
            let pid = host.pid();
            proxy.trap(step.0, 0, step.1, Box::new(move || !signal(pid, "KILL")));
            let killed = host.ends_within(seconds(60));
            assert_eq!(killed.code, None, "killed where it was to be: {}", killed.output);
        }
    }
    through.expect_complete(&config, producing.finish());
}

#[test]
fn hosts_come_go_and_wake_up_late_and_each_record_is_read_once() {
    let place = Place::local();
    let through = Through::new(&Cluster::shared(), "topic_group", 6);
    let config = through.config(&place, "200ms");
    let producing = Producing::start(&through.flow);
    let mut first = config.run();
    through.expect_progress(&mut first);
    let mut second = config.run();
    through.flow.expect_members(2);
    through.expect_progress(&mut second);
    for _ in 0..3 {
        // It stands still in the midst of its transactions, and its partitions move.
        first.signal("STOP");
        through.flow.expect_members(1);
        through.expect_progress(&mut second);
        first.signal("CONT");
        through.flow.expect_members(2);
        through.expect_progress(&mut first);
    }
    second.kill_after(seconds(0));
    through.flow.expect_members(1);
    let third = config.run();
    through.flow.expect_members(2);
    first.stop();
    third.stop();
    through.expect_complete(&config, producing.finish());
}

#[test]
fn a_broker_that_restarts_and_dies_costs_no_record() {
    let kafka = OwnKafka::start();
    let place = Place::local();
    let through = Through::new(&Cluster::at(&kafka.bootstrap), "topic_broker", 3);
    let config = through.config(&place, "200ms");
    let mut host = config.run();
    let mut sent = 0;
    for round in 0..3 {
        through.flow.produce(sent..sent + 5000);
        sent += 5000;
        through.expect_progress(&mut host);
        if round % 2 == 0 {
            kafka.restart();
        } else {
            kafka.kill();
            kafka.start_again();
        }
    }
    host.expect_running();
    host.stop();
    through.expect_complete(&config, sent);
}

/// What was written in Avro is read by the schema that was registered for it, into a table.
#[test]
fn values_in_avro_are_read_by_the_schema_that_was_registered() {
    let cluster = Cluster::shared();
    let (source, topic) = (unique("topic_avro"), unique("topic_avro_out"));
    cluster.create_topic(&source, 2, &[]);
    cluster.create_topic(&topic, 2, &[]);
    let registry = registry();
    let pipelines = format!(
        "[schema_registry]\nurl = '{registry}'\n\
         [pipeline.{source}]\ntopic = '{source}'\ndecode.format = 'json'\n\
         columns = {{ id = 'int64', name = 'utf8', at = 'timestamp' }}\n\
         sink = {{ topic = '{topic}', format = 'avro', key = 'id', every = '200ms' }}\n"
    );
    let place = Place::local();
    let config = Config::new(&cluster, &place, &pipelines);
    let producer = cluster.producer();
    for i in 0..500 {
        let value = match i % 3 {
            0 => format!(r#"{{"id": {i}, "name": null, "at": "2026-01-01T00:00:00Z"}}"#),
            _ => format!(r#"{{"id": {i}, "name": "n{i}"}}"#),
        };
        producer.send(&source, &Record { partition: Some(i % 2), value: Some(value.as_bytes()), ..Record::default() });
    }
    producer.flush();
    config.catch_up(CATCH_UP);
    config.verify();
    // No columns are given: the registry has them.
    let reads = format!(
        "[schema_registry]\nurl = '{registry}'\n[pipeline.{topic}]\ntopic = '{topic}'\ndecode.format = 'avro'\n\
         sink = {{ table = 'read', every = '1s' }}\n"
    );
    let reading = Config::new(&cluster, &place, &reads);
    reading.catch_up(CATCH_UP);
    reading.verify();
    let mut table = Reader::open(&place, "read", "parquet");
    let row = table
        .row(r#"select count(*), count(distinct id), count(name), count("at"), cast(min("at") as varchar) from t"#);
    assert_eq!(row[..4], [500, 500, 333, 167].map(serde_json::Value::from));
    assert!(row[4].as_str().unwrap().starts_with("2026-01-01"), "{row:?}");
}

#[test]
fn records_are_what_rows_say_and_the_topic_is_what_was_asked_for() {
    let cluster = Cluster::shared();
    let (source, topic) = (unique("topic_rows"), unique("topic_rows_out"));
    cluster.create_topic(&source, 1, &[]);
    let pipeline = |more: &str| {
        format!(
            "[pipeline.{source}]\ntopic = '{source}'\ndecode.format = 'json'\n\
             columns = {{ line = 'utf8', stop = 'int64', name = 'utf8', at = 'timestamp', gone = 'boolean' }}\n\
             sink = {{ topic = '{topic}', key = ['line', 'stop'], headers = {{ where = 'name' }}, tombstone = 'gone', \
             partitions = 2, replication = 1, config = {{ 'cleanup.policy' = 'compact', 'retention.ms' = 7200000 }}, every = '100ms' }}\n{more}"
        )
    };
    let place = Place::local();
    let config = Config::new(&cluster, &place, &pipeline(""));
    let producer = cluster.producer();
    // In the value and in a header.
    let long = "x".repeat(600_000);
    for value in [
        r#"{"line": "A", "stop": 1, "name": "N\"o\nrth", "at": "2026-01-01T00:00:00.5Z"}"#.to_owned(),
        r#"{"line": "B", "stop": 2, "gone": true, "name": null}"#.to_owned(),
        format!(r#"{{"line": "C", "stop": 3, "name": "{long}"}}"#),
    ] {
        producer.send(&source, &Record { partition: Some(0), value: Some(value.as_bytes()), ..Record::default() });
    }
    producer.flush();
    config.catch_up(CATCH_UP);
    config.verify();

    let mut found = cluster.read_committed(&topic);
    found.sort_by(|a, b| a.key.cmp(&b.key));
    let text = |bytes: &Option<Vec<u8>>| bytes.as_ref().map(|bytes| String::from_utf8(bytes.clone()).unwrap());
    let records: Vec<_> = found.iter().map(|record| (text(&record.key), text(&record.value))).collect();
    let north = r#"{"line":"A","stop":1,"name":"N\"o\nrth","at":"2026-01-01T00:00:00.500Z"}"#;
    assert_eq!(
        records,
        [
            (Some(r#"{"line":"A","stop":1}"#.to_owned()), Some(north.to_owned())),
            (Some(r#"{"line":"B","stop":2}"#.to_owned()), None),
        ],
        "the third is too large for Kafka, and so a dead letter"
    );
    let headers = [("where".to_owned(), b"N\"o\nrth".to_vec())];
    assert_eq!((&found[0].headers[..], &found[1].headers[..]), (&headers[..], &[][..]));
    let letters = place.list("_dead");
    assert_eq!(letters.len(), 1, "{letters:?}");

    // A topic that is there is never changed: what matters is refused, the rest is said.
    let asked = |from: &str, to: &str| Config::new(&cluster, &place, &pipeline("").replace(from, to));
    let refused = asked("'compact'", "'delete'").host(&["run", "--until-caught-up"]).ends_within(seconds(60));
    refused.expect_code(2).expect_output(&format!("topic {topic} has cleanup.policy = compact, not delete"));
    let warned =
        asked("partitions = 2", "partitions = 5").host(&["run", "--until-caught-up"]).ends_within(seconds(120));
    warned.expect_code(0).expect_output(&format!("topic {topic} has 2 partitions, not 5"));
}
