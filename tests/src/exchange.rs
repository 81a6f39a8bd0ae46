//! Rows of a group in several partitions: through the exchange they meet, each once, whatever dies, and none is late because its
//! partition was read later.

use std::collections::BTreeMap;

use serde_json::Value;

use super::entries::{
    BEGIN_MS, Entries, PARTITIONS, STATIONS, Sending, counts, expected, kill_again_and_again,
    running_counts_survive_kills,
};
use support::host::{Config, Host};
use support::kafka::{Received, Record};
use support::reader::Reader;
use support::servers::clone;
use support::store::Place;
use support::wait::{seconds, until};

const WINDOWS: &str = r#"time = "at", window = { tumbling = "10s" }, delay = "29s", idle_after = "1s""#;

const SINKS: &str = "sink = { table = \"counts\", every = \"200ms\" }\noutputs = { late = { table = \"late\" } }";

fn topic(entries: &Entries) -> String {
    format!("rillgate.{}.exchange", entries.topic)
}

/// Waits until every window is given out: the counts are those of all records that were sent, each once.
fn expect_exact(config: &Config, place: &Place, mut hosts: Vec<Host>, expected: &BTreeMap<u64, u64>) {
    until(seconds(120), "every window to be given out", || {
        hosts.iter_mut().for_each(Host::expect_running);
        assert_eq!(place.list("late").len(), 0, "nothing is later than 20 s");
        (counts(place, "counts") == *expected).then_some(())
    });
    hosts.into_iter().for_each(|host| drop(host.stop()));
    config.verify();
    assert_eq!(counts(place, "counts"), *expected);
}

