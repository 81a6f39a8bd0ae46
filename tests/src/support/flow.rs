//! Records whose every field follows from their number, the pipeline that they go through, and what must come out of it.

use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use super::host::{Config, Host};
use super::kafka::{Cluster, Producer, Record};
use super::reader::Reader;
use super::servers::{clone, unique};
use super::store::Place;
use super::wait::{seconds, until};

/// The table that the pipeline writes.
pub const TABLE: &str = "railway_station/passenger_flow";

/// 2026-01-01T00:00:00Z in milliseconds, when record 0 was made.
pub const EPOCH_MS: u64 = 1_767_225_600_000;
/// After 60 days the records' times begin again.
const SPAN_MS: u64 = 60 * 86_400_000;

/// One record in this many has no value, or an empty one; those are skipped.
const SKIPPED: u64 = 100;

/// A topic of such records.
#[derive(Debug, Clone)]
pub struct Flow {
    /// Where the topic is.
    pub cluster: Cluster,
    /// Its name.
    pub topic: String,
    /// Record `i` goes to partition `i % partitions`.
    pub partitions: u64,
    /// Milliseconds from one record's time to the next one's: how many days, and so files, an epoch spans.
    pub step_ms: u64,
    pipeline: String,
}

/// What a table holds of the records that were sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// Rows in it.
    pub rows: u64,
    /// Rows of a record that another row has already.
    pub doubles: u64,
    /// Records of which it has no row, though it should.
    pub losses: u64,
}

impl Flow {
    /// A new topic on this cluster.
    pub fn new(cluster: &Cluster, name: &str, partitions: u64) -> Self {
        let topic = unique(name);
        cluster.create_topic(&topic, i32::try_from(partitions).unwrap(), &[]);
        Self { cluster: cluster.clone(), pipeline: topic.clone(), topic, partitions, step_ms: 1_500 }
    }

    /// The same topic, reached by other properties.
    pub fn by(&self, cluster: &Cluster) -> Self {
        Self { cluster: cluster.clone(), ..self.clone() }
    }

    /// The consumer group of the pipeline.
    pub fn group(&self) -> String {
        format!("rillgate.{}", self.pipeline)
    }

    /// The pipeline: through the railway's plugin into Parquet by day, a commit each `every`.
    pub fn config(&self, place: &Place, every: &str) -> Config {
        Config::new(&self.cluster, place, &self.section(every))
    }

    /// The same as a section of pipelines.toml, for a configuration that has others beside it.
    pub fn section(&self, every: &str) -> String {
        let Self { topic, pipeline, .. } = self;
        let plugin = clone().join("plugins/railway.wasm");
        let plugin = plugin.display();
        assert!(clone().join("plugins/railway.wasm").is_file(), "{plugin} is missing: run `make build`");
        format!(
            r#"[pipeline.{pipeline}]
topic = "{topic}"
decode = {{ format = "json" }}
columns = {{ id = "utf8", train_id = "utf8", station = "utf8", timestamp = "timestamp", waiting_time = "float64", ticket_check_time = "float64", reduced_flow_factor = "float64" }}
transform = [{{ plugin = '{plugin}', settings = {{ topic = "passenger_flow" }} }}]
sink = {{ table = "{TABLE}", format = "parquet", partition_by = ["date"], every = "{every}" }}
"#
        )
    }

    /// Sends these records and returns when the broker has them.
    pub fn produce(&self, records: Range<u64>) {
        self.send(&self.cluster.producer(), records);
    }

    /// Sends these records with a producer that is there already.
    pub fn send(&self, producer: &Producer, records: Range<u64>) {
        for i in records {
            let (key, value) = (id(i), value(i, self.step_ms));
            let partition = i32::try_from(i % self.partitions).unwrap();
            let key = Some(key.as_bytes());
            producer.send(
                &self.topic,
                &Record { partition: Some(partition), key, value: value.as_deref(), ..Record::default() },
            );
        }
        producer.flush();
    }

    /// Returns when the table has more files than it has now; panics if the host ends before.
    pub fn expect_progress(&self, place: &Place, host: &mut Host) {
        let before = place.list(TABLE).len();
        until(seconds(60), "more files in the table", || {
            host.expect_running();
            (place.list(TABLE).len() > before).then_some(())
        });
    }

