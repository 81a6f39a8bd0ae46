//! The cta system from its feed to its tables and topics, beside a straightforward program that computes the same from the same
//! feed.

use std::collections::{BTreeMap, HashMap};

use rillgate_feeds::{Record, System, feed};
use serde_json::Value;

use support::flow::CATCH_UP;
use support::host::Host;
use support::kafka::{Cluster, Received};
use support::reader::Reader;
use support::registry::registry;
use support::servers::{OwnKafka, clone};
use support::store::Place;
use support::wait::seconds;

const SUMMARY: &str = "TURNSTILES_SUMMARY";
const TRANSFORMED: &str = "org.chicago.cta.stations.transformed";

/// Each key of a topic, and the values that it ever had, in order. Panics if a key is in two partitions.
fn histories(cluster: &Cluster, topic: &str) -> BTreeMap<String, Vec<Value>> {
    let mut histories: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    let mut partitions: HashMap<String, i32> = HashMap::new();
    for Received { partition, key, value, .. } in cluster.read_committed(topic) {
        let [key, value] = [key, value].map(|bytes| String::from_utf8(bytes.unwrap()).unwrap());
        assert_eq!(*partitions.entry(key.clone()).or_insert(partition), partition, "{topic}: {key} is in two");
        histories.entry(key).or_default().push(serde_json::from_str(&value).unwrap());
    }
    histories
}

/// The project's own pipelines on a cluster and a place.
struct Pipelines {
    kafka: OwnKafka,
    place: Place,
}

impl Pipelines {
    fn new() -> Self {
        Self { kafka: OwnKafka::start(), place: Place::local() }
    }

    /// Starts a command of `rillgate` with the project's configuration.
    fn rillgate(&self, arguments: &[&str]) -> Host {
        let Place::Local(lake) = &self.place else { unreachable!("a local one was asked for") };
        let (config, store) = (clone().join("pipelines.toml"), format!("file:{}", lake.path().display()));
        let environment = [
            ("KAFKA_BOOTSTRAP_SERVERS", self.kafka.bootstrap.as_str()),
            ("RILLGATE_STORE", &store),
            ("SCHEMA_REGISTRY_URL", registry()),
        ];
        Host::start_with(&[arguments, &["--config", config.to_str().unwrap()]].concat(), &environment)
    }

    /// Runs them until they have caught up.
    fn catch_up(&self) {
        self.rillgate(&["run", "--until-caught-up", "--only", "cta"]).ends_within(CATCH_UP).expect_code(0);
    }

    /// Sends the first records of the feed.
    fn simulate(&self, count: usize, seed: u64) {
        let (count, seed) = (count.to_string(), seed.to_string());
        let arguments = ["simulate", "cta", "--count", &count, "--seed", &seed, "--rate", "100000"];
        self.rillgate(&arguments).ends_within(seconds(120)).expect_code(0);
    }

    /// The rows of a table, each as its columns' values in order; sorted.
    fn rows(&self, table: &str, columns: &str) -> Vec<String> {
        let rows = Reader::open(&self.place, table, "parquet").rows(&format!("select {columns} from t"));
        sorted(rows.into_iter().map(|row| Value::Array(row).to_string()))
    }
}

fn sorted(rows: impl Iterator<Item = String>) -> Vec<String> {
    let mut rows: Vec<String> = rows.collect();
    rows.sort();
    rows
}

/// The same of what was sent: the values in the order of their fields.
fn sent(records: &[Record], topic: &str) -> Vec<String> {
    let of_topic = records.iter().filter(|record| record.topic == topic);
    sorted(of_topic.map(|record| {
        let value: Value = serde_json::from_slice(&record.value).unwrap();
        Value::Array(value.as_object().unwrap().values().cloned().collect()).to_string()
    }))
}

/// Two feeds after another, and a run after each: the second goes on counting where the first stopped.
#[test]
fn every_topic_ends_up_where_it_belongs() {
    let feeds = [(20_000, 13), (12_000, 14)];
    let pipelines = Pipelines::new();
    let cluster = Cluster::at(&pipelines.kafka.bootstrap);
    for (count, seed) in feeds {
        pipelines.simulate(count, seed);
        pipelines.catch_up();
    }
    pipelines.rillgate(&["verify", "--only", "cta"]).ends_within(seconds(120)).expect_code(0);
    let records: Vec<Record> = feeds.iter().flat_map(|(count, seed)| feed(System::Cta, *seed).take(*count)).collect();

    let arrivals = "station_id, train_id, direction, line, train_status, prev_station_id, prev_direction";
    assert_eq!(pipelines.rows("cta/arrivals", arrivals), sent(&records, "org.chicago.cta.station.arrivals"));
    assert_eq!(pipelines.rows("cta/weather", "temperature, status"), sent(&records, "weather"));
    expect_counts(&histories(&cluster, SUMMARY), &records);
    expect_stations(&histories(&cluster, TRANSFORMED), &records);
}

/// Each station's count only ever grows, and ends at as many as went through its turnstiles.
fn expect_counts(histories: &BTreeMap<String, Vec<Value>>, records: &[Record]) {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for record in records.iter().filter(|record| record.topic == "org.chicago.cta.turnstiles") {
        let entry: Value = serde_json::from_slice(&record.value).unwrap();
        *counts.entry(entry["station_id"].to_string()).or_default() += 1;
    }
    assert_eq!(counts.len(), 230);
    assert!(histories.keys().eq(counts.keys()), "{:?}", histories.keys());
    for (station, history) in histories {
        let seen: Vec<u64> = history.iter().map(|row| row["count"].as_u64().unwrap()).collect();
        assert!(seen.windows(2).all(|pair| pair[0] < pair[1]), "{station}: {seen:?}");
        assert_eq!(seen.last(), Some(&counts[station]), "{station}");
        for row in history {
            let names: Vec<&str> = row.as_object().unwrap().keys().map(String::as_str).collect();
            assert_eq!((names, row["station_id"].to_string()), (vec!["station_id", "count"], station.clone()));
        }
    }
    // Two runs, and a commit each second: a station's count has changed more than once.
    assert!(histories.values().any(|history| history.len() > 1));
}

/// Each station once for each time that the table was sent, with the line that its three columns tell of.
fn expect_stations(histories: &BTreeMap<String, Vec<Value>>, records: &[Record]) {
    let mut stations: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for record in records.iter().filter(|record| record.topic == "org.chicago.cta.stations") {
        let row: Value = serde_json::from_slice(&record.value).unwrap();
        let line = ["red", "blue", "green"].into_iter().find(|line| row[*line] == true).unwrap_or("unknown");
        let Value::Object(row) = row else { unreachable!("rows are objects") };
        let transformed = serde_json::json!({
            "station_id": row["station_id"], "station_name": row["station_name"], "order": row["order"], "line": line,
        });
        stations.entry(row["station_id"].to_string()).or_default().push(transformed);
    }
    assert_eq!(stations.len(), 230);
    assert_eq!(*histories, stations);
    // As they were seen in the output of the system that was there before.
    for (station_id, name, order, line) in
        [(40_010, "Austin", 29, "blue"), (40_020, "Harlem/Lake", 0, "green"), (40_820, "Rosemont", 1, "unknown")]
    {
        let row = &histories[&station_id.to_string()][0];
        let text = format!(r#"{{"station_id":{station_id},"station_name":"{name}","order":{order},"line":"{line}"}}"#);
        assert_eq!(row.to_string(), text);
    }
}
