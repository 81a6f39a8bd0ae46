//! The pipelines that count, beside the one that transforms: windows into a table, running counts into a compacted topic; and the
//! readers that look at them all the time.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::mpsc::{self, Sender, TryRecvError};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;
use support::kafka::{Cluster, Producer, Received, Record};
use support::servers::{clone, unique};
use support::store::Place;
use support::watch::{Seen, Watch};

use crate::entries::{self, Counts, DELAY_MS, STATIONS, WINDOW_MS};

/// Partitions of the topic that each reads.
const PARTITIONS: u64 = 4;

/// Every pipeline that counts: its name, as the table of results has it, too; what it counts; and how rows of a group come together
/// (`exchange`). With `none` they are in one partition, otherwise in any.
pub const COUNTS: [(&str, Form, &str); 3] = [
    ("windows", Form::Windows, "none"),
    ("running counts", Form::Running, "none"),
    ("exchanged", Form::Windows, "kafka"),
];

/// What is counted, and where to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// By window and station, doubles out: into a table, when the window is over.
    Windows,
    /// By station: each change into a compacted topic.
    Running,
}

/// A pipeline that counts. It is called as the topic that it reads.
#[derive(Debug, Clone)]
pub struct Count {
    /// As the table of results has it.
    pub name: &'static str,
    /// What it reads, and its own name.
    pub topic: String,
    /// The table or topic that it writes.
    pub out: String,
    pub form: Form,
    exchange: &'static str,
    cluster: Cluster,
}

impl Count {
    /// Makes its topics.
    pub fn new(cluster: &Cluster, (name, form, exchange): (&'static str, Form, &'static str)) -> Self {
        let plain = name.replace(' ', "_");
        let count = Self {
            name,
            topic: unique(&format!("chaos_{plain}")),
            out: unique(&format!("{plain}_out")),
            form,
            exchange,
            cluster: cluster.clone(),
        };
        cluster.create_topic(&count.topic, i32::try_from(PARTITIONS).expect("a few"), &[]);
        if form == Form::Running {
            // It is compacted while it is read, not in a week.
            let eager = [("cleanup.policy", "compact"), ("segment.ms", "5000"), ("min.cleanable.dirty.ratio", "0.01")];
            cluster.create_topic(&count.out, 2, &eager);
        }
        count
    }

    /// The pipeline, as a section of pipelines.toml.
    pub fn section(&self, every: &str) -> String {
        let Self { topic, out, exchange, .. } = self;
        let plugin = |name: &str| {
            let file = clone().join("plugins").join(name);
            assert!(file.is_file(), "{} is missing: run `make plugins`", file.display());
            file.display().to_string()
        };
        match self.form {
            Form::Windows => format!(
                r#"[pipeline.{topic}]
topic = "{topic}"
decode = {{ format = "json" }}
columns = {{ id = "utf8", station = "utf8", at = "timestamp", waiting_time = "float64" }}
aggregate = {{ plugin = '{plugin}', key = ["station"], time = "at", window = {{ tumbling = "{WINDOW_MS}ms" }}, delay = "{DELAY_MS}ms", idle_after = "3s", dedup = ["id", "station"], exchange = "{exchange}" }}
sink = {{ table = "{out}", every = "{every}" }}
outputs = {{ late = {{ table = "{late}" }} }}
"#,
                plugin = plugin("example_rust_aggregate.wasm"),
                late = self.late(),
            ),
            Form::Running => format!(
                r#"[pipeline.{topic}]
topic = "{topic}"
decode = {{ format = "json" }}
columns = {{ station_id = {{ type = "int32", nullable = false }} }}
aggregate = {{ plugin = '{plugin}', key = ["station_id"], on = "change", exchange = "{exchange}" }}
sink = {{ topic = "{out}", key = ["station_id"], config = {{ "cleanup.policy" = "compact" }}, every = "{every}" }}
"#,
                plugin = plugin("cta_summary.wasm"),
            ),
        }
    }

    /// The consumer group.
    pub fn group(&self) -> String {
        format!("rillgate.{}", self.topic)
    }

    /// The table of late rows. There should be none.
    fn late(&self) -> String {
        format!("{}_late", self.out)
    }

    /// Sends these entries, and those before them that come again.
    pub fn send(&self, producer: &Producer, entries: Range<u64>) {
        for i in entries::numbers(entries) {
            let by = if self.exchange == "none" { entries::station(i) } else { i };
            self.send_value(producer, by % PARTITIONS, &entries::value(i));
        }
    }

    /// Ends what was sent: the last windows are over.
    pub fn end(&self, sent: u64) {
        if self.form == Form::Running {
            return;
        }
        let producer = self.cluster.producer();
        (0..PARTITIONS)
            .for_each(|partition| self.send_value(&producer, partition, &entries::last_value(partition, sent)));
        producer.flush();
    }

    fn send_value(&self, producer: &Producer, partition: u64, value: &str) {
        let partition = Some(i32::try_from(partition).expect("a few"));
        producer.send(&self.topic, &Record { partition, value: Some(value.as_bytes()), ..Record::default() });
    }

    /// What must be counted of so many entries.
    pub fn expected(&self, sent: u64) -> Counts {
        match self.form {
            Form::Windows => entries::by_window(sent),
            Form::Running => entries::running(sent),
        }
    }