    /// Returns when so many hosts have partitions of it.
    pub fn expect_members(&self, count: usize) {
        until(seconds(60), &format!("{count} hosts with partitions"), || {
            (self.cluster.members_with_partitions(&self.group()) == count).then_some(())
        });
    }

    /// What must be true when everything has come to rest: after one more run, the log and the table agree, and the table
    /// holds records `0..count`, each once.
    pub fn expect_complete(&self, config: &Config, place: &Place, count: u64) {
        config.catch_up(CATCH_UP);
        config.verify();
        self.expect_exactly_once(place, count);
    }

    /// Counts what the table holds of records `0..count`.
    pub fn count(&self, place: &Place, count: u64) -> Counted {
        let mut table = Reader::open(place, TABLE, "parquet");
        let ours = format!("cast(substr(id, 4) as bigint) < {count}");
        let row = table.row(&format!("select count(*), count(distinct id), count(distinct id) filter ({ours}) from t"));
        let [rows, distinct, ours] = [0, 1, 2].map(|column: usize| row[column].as_u64().unwrap());
        Counted { rows, doubles: rows - distinct, losses: kept(count).saturating_sub(ours) }
    }

    /// Checks that the table holds records `0..count`, each once, with every column as it must be.
    pub fn expect_exactly_once(&self, place: &Place, count: u64) {
        let mut table = Reader::open(place, TABLE, "parquet");
        let (ids, step) = ("cast(substr(id, 4) as bigint)", self.step_ms);
        let rows = table.row(&format!("select count(*), count(distinct id), min({ids}), max({ids}) from t"));
        let rows: Vec<u64> = rows.iter().map(|value| value.as_u64().unwrap()).collect();
        let last = (0..count).rfind(|i| i % SKIPPED != SKIPPED - 1).unwrap();
        assert_eq!(rows, [kept(count), kept(count), 0, last], "rows, different ids, first id, last id");
        for (column, expected) in [
            ("train_id", "'TR-' || lpad(cast(i % 997 as varchar), 4, '0')".to_owned()),
            (
                "station",
                "case when i % 10 = 4 then null else 'Station ' || chr(cast(65 + i % 4 as int)) end".to_owned(),
            ),
            ("epoch_ms(timestamp)", format!("{EPOCH_MS} + i * {step} % {SPAN_MS}")),
            ("waiting_time", "case when i % 10 = 7 then null else (i % 600) / 8 end".to_owned()),
            ("ticket_check_time", "case when i % 10 = 8 then null else 1 + (i % 3) / 4 end".to_owned()),
            ("reduced_flow_factor", "case when i % 50 = 0 then 0.5 else 1.0 end".to_owned()),
            ("date", "cast(timestamp as date)".to_owned()),
        ] {
            let wrong = format!(
                "select id, {column}, {expected} from (select *, {ids} as i from t) where {column} is distinct from {expected} limit 3"
            );
            let wrong = table.rows(&wrong);
            assert!(wrong.is_empty(), "{column} (id, read, expected): {wrong:?}");
        }
    }
}

/// A thread that sends records until it is told to finish, some thousands a second.
#[derive(Debug)]
pub struct Producing {
    /// Dropped to end it.
    stop: Sender<()>,
    thread: JoinHandle<u64>,
}

impl Producing {
    /// Begins with record 0; as many as the machine has time for.
    pub fn start(flow: &Flow) -> Self {
        Self::paced(flow, 500)
    }

    /// Begins with record 0; 50 times a second, if not less often, this many.
    pub fn paced(flow: &Flow, burst: u64) -> Self {
        let (flow, producer) = (flow.clone(), flow.cluster.producer());
        Self::by(burst, move |records| flow.send(&producer, records))
    }

    /// The same with records of another kind: `send` returns when the broker has them.
    pub fn by(burst: u64, send: impl Fn(Range<u64>) + Send + 'static) -> Self {
        Self::until_told(0, burst, send, || {})
    }

