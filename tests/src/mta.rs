//! The mta system from its feed to its tables, beside a straightforward program that computes the same from the same feed.

use std::collections::{BTreeMap, HashSet};

use rillgate_feeds::{NaiveDate, Options, Record, System, feed, feed_with};

use support::flow::CATCH_UP;
use support::host::Host;
use support::kafka::{self, Cluster};
use support::reader::Reader;
use support::servers::{OwnKafka, clone};
use support::store::Place;
use support::wait::seconds;

const PIPELINE: &str = "mta_turnstiles";
const TOPIC: &str = "mta-turnstile";
/// How late a line may come, in seconds of its own clock, and still be counted: `delay` in pipelines.toml.
const DELAY: i64 = 300;
/// A partition sees fewer turnstiles than the whole topic, so its clock may be behind that of all lines by this much, in seconds. The
/// feed sends no line so close to the edge that it matters.
const BEHIND: i64 = 20;
/// Seconds of a day.
const DAY: i64 = 86_400;

/// What must come out.
#[derive(Debug, Default)]
struct Expected {
    /// Lines of the table but for the header, in order.
    closed: Vec<Vec<String>>,
    /// Ids of the lines that came too late.
    late: Vec<String>,
    /// Values of the lines that are no records.
    dead: Vec<Vec<u8>>,
    /// Lines that came a second time, and groups of windows that are still open: what a test must have met to be worth something.
    doubles: u64,
    open: u64,
}

/// By hand: one line after another, without rillgate's code.
fn expected(lines: &[Record], window: i64) -> Expected {
    let mut expected = Expected::default();
    let mut seen = HashSet::new();
    // By the window's begin, in seconds since 1970, and the columns of the group.
    let mut windows: BTreeMap<(i64, Vec<String>), (u64, u64)> = BTreeMap::new();
    let mut latest = i64::MIN / 2;
    for line in lines {
        let text = std::str::from_utf8(&line.value).unwrap();
        let fields: Vec<String> = text.split(',').map(|field| field.replace('"', "")).collect();
        let [ca, unit, scp, station, line_name, division, date, _, desc, entries, exits, id, timestamp] = &fields[..]
        else {
            expected.dead.push(line.value.clone());
            continue;
        };
        let time = time(timestamp, line.event_time_ms / 1000);
        let begin = time - time.rem_euclid(window);
        let watermark = latest - DELAY;
        assert!(begin + window > watermark || begin + window <= watermark - BEHIND, "too close to the edge: {text}");
        if begin + window <= watermark {
            expected.late.push(id.clone());
            continue;
        }
        latest = latest.max(time);
        if !seen.insert([id, station, timestamp].map(Clone::clone)) {
            expected.doubles += 1;
            continue;
        }
        let (month, day, year) = (&date[..2], &date[3..5], &date[6..]);
        let date = format!("{month}/{day}/20{year}");
        let group = [ca, unit, scp, station, line_name, division, &date, desc].map(Clone::clone).to_vec();
        let sums = windows.entry((begin, group)).or_default();
        sums.0 += entries.parse::<u64>().unwrap();
        sums.1 += exits.parse::<u64>().unwrap();
    }
    for ((begin, group), (entries, exits)) in windows {
        let (end, watermark) = (begin + window, latest - DELAY);
        assert!(end > watermark || end <= watermark - BEHIND, "the feed ends too close to the edge of a window");
        if end > watermark {
            expected.open += 1;
            continue;
        }
        let [ca, unit, scp, station, line_name, division, date, desc] = <[String; 8]>::try_from(group).unwrap();
        let end = end.rem_euclid(DAY);
        let time = format!("{:02}:{:02}:{:02}", end / 3600, end / 60 % 60, end % 60);
        let (entries, exits) = (entries.to_string(), exits.to_string());
        expected.closed.push(vec![ca, unit, scp, station, line_name, division, date, time, desc, entries, exits]);
    }
    expected.closed.sort();
    expected.late.sort();
    expected.dead.sort();
    expected
}

/// Seconds since 1970 of `2026-01-01 16:54:00`, given a time of which it is less than a day before.
fn time(timestamp: &str, now: i64) -> i64 {
    let part = |from: usize| timestamp[from..from + 2].parse::<i64>().unwrap();
    let of_day = part(11) * 3600 + part(14) * 60 + part(17);
    now - (now - of_day).rem_euclid(DAY)
}

/// The project's own pipeline on a cluster and a place.
struct Pipeline {
    kafka: OwnKafka,
    place: Place,
    more: Vec<String>,
}

impl Pipeline {
    /// With these overrides.
    fn new(more: &[&str]) -> Self {
        let more = more.iter().flat_map(|value| ["--set".to_owned(), (*value).to_owned()]).collect();
        Self { kafka: OwnKafka::start(), place: Place::local(), more }
    }

