//! The railway's figures, from its feed to their tables through the exchange, beside a straightforward program that computes the same
//! from what the topics hold.

use std::collections::{BTreeMap, BTreeSet};

use rillgate_feeds::{NaiveDate, System};
use serde_json::Value;

use support::flow::CATCH_UP;
use support::host::Host;
use support::kafka::Cluster;
use support::reader::Reader;
use support::servers::{OwnKafka, clone};
use support::store::Place;
use support::wait::seconds;

const HOUR: i64 = 3600;
/// `delay` in pipelines.toml, and how much later a departure may follow.
const DELAY: i64 = 600;
const LIMIT: i64 = 900;

/// A record, with its time in seconds since 1970.
struct Record {
    topic: &'static str,
    partition: i32,
    time: i64,
    value: Value,
}

impl Record {
    fn text(&self, field: &str) -> Option<String> {
        self.value[field].as_str().map(str::to_owned)
    }

    fn station(&self) -> String {
        self.text("station").unwrap()
    }

    fn hour(&self) -> i64 {
        self.time - self.time.rem_euclid(HOUR)
    }
}

fn read(cluster: &Cluster, topics: &[&'static str]) -> Vec<Record> {
    let record = |topic: &'static str| {
        cluster.read_committed(topic).into_iter().map(move |received| {
            let value: Value = serde_json::from_slice(&received.value.unwrap()).unwrap();
            let time = time(value["timestamp"].as_str().unwrap());
            Record { topic, partition: received.partition, time, value }
        })
    };
    topics.iter().copied().flat_map(record).collect()
}

/// Seconds since 1970 of `2026-01-01T06:00:00`.
fn time(text: &str) -> i64 {
    let part = |from: usize| text[from..from + 2].parse::<u32>().unwrap();
    let date: NaiveDate = text[..10].parse().unwrap();
    date.and_hms_opt(part(11), part(14), part(17)).unwrap().and_utc().timestamp()
}

/// Up to when nothing more can come: as far as the slowest partition says.
fn watermark(records: &[Record]) -> i64 {
    let mut latest: BTreeMap<(&str, i32), i64> = BTreeMap::new();
    for record in records {
        let latest = latest.entry((record.topic, record.partition)).or_insert(record.time);
        *latest = (*latest).max(record.time);
    }
    *latest.values().min().unwrap() - DELAY
}

/// Lines of a table: all its cells as text.
fn table(place: &Place, name: &str, columns: &[&str]) -> Vec<Vec<String>> {
    let mut reader = Reader::open(place, &format!("railway_figures/{name}"), "parquet");
    let columns: Vec<String> = columns
        .iter()
        .map(|name| if *name == "hour" { "epoch(hour)::bigint".to_owned() } else { (*name).to_owned() })
        .collect();
    let rows = reader.rows(&format!("select {} from t", columns.join(", ")));
    let mut rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(cell).collect()).collect();
    rows.sort();
    rows
}

