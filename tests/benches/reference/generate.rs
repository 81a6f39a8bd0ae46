//! Topics with records in them, the same ones each time.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};

use crate::common::Numbers;
use crate::record::{self, RECORDS, SEED};
use support::kafka::{Cluster, Record};
use support::servers::servers;

/// Partitions of the reference job's topic.
pub const PARTITIONS: u64 = 4;

/// How long the broker may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The topic of the reference job.
pub fn reference(cluster: &Cluster) -> String {
    passenger_flow(cluster, PARTITIONS, RECORDS)
}

/// The first `records` records of the reference job in that many partitions.
pub fn passenger_flow(cluster: &Cluster, partitions: u64, records: u64) -> String {
    let name = format!("rillgate_bench_passenger_flow_{partitions}_{records}");
    topic(cluster, &name, partitions, records, record::write);
    name
}

/// Fills a topic with what `write` writes for each number; record `i` goes to partition `i % partitions`. A topic that was
/// filled before, while the servers were up, stays as it is.
pub fn topic(
    cluster: &Cluster,
    name: &str,
    partitions: u64,
    records: u64,
    mut write: impl FnMut(&mut Vec<u8>, u64, &mut Numbers),
) {
    let count = i32::try_from(partitions).expect("a few partitions");
    if is_loaded(name, count, records) {
        return;
    }
    println!("loading {records} records into {partitions} partitions");
    cluster.create_topic(name, count, &[]);
    let producer = cluster.producer();
    let mut numbers = Numbers(SEED);
    let mut value = Vec::new();
    for i in 0..records {
        write(&mut value, i, &mut numbers);
        let partition = i32::try_from(i % partitions).expect("a few partitions");
        producer.send(name, &Record { partition: Some(partition), value: Some(&value), ..Record::default() });
    }
    producer.flush();
}

/// Whether the topic is there and holds as many records.
fn is_loaded(topic: &str, partitions: i32, records: u64) -> bool {
    let consumer = ClientConfig::new().set("bootstrap.servers", &servers().kafka).create();
    let consumer: BaseConsumer = consumer.expect("a consumer");
    let count = |partition| consumer.fetch_watermarks(topic, partition, TIMEOUT).map(|(first, end)| end - first);
    let found: Result<i64, _> = (0..partitions).map(count).sum();
    found.is_ok_and(|found| found.unsigned_abs() == records)
}