/// Rows go through, since doubles of one partition may be in another.
fn windows_survive_kills(place: &Place, seed: u64) {
    let entries = Entries::scattered("exchanged");
    let aggregate = format!(r#"{WINDOWS}, dedup = ["id", "station_id"]"#);
    let config = entries.config(place, &aggregate, SINKS);
    let sending = Sending::start(&entries);
    kill_again_and_again(&config, seed, || place.list("counts").len() as u64);
    let sent = sending.finish();
    expect_exact(&config, place, vec![config.run()], &expected(sent));
    let used = (0..PARTITIONS as i32).filter(|partition| entries.cluster.end_offset(&topic(&entries), *partition) > 10);
    assert!(used.count() > 1, "stations are spread over the exchange");
}

#[test]
fn windowed_counts_through_an_exchange_are_exact_after_twenty_kills_on_files() {
    windows_survive_kills(&Place::local(), 11);
}

#[test]
fn windowed_counts_through_an_exchange_are_exact_after_twenty_kills_on_s3() {
    windows_survive_kills(&Place::s3(), 12);
}

/// States go through, since they are smaller.
#[test]
fn a_running_count_through_an_exchange_is_exact_after_twenty_kills() {
    let (entries, place) = (Entries::scattered("exchanged_running"), Place::local());
    running_counts_survive_kills(&entries, &place, r#"on = "change""#, 13);
    let sent_states = entries.cluster.read_committed(&topic(&entries));
    let is_state = |record: &Received| {
        record
            .headers
            .iter()
            .any(|(name, value)| name == "rillgate.exchange" && String::from_utf8_lossy(value).contains("\"states\""))
    };
    assert!(sent_states.iter().all(is_state), "a state is smaller than the rows it stands for");
}

/// Both sides of the exchange change hands.
#[test]
fn counts_through_an_exchange_are_exact_while_instances_come_and_go() {
    let (entries, place) = (Entries::scattered("exchanged_joining"), Place::local());
    let aggregate = format!(r#"{WINDOWS}, dedup = ["id", "station_id"]"#);
    let config = entries.config(&place, &aggregate, SINKS);
    let sending = Sending::start(&entries);
    let group = format!("rillgate.{}", entries.topic);
    let mut hosts: Vec<Host> = vec![config.run()];
    for round in 0..4 {
        hosts.push(config.run());
        hosts.push(config.run());
        until(seconds(90), "three hosts with partitions on both sides", || {
            hosts.iter_mut().for_each(Host::expect_running);
            let members = |group: &str| entries.cluster.members_with_partitions(group);
            (members(&group) == 3 && members(&format!("{group}.exchange")) == 3).then_some(())
        });
        hosts.remove(0).stop();
        hosts.remove(usize::from(round % 2 == 0)).kill();
    }
    let sent = sending.finish();
    expect_exact(&config, &place, hosts, &expected(sent));
}

/// One partition holds a day that is read to its end before the others have a record: theirs of that day aren't late.
#[test]
fn a_backlog_that_is_read_at_different_speeds_drops_nothing() {
    let (entries, place) = (Entries::scattered("backlog"), Place::local());
    // Without `idle_after`: nobody goes on without the others.
    let config = entries.config(&place, r#"time = "at", window = { tumbling = "1h" }, delay = "1m""#, SINKS);
    let producer = entries.cluster.producer();
    let day = |partition: i32| {
        for minute in 0..24 * 60 {
            let (at, station) = (BEGIN_MS + minute * 60_000, minute % STATIONS);
            let value = format!(r#"{{"id":"{minute}","station_id":{station},"at":{at}}}"#);
            let record = Record { partition: Some(partition), value: Some(value.as_bytes()), ..Record::default() };
            producer.send(&entries.topic, &record);
        }
        producer.flush();
    };
    let mut host = config.run();
    for partition in 0..PARTITIONS as i32 {
        day(partition);
        let sent = entries.cluster.end_offset(&entries.topic, partition);
        until(seconds(60), "a day to be read to its end", || {
            host.expect_running();
            let group = format!("rillgate.{}", entries.topic);
            (entries.cluster.committed_offset(&group, &entries.topic, partition) == Some(sent)).then_some(())
        });
    }
    // All windows but those that the delay holds open: the last hour.
    let closed = 23 * 60 * PARTITIONS;
    until(seconds(60), "the windows of the day", || {
        host.expect_running();
        (counts(&place, "counts").values().sum::<u64>() == closed).then_some(())
    });
    host.stop();
    config.verify();
    assert!(place.list("late").is_empty());
    assert_eq!(counts(&place, "counts").values().sum::<u64>(), closed);
}

/// What can't be folded is a dead letter: byte for byte where it fails before the exchange, as a row where it fails behind it; and so
/// is what others put into the exchange's topic.
#[test]
fn what_cannot_be_folded_is_a_dead_letter_on_either_side() {
    let plugin = clone().join("plugins/example_rust_aggregate.wasm");
    for (dedup, name) in [("", "states"), (r#", dedup = ["id", "station"]"#, "rows")] {
        let (entries, place) = (Entries::scattered(&format!("bad_{name}")), Place::local());
        let (topic_name, exchange) = (&entries.topic, topic(&entries));
        let pipeline = format!(
            r#"[pipeline.{topic_name}]
topic = "{topic_name}"
decode = {{ format = "json" }}
columns = {{ id = "utf8", station = "utf8", waiting_time = "float64", at = "timestamp" }}
aggregate = {{ plugin = '{}', key = ["station"], time = "at", window = {{ tumbling = "10s" }}, idle_after = "1s"{dedup} }}
sink = {{ table = "waits", every = "200ms" }}
"#,
            plugin.display()
        );
        let config = Config::new(&entries.cluster, &place, &pipeline);
        let producer = entries.cluster.producer();
        let bad = format!(r#"{{"id": "bad", "station": "A", "waiting_time": -1, "at": {BEGIN_MS}}}"#);
        for i in 0..30_u64 {
            let value = format!(r#"{{"id":"{i}","station":"A","waiting_time":2,"at":{BEGIN_MS}}}"#);
            let value = if i == 17 { &bad } else { &value };
            let partition = Some((i % PARTITIONS) as i32);
            producer.send(topic_name, &Record { partition, value: Some(value.as_bytes()), ..Record::default() });
        }
        producer.flush();
        let mut host = config.run();
        until(seconds(60), "the exchange", || {
            host.expect_running();
            entries.cluster.has_topic(&exchange).then_some(())
        });
        producer.send(&exchange, &Record { partition: Some(0), value: Some(b"not ours"), ..Record::default() });
        producer.flush();
        let passengers = || {
            if place.list("waits").is_empty() {
                return 0;
            }
            let mut reader = Reader::open(&place, "waits", "parquet");
            reader.rows("select cast(sum(passengers) as bigint) from t")[0][0].as_u64().unwrap_or_default()
        };
        until(seconds(60), "the window, and both dead letters", || {
            host.expect_running();
            (passengers() == 29 && place.list("_dead").len() >= 2).then_some(())
        });
        host.stop();
        config.verify();
        let rows = Reader::open(&place, &format!("_dead/{topic_name}"), "jsonl")
            .rows("select topic, stage, reason, value from t order by stage, reason");
        let letter = |row: usize, column: usize| rows[row][column].as_str().unwrap();
        assert_eq!(rows.len(), 2, "{rows:?}");
        assert_eq!((letter(1, 0), letter(1, 1), letter(1, 3)), (exchange.as_str(), "exchange", "not ours"));
        assert_eq!((letter(0, 1), letter(0, 2)), ("aggregate", "waiting_time -1 is negative"));
        if dedup.is_empty() {
            assert_eq!((letter(0, 0), letter(0, 3)), (topic_name.as_str(), bad.as_str()));
        } else {
            let row: Value = serde_json::from_str(letter(0, 3)).unwrap();
            assert_eq!(
                (letter(0, 0), &row["id"], &row["waiting_time"]),
                (exchange.as_str(), &"bad".into(), &(-1.0).into())
            );
        }
    }
}

/// Groups made without an exchange aren't taken for groups made with one, nor the other way round.
#[test]
fn a_pipeline_does_not_change_its_mind_about_the_exchange() {
    let (entries, place) = (Entries::new("mind"), Place::local());
    let rest = "sink = { table = \"counts\", every = \"200ms\" }";
    let aggregate = r#"on = "change""#;
    let without = entries.config(&place, &format!(r#"{aggregate}, exchange = "none""#), rest);
    let with = entries.config(&place, aggregate, rest);
    entries.send(0..100);
    without.catch_up(seconds(60));
    let ended = with.host(&["run", "--until-caught-up"]).ends_within(seconds(60)).expect_code(1);
    assert!(ended.output.contains("give the pipeline another name"), "{}", ended.output);

    let (entries, place) = (Entries::new("mind"), Place::local());
    let without = entries.config(&place, &format!(r#"{aggregate}, exchange = "none""#), rest);
    let with = entries.config(&place, aggregate, rest);
    entries.send(0..100);
    with.catch_up(seconds(60));
    let last = |place: &Place| {
        let mut reader = Reader::open(place, "counts", "parquet");
        reader
            .rows("select cast(max(count) as bigint) from t group by station_id")
            .iter()
            .map(|row| row[0].as_u64().unwrap())
            .sum::<u64>()
    };
    assert_eq!(last(&place), 100, "all of it has come through when it ends");
    let ended = without.host(&["run", "--until-caught-up"]).ends_within(seconds(60)).expect_code(1);
    assert!(ended.output.contains("exchange = \"kafka\""), "{}", ended.output);
    let shown = with.host(&["state", "show", &entries.topic]).ends_within(seconds(30)).expect_code(0).output;
    assert!(shown.contains("rillgate.") && shown.contains("station_id"), "{shown}");
}
