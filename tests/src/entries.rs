//! Entries of turnstiles on a real Kafka, and what counting them must come to, whatever dies meanwhile.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;

use support::host::Config;
use support::kafka::{Cluster, Producer, Received, Record};
use support::reader::Reader;
use support::servers::{clone, unique};
use support::store::Place;
use support::wait::{seconds, until};

pub const ROUNDS: u32 = 20;
pub const PARTITIONS: u64 = 3;
pub const STATIONS: u64 = 7;
/// Event time between two records: 40 s of it are in a thousand.
pub const STEP_MS: u64 = 40;
/// What comes twice comes again after so many others: 4 s of event time.
pub const AGAIN: u64 = 100;
/// 2026-01-01T00:00:00Z.
pub const BEGIN_MS: u64 = 1_767_225_600_000;

/// Entries of turnstiles.
#[derive(Clone)]
pub struct Entries {
    pub cluster: Cluster,
    pub topic: String,
    /// Whether a station's are all in one partition.
    by_station: bool,
}

impl Entries {
    /// In partitions by station.
    pub fn new(name: &str) -> Self {
        let entries = Self { cluster: Cluster::shared(), topic: unique(name), by_station: true };
        entries.cluster.create_topic(&entries.topic, PARTITIONS as i32, &[]);
        entries
    }

    /// In any partition.
    pub fn scattered(name: &str) -> Self {
        Self { by_station: false, ..Self::new(name) }
    }

    pub fn send(&self, entries: Range<u64>) {
        let producer = self.cluster.producer();
        self.send_by(&producer, entries);
        producer.flush();
    }

    /// Hands them over and doesn't wait for the broker.
    pub fn send_by(&self, producer: &Producer, entries: Range<u64>) {
        for i in entries {
            self.send_one(producer, i, 0);
            // One in nine comes twice, the second time when other epochs may have begun.
            if let Some(before) = i.checked_sub(AGAIN).filter(|before| before % 9 == 4) {
                self.send_one(producer, before, 1);
            }
        }
    }

    /// The second of two that are the same comes to another partition, if it may.
    fn send_one(&self, producer: &Producer, i: u64, time: u64) {
        let station = i % STATIONS;
        // Each is up to 20 s out of order.
        let at = BEGIN_MS + i * STEP_MS - (i * 7919) % 20_000;
        let value = format!(r#"{{"id":"{i}","station_id":{station},"at":{at}}}"#);
        let partition = if self.by_station { station } else { i / 5 + time } % PARTITIONS;
        let record = Record { partition: Some(partition as i32), value: Some(value.as_bytes()), ..Record::default() };
        producer.send(&self.topic, &record);
    }

    /// A pipeline with these keys of `aggregate` and this rest.
    pub fn config(&self, place: &Place, aggregate: &str, rest: &str) -> Config {
        let plugin = clone().join("plugins/cta_summary.wasm");
        assert!(plugin.is_file(), "{} is missing: run `make plugins`", plugin.display());
        let Self { topic, cluster, .. } = self;
        let pipeline = format!(
            r#"[pipeline.{topic}]
topic = "{topic}"
decode = {{ format = "json" }}
columns = {{ id = "utf8", station_id = {{ type = "int32", nullable = false }}, at = "timestamp" }}
aggregate = {{ plugin = '{}', key = ["station_id"], {aggregate} }}
{rest}
"#,
            plugin.display()
        );
        Config::new(cluster, place, &pipeline)
    }

    pub fn control(&self, partition: u64) -> String {
        format!("_rillgate/{0}/{0}/{partition}", self.topic)
    }

    /// Files of a task's state, and its last COMMIT.
    pub fn state_files(&self, place: &Place, partition: u64) -> Vec<String> {
        place.list(&format!("{}/state", self.control(partition))).into_keys().collect()
    }
}

/// Records that are sent until it is told to stop.
pub struct Sending {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl Sending {
    pub fn start(entries: &Entries) -> Self {
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (entries, is_over, count) = (entries.clone(), Arc::clone(&stop), Arc::clone(&sent));
        let thread = std::thread::spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                let from = count.load(Ordering::Relaxed);
                entries.send(from..from + 500);
                count.store(from + 500, Ordering::Relaxed);
                // Not to fill the disk while the host starts; nothing waits for it.
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        Self { stop, sent, thread }
    }

    pub fn finish(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        self.sent.load(Ordering::Relaxed)
    }
}

/// How many of `sent` records each station has.
pub fn expected(sent: u64) -> BTreeMap<u64, u64> {
    (0..STATIONS).map(|station| (station, (sent + STATIONS - 1 - station) / STATIONS)).collect()
}

/// Runs the host and kills it, twenty times: while it starts, after it has committed something, at any time after.
pub fn kill_again_and_again(config: &Config, seed: u64, mut committed: impl FnMut() -> u64) {
    let seed = std::env::var("RILLGATE_TEST_SEED").map_or(seed, |seed| seed.parse().unwrap());
    println!("RILLGATE_TEST_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    for round in 0..ROUNDS {
        let mut host = config.run();
        if round % 3 == 0 {
            host.kill_after(Duration::from_millis(random.random_range(0..3000)));
            continue;
        }
        let before = committed();
        until(seconds(60), "a commit", || {
            host.expect_running();
            (committed() > before).then_some(())
        });
        host.kill_after(Duration::from_millis(random.random_range(0..600)));
    }
}

pub fn counts(place: &Place, table: &str) -> BTreeMap<u64, u64> {
    if place.list(table).is_empty() {
        return BTreeMap::new();
    }
    let mut reader = Reader::open(place, table, "parquet");
    let rows = reader.rows("select station_id, cast(sum(count) as bigint) from t group by all");
    rows.iter().map(|row| (row[0].as_u64().unwrap(), row[1].as_u64().unwrap())).collect()
}

/// A running count, each change to a topic: whoever reads committed records sees it go up and never back, to the exact number. Returns the
/// pipeline, and how many entries of each station it has counted.
pub fn running_counts_survive_kills(
    entries: &Entries,
    place: &Place,
    aggregate: &str,
    seed: u64,
) -> (Config, BTreeMap<u64, u64>) {
    let summary = unique("running_summary");
    let rest = format!(
        "sink = {{ topic = \"{summary}\", key = [\"station_id\"], partitions = 1, replication = 1, every = \"200ms\", config = {{ \"cleanup.policy\" = \"compact\" }} }}"
    );
    let config = entries.config(place, aggregate, &rest);
    let sending = Sending::start(entries);
    let cluster = entries.cluster.clone();
    kill_again_and_again(&config, seed, || {
        if cluster.has_topic(&summary) { cluster.end_offset(&summary, 0) as u64 } else { 0 }
    });
    let sent = sending.finish();
    config.catch_up(seconds(120));
    config.verify();
    let mut last: BTreeMap<u64, u64> = BTreeMap::new();
    for Received { key, value, .. } in cluster.read_committed(&summary) {
        let value: Value = serde_json::from_slice(&value.expect("a value")).unwrap();
        let (station, count) = (value["station_id"].as_u64().unwrap(), value["count"].as_u64().unwrap());
        assert_eq!(key.as_deref(), Some(station.to_string().as_bytes()));
        let before = last.insert(station, count).unwrap_or_default();
        assert!(count > before, "station {station} went from {before} to {count}");
    }
    // Without `dedup` those that came twice count twice.
    let mut expected = expected(sent);
    (0..sent - AGAIN).filter(|i| i % 9 == 4).for_each(|i| *expected.get_mut(&(i % STATIONS)).unwrap() += 1);
    assert_eq!(last, expected);
    (config, expected)
}