    /// The same at that pace, after `backlog` records at once: nobody waits for the broker but for those, and at the end, which takes a tenth of
    /// a second each time.
    pub fn at_pace(
        backlog: u64,
        burst: u64,
        producer: Producer,
        send: impl Fn(&Producer, Range<u64>) + Send + 'static,
    ) -> Self {
        let producer = Arc::new(producer);
        let last = Arc::clone(&producer);
        if backlog > 0 {
            send(&producer, 0..backlog);
            producer.flush();
        }
        Self::until_told(backlog, burst, move |records| send(&producer, records), move || last.flush())
    }

    fn until_told(
        first: u64,
        burst: u64,
        send: impl Fn(Range<u64>) + Send + 'static,
        end: impl FnOnce() + Send + 'static,
    ) -> Self {
        let (stop, stopped) = mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            let mut sent = first;
            // The pace leaves the others some of the machine.
            while stopped.recv_timeout(Duration::from_millis(20)) == Err(RecvTimeoutError::Timeout) {
                send(sent..sent + burst);
                sent += burst;
            }
            end();
            sent
        });
        Self { stop, thread }
    }

    /// Ends it and says how many records there are.
    pub fn finish(self) -> u64 {
        drop(self.stop);
        self.thread.join().unwrap()
    }
}

/// How long the host may take to catch up in a test. Generous: the machine may have other things to do.
pub const CATCH_UP: Duration = Duration::from_secs(240);

/// How many of records `0..count` make a row.
pub fn kept(count: u64) -> u64 {
    count - count / SKIPPED
}

/// The id of record `i`.
pub fn id(i: u64) -> String {
    format!("psf{i:09}")
}

/// The value of record `i`. Numbers are multiples of powers of two, so that equal means equal.
fn value(i: u64, step_ms: u64) -> Option<Vec<u8>> {
    if i % SKIPPED == SKIPPED - 1 {
        return (i / SKIPPED).is_multiple_of(2).then(Vec::new);
    }
    let ms = EPOCH_MS + i * step_ms % SPAN_MS;
    // Both ways in which feeds have sent times.
    let timestamp = if i.is_multiple_of(2) { ms.to_string() } else { format!("\"{}\"", iso(ms)) };
    let station = match i % 10 {
        4 => "null".to_owned(),
        _ => format!("\"Station {}\"", char::from(b'A' + u8::try_from(i % 4).unwrap())),
    };
    let waiting_time = if i % 10 == 7 { "null".to_owned() } else { ((i % 600) as f64 / 8.0).to_string() };
    let check =
        if i % 10 == 8 { String::new() } else { format!(",\"ticket_check_time\":{}", 1.0 + (i % 3) as f64 / 4.0) };
    let factor = if i.is_multiple_of(50) { 0.5 } else { 1.0 };
    let (id, train) = (id(i), i % 997);
    Some(
        format!(
            r#"{{"id":"{id}","train_id":"TR-{train:04}","station":{station},"timestamp":{timestamp},"waiting_time":{waiting_time}{check},"reduced_flow_factor":{factor},"unknown":[{i}]}}"#
        )
        .into_bytes(),
    )
}

/// ISO-8601 of a time in 2026, milliseconds since 1970-01-01T00:00:00Z.
pub fn iso(ms: u64) -> String {
    const MONTHS: [u64; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let since = ms - EPOCH_MS;
    let (mut day, time) = (since / 86_400_000, since % 86_400_000);
    let mut month = 0;
    while day >= MONTHS[month] {
        day -= MONTHS[month];
        month += 1;
    }
    let (hour, minute, second) = (time / 3_600_000, time / 60_000 % 60, time / 1000 % 60);
    format!("2026-{:02}-{:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", month + 1, day + 1, time % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_json_and_their_times_are_right() {
        assert_eq!(iso(EPOCH_MS), "2026-01-01T00:00:00.000Z");
        assert_eq!(iso(1_772_368_496_789), "2026-03-01T12:34:56.789Z");
        assert_eq!((value(99, 1).as_deref(), value(199, 1)), (Some(&b""[..]), None));
        for i in 0..SKIPPED - 1 {
            let record: serde_json::Value = serde_json::from_slice(&value(i, 90_000).unwrap()).unwrap();
            assert_eq!(record["id"], id(i));
        }
        assert_eq!([0, 99, 100, 101, 200].map(kept), [0, 99, 99, 100, 198]);
    }
}