    /// Begins to read what comes out.
    pub fn read(&self, place: &Place) -> Reading {
        let counts = Arc::<Mutex<Counts>>::default();
        let known = Arc::clone(&counts);
        let reader = match self.form {
            Form::Windows => {
                let (ids, values) = (&["window_start", "station"], &["passengers", "mean", "longest"]);
                let check = move |row: &[Value]| look_at_window(row, &mut known.lock().expect("counts")).err();
                Reader::Table(Watch::start_checking(place, &self.out, ids, values, Box::new(check)))
            }
            Form::Running => {
                let (following, (stop, stopped)) = (self.cluster.follow_committed(&self.out), mpsc::channel());
                let thread = std::thread::spawn(move || {
                    let mut seen = Seen::default();
                    // Whatever has come is read before it ends.
                    loop {
                        match following.next(Duration::from_millis(500)) {
                            Some(record) => {
                                seen.rows += 1;
                                seen.problems.extend(look_at_change(&record, &mut known.lock().expect("counts")).err());
                            }
                            None if stopped.try_recv() == Err(TryRecvError::Disconnected) => return seen,
                            None => {}
                        }
                    }
                });
                Reader::Topic(stop, thread)
            }
        };
        Reading { counts, reader }
    }

    /// Reads a topic once more, from its beginning; says what was wrong with anything that was not to be.
    pub fn read_again(&self, place: &Place, counts: &Counts) -> Vec<String> {
        if self.form == Form::Windows {
            return place.list(&self.late()).into_keys().map(|path| format!("{path}: nothing is late")).collect();
        }
        let mut newest = Counts::new();
        let records = self.cluster.read_committed(&self.out);
        let mut problems: Vec<String> =
            records.iter().filter_map(|record| look_at_change(record, &mut newest).err()).collect();
        if newest != *counts {
            problems.push(format!("newest are {newest:?}, and were {counts:?}"));
        }
        problems
    }
}

/// A reader of what a pipeline that counts gives out.
#[derive(Debug)]
pub struct Reading {
    counts: Arc<Mutex<Counts>>,
    reader: Reader,
}

#[derive(Debug)]
enum Reader {
    Table(Watch),
    /// The first is dropped to end it.
    Topic(Sender<()>, JoinHandle<Seen>),
}

impl Reading {
    /// What has been seen so far: windows as they were given out, newest running counts.
    pub fn counts(&self) -> Counts {
        self.counts.lock().expect("counts").clone()
    }

    /// How much has been counted of each station.
    pub fn progress(&self) -> [u64; STATIONS as usize] {
        let mut progress = [0; STATIONS as usize];
        self.counts().iter().for_each(|((_, station), count)| progress[*station as usize] += count);
        progress
    }

    /// Looks once more and ends.
    pub fn finish(self) -> (Counts, Seen) {
        let seen = match self.reader {
            Reader::Table(watch) => watch.end(),
            Reader::Topic(stop, thread) => {
                drop(stop);
                thread.join().expect("a reader")
            }
        };
        (self.counts.lock().expect("counts").clone(), seen)
    }
}

/// How many are counted too often, and how many not at all.
pub fn compare(expected: &Counts, found: &Counts) -> (u64, u64) {
    let more = |of: &Counts, than: &Counts| -> u64 {
        of.iter().map(|(group, count)| count.saturating_sub(than.get(group).copied().unwrap_or_default())).sum()
    };
    (more(found, expected), more(expected, found))
}

/// A row of the table: begin of the window, station, count, mean and longest wait.
fn look_at_window(row: &[Value], counts: &mut Counts) -> Result<(), String> {
    let odd = || format!("{row:?} is no window");
    let (micros, station) = (row[0].as_u64().ok_or_else(odd)?, row[1].as_str().ok_or_else(odd)?);
    let (count, mean) = (row[2].as_u64().ok_or_else(odd)?, row[3].as_f64().ok_or_else(odd)?);
    let (longest, begin) = (row[4].as_f64().ok_or_else(odd)?, micros / 1000);
    if station.starts_with("end-") {
        return if count == 1 { Ok(()) } else { Err(odd()) };
    }
    let station = station.parse().map_err(|_| odd())?;
    // That it comes a second time is the watch's to say; what it had is counted all the same.
    *counts.entry((begin, station)).or_default() += count;
    let all = entries::whole(begin).get(&station).copied().unwrap_or_default();
    // It is not whole where the sending ended within it.
    let is_part = count < all.count && longest <= all.longest;
    let is_whole = count == all.count && longest == all.longest && (mean - all.minutes / all.count as f64).abs() < 1e-9;
    if is_part || is_whole { Ok(()) } else { Err(format!("{row:?} of {all:?}")) }
}

/// A record of the topic: its count is above the one before.
fn look_at_change(record: &Received, newest: &mut Counts) -> Result<(), String> {
    let odd = || format!("{record:?} is no count");
    let value: BTreeMap<String, u64> =
        serde_json::from_slice(record.value.as_deref().unwrap_or_default()).map_err(|_| odd())?;
    let (station, count) = value
        .get("station_id")
        .copied()
        .zip(value.get("count").copied())
        .filter(|(station, _)| *station < STATIONS)
        .ok_or_else(odd)?;
    if record.key.as_deref() != Some(station.to_string().as_bytes()) {
        return Err(odd());
    }
    let before = newest.insert((0, station), count).unwrap_or_default();
    if count > before { Ok(()) } else { Err(format!("station {station} went from {before} to {count}")) }
}