fn cell(value: &Value) -> String {
    match value {
        Value::Number(number) if number.is_f64() => format!("{:.9}", number.as_f64().unwrap()),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn traffic(records: &[Record]) -> Vec<Vec<String>> {
    // Arrivals, departures, passengers of either, validations.
    let mut hours: BTreeMap<(String, i64), [i64; 5]> = BTreeMap::new();
    let closed = watermark(records);
    for record in records.iter().filter(|record| record.hour() + HOUR <= closed) {
        let counts = hours.entry((record.station(), record.hour())).or_default();
        let number = |field: &str| record.value[field].as_i64().unwrap_or_default();
        match record.topic {
            "train_arrivals" => (counts[0], counts[2]) = (counts[0] + 1, counts[2] + number("passengers")),
            "train_departures" => (counts[1], counts[3]) = (counts[1] + 1, counts[3] + number("passengers")),
            _ => counts[4] += number("validations"),
        }
    }
    let line = |((station, hour), counts): ((String, i64), [i64; 5])| {
        let share = if counts[2] > 0 { Value::from(1.0 - counts[4] as f64 / counts[2] as f64) } else { Value::Null };
        let numbers = [hour].into_iter().chain(counts).map(|number| number.to_string());
        [station].into_iter().chain(numbers).chain([cell(&share)]).collect()
    };
    let mut lines: Vec<Vec<String>> = hours.into_iter().map(line).collect();
    lines.sort();
    lines
}

fn punctuality(records: &[Record]) -> Vec<Vec<String>> {
    let mut departures: BTreeMap<String, BTreeSet<i64>> = BTreeMap::new();
    for record in records.iter().filter(|record| record.topic == "train_departures") {
        departures.entry(record.station()).or_default().insert(record.time);
    }
    let mut hours: BTreeMap<(String, i64), [i64; 2]> = BTreeMap::new();
    let closed = watermark(records);
    for record in records.iter().filter(|record| record.topic == "train_arrivals") {
        if record.hour() + HOUR + LIMIT > closed {
            continue;
        }
        let follows = departures.get(&record.station()).and_then(|all| all.range(record.time..).next());
        let counts = hours.entry((record.station(), record.hour())).or_default();
        counts[0] += 1;
        counts[1] += i64::from(follows.is_some_and(|departure| departure - record.time <= LIMIT));
    }
    let line = |((station, hour), [all, punctual]): ((String, i64), [i64; 2])| {
        let share = Value::from(punctual as f64 / all as f64);
        vec![station, hour.to_string(), all.to_string(), punctual.to_string(), cell(&share)]
    };
    let mut lines: Vec<Vec<String>> = hours.into_iter().map(line).collect();
    lines.sort();
    lines
}

fn faults(records: &[Record]) -> Vec<Vec<String>> {
    let mut hours: BTreeMap<[String; 4], i64> = BTreeMap::new();
    let closed = watermark(records);
    for record in records.iter().filter(|record| record.hour() + HOUR <= closed) {
        let (fault, kind) = match record.topic {
            "incidents" => ("incident", record.text("type")),
            _ => ("equipment failure", record.text("equipment")),
        };
        *hours.entry([record.station(), record.hour().to_string(), fault.to_owned(), kind.unwrap()]).or_default() += 1;
    }
    let line = |(group, count): ([String; 4], i64)| group.into_iter().chain([count.to_string()]).collect();
    let mut lines: Vec<Vec<String>> = hours.into_iter().map(line).collect();
    lines.sort();
    lines
}

#[test]
fn the_railways_figures_are_those_of_its_records() {
    let (kafka, place) = (OwnKafka::start(), Place::local());
    let Place::Local(lake) = &place else { unreachable!("a local one was asked for") };
    let (config, store) = (clone().join("pipelines.toml"), format!("file:{}", lake.path().display()));
    let environment = [("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap.as_str()), ("RILLGATE_STORE", &store)];
    let rillgate = |arguments: &[&str]| {
        Host::start_with(&[arguments, &["--config", config.to_str().unwrap()]].concat(), &environment)
    };
    let feed = ["simulate", System::Railway.name(), "--count", "40000", "--seed", "11", "--rate", "100000"];
    rillgate(&feed).ends_within(seconds(120)).expect_code(0);
    let only: Vec<&str> = ["railway_traffic", "railway_punctuality", "railway_faults"]
        .into_iter()
        .flat_map(|name| ["--only", name])
        .collect();
    rillgate(&[&["run", "--until-caught-up"], &only[..]].concat()).ends_within(CATCH_UP).expect_code(0);
    rillgate(&[&["verify"], &only[..]].concat()).ends_within(seconds(120)).expect_code(0);

    let cluster = Cluster::at(&kafka.bootstrap);
    let trains = read(&cluster, &["train_arrivals", "train_departures"]);
    let expected = punctuality(&trains);
    assert!(expected.len() > 100, "{} hours", expected.len());
    assert_eq!(table(&place, "punctuality", &["station", "hour", "arrivals", "punctual", "share_punctual"]), expected);
    let all = read(&cluster, &["train_arrivals", "train_departures", "ticket_validations"]);
    let columns = [
        "station",
        "hour",
        "arrivals",
        "departures",
        "passengers_arrived",
        "passengers_departed",
        "validations",
        "share_rejected",
    ];
    let expected = traffic(&all);
    assert!(expected.len() > 100, "{} hours", expected.len());
    assert_eq!(table(&place, "traffic", &columns), expected);
    let expected = faults(&read(&cluster, &["incidents", "equipment_failures"]));
    assert!(expected.len() > 20, "{} faults", expected.len());
    assert_eq!(table(&place, "faults", &["station", "hour", "fault", "kind", "count"]), expected);
    assert!(place.list("_dead").is_empty());
}
