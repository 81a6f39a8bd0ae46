//! The records of the reference job: 190 bytes of flat JSON, 7 fields, one in a hundred dirty; the same ones each time.

use std::io::Write as _;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};

use crate::common::Numbers;
use support::kafka::{Cluster, Record};
use support::servers::servers;

/// How many records the topic holds.
pub const RECORDS: u64 = 5_000_000;
/// Record `i` goes to partition `i % PARTITIONS`.
pub const PARTITIONS: u64 = 4;
/// Record `i` is dirty where `i % DIRTY == DIRTY_AT`: a null, an empty text and a missing field, in turn.
pub const DIRTY: u64 = 100;
/// See [`DIRTY`].
pub const DIRTY_AT: u64 = 37;

/// How long the broker may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);
const SEED: u64 = 42;
const STATIONS: u64 = 64;
const TRAINS: u64 = 997;
/// Event time goes from 08:00 to 10:00, in milliseconds of the day, and jumps back by up to a minute.
const BEGIN_MS: u64 = 8 * 3_600_000;
const SPAN_MS: u64 = 2 * 3_600_000;
const JITTER_MS: u64 = 60_000;

/// Whether the topic is there and holds as many records.
pub fn is_loaded(topic: &str) -> bool {
    let consumer = ClientConfig::new().set("bootstrap.servers", &servers().kafka).create();
    let consumer: BaseConsumer = consumer.expect("a consumer");
    let partitions = 0..i32::try_from(PARTITIONS).expect("a few partitions");
    let count = |partition| consumer.fetch_watermarks(topic, partition, TIMEOUT).map(|(first, end)| end - first);
    let records: Result<i64, _> = partitions.map(count).sum();
    records.is_ok_and(|records| records.unsigned_abs() == RECORDS)
}

/// Fills a new topic with the records.
pub fn load(cluster: &Cluster, topic: &str) {
    cluster.create_topic(topic, i32::try_from(PARTITIONS).expect("a few partitions"), &[]);
    let producer = cluster.producer();
    let mut numbers = Numbers(SEED);
    let mut value = Vec::new();
    for i in 0..RECORDS {
        write(&mut value, i, &mut numbers);
        let partition = i32::try_from(i % PARTITIONS).expect("a few partitions");
        producer.send(topic, &Record { partition: Some(partition), value: Some(&value), ..Record::default() });
    }
    producer.flush();
}

/// Writes record `i` over what `into` holds.
pub fn write(into: &mut Vec<u8>, i: u64, numbers: &mut Numbers) {
    let dirt = (i % DIRTY == DIRTY_AT).then_some(i / DIRTY % 3);
    let ms = (BEGIN_MS + i * SPAN_MS / RECORDS).saturating_sub(numbers.below(JITTER_MS)).max(BEGIN_MS);
    let (hour, minute, second, ms) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000);
    let (train, station) = (i % TRAINS, numbers.below(STATIONS));
    let (waiting, check, factor) = (numbers.unit() * 900.0, numbers.unit() * 60.0, 0.1 + numbers.unit() * 0.9);
    into.clear();
    let mut text = |arguments: std::fmt::Arguments<'_>| into.write_fmt(arguments).expect("memory takes all");
    text(format_args!(r#"{{"id":"pf-{i:016}","train_id":"TR-{train:04}","station":""#));
    if dirt != Some(1) {
        text(format_args!("station-{station:03}"));
    }
    text(format_args!(r#"","timestamp":"2026-01-01T{hour:02}:{minute:02}:{second:02}.{ms:03}Z","waiting_time":"#));
    match dirt {
        Some(0) => text(format_args!("null")),
        _ => text(format_args!("{waiting:.2}")),
    }
    text(format_args!(r#","ticket_check_time":{check:.2}"#));
    if dirt != Some(2) {
        text(format_args!(r#","reduced_flow_factor":{factor:.3}"#));
    }
    text(format_args!("}}"));
}