    /// Starts a command of `rillgate` with the project's configuration.
    fn rillgate(&self, arguments: &[&str]) -> Host {
        let Place::Local(lake) = &self.place else { unreachable!("a local one was asked for") };
        let (config, store) = (clone().join("pipelines.toml"), format!("file:{}", lake.path().display()));
        let environment = [("KAFKA_BOOTSTRAP_SERVERS", self.kafka.bootstrap.as_str()), ("RILLGATE_STORE", &store)];
        let more: Vec<&str> = self.more.iter().map(String::as_str).collect();
        Host::start_with(&[arguments, &more, &["--config", config.to_str().unwrap()]].concat(), &environment)
    }

    /// Runs it until it has caught up.
    fn catch_up(&self) {
        self.rillgate(&["run", "--until-caught-up", "--only", "mta"]).ends_within(CATCH_UP).expect_code(0);
    }

    /// Checks all that is in the place against what it must be.
    fn expect(&self, expected: &Expected, lines: usize) {
        self.rillgate(&["verify", "--only", "mta"]).ends_within(seconds(120)).expect_code(0);
        assert_eq!(self.table(), expected.closed);
        let mut late: Vec<String> = (Reader::open(&self.place, "mta/late", "parquet").rows("select ID from t").iter())
            .map(|row| row[0].as_str().unwrap().to_owned())
            .collect();
        late.sort();
        assert_eq!(late, expected.late);

        let letters = support::letters::dead_letters(&self.place, PIPELINE, "json", TOPIC);
        let mut dead: Vec<Vec<u8>> = letters.values().map(|letter| letter.value.clone().unwrap()).collect();
        dead.sort();
        assert_eq!(dead, expected.dead);
        assert!(letters.values().all(|letter| letter.reason == "expected 13 fields, found 11"), "{letters:?}");

        let Expected { closed, late, dead, doubles, open } = expected;
        let met = [closed.len(), late.len(), dead.len(), *doubles as usize, *open as usize];
        assert!(met.iter().all(|met| *met > 0), "of {lines} lines: {met:?}");
    }

    /// The rows of the table as its files have them, which all begin with the header.
    fn table(&self) -> Vec<Vec<String>> {
        let Place::Local(lake) = &self.place else { unreachable!("a local one was asked for") };
        let files = lake.path().join("mta/turnstiles/**/*.csv.gz");
        // Nothing is guessed: types would be, from what the values look like.
        let from = format!("read_csv('{}', header = true, all_varchar = true)", files.display());
        let mut reader = Reader::idle();
        let columns = reader.rows(&format!("select column_name from (describe select * from {from})"));
        let columns: Vec<&str> = columns.iter().map(|row| row[0].as_str().unwrap()).collect();
        assert_eq!(
            columns,
            ["CA", "UNIT", "SCP", "STATION", "LINENAME", "DIVISION", "DATE", "TIME", "DESC", "ENTRIES", "EXITS"]
        );
        let mut rows: Vec<Vec<String>> = (reader.rows(&format!("select * from {from}")).into_iter())
            .map(|row| row.iter().map(|value| value.as_str().unwrap().to_owned()).collect())
            .collect();
        rows.sort();
        rows
    }
}

/// Windows of five minutes, in two runs: what the first left open the second closes.
#[test]
fn readings_are_summed_in_windows_once_each() {
    // A day whose number is no month's.
    let start = NaiveDate::from_ymd_opt(2026, 2, 13).unwrap();
    let feed = feed_with(System::Mta, &Options { start, ..Options::seeded(11) });
    let lines: Vec<Record> = feed.take(40_000).collect();
    let expected = expected(&lines, 300);
    let pipeline = Pipeline::new(&[]);
    let cluster = Cluster::at(&pipeline.kafka.bootstrap);
    cluster.create_topic(TOPIC, 4, &[]);
    let producer = cluster.producer();
    // All lines of a turnstile are in one partition, by their key.
    for half in lines.chunks(21_000) {
        for line in half {
            let (key, value) = (Some(line.key.as_slice()), Some(line.value.as_slice()));
            producer.send(TOPIC, &kafka::Record { key, value, ..kafka::Record::default() });
        }
        producer.flush();
        pipeline.catch_up();
    }
    pipeline.expect(&expected, lines.len());
}

/// Windows of a minute, as one sets them on the command line, and the feed as `simulate` sends it.
#[test]
fn windows_of_another_length_by_an_override() {
    const COUNT: usize = 30_300;
    let lines: Vec<Record> = feed(System::Mta, 12).take(COUNT).collect();
    let expected = expected(&lines, 60);
    let pipeline = Pipeline::new(&["pipeline.mta_turnstiles.aggregate.window.tumbling=1m"]);
    let arguments = ["simulate", "mta", "--count", &COUNT.to_string(), "--seed", "12", "--rate", "100000"];
    pipeline.rillgate(&arguments).ends_within(seconds(120)).expect_code(0);
    pipeline.catch_up();
    pipeline.expect(&expected, lines.len());
}
