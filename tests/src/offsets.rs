//! Where a pipeline begins and ends, and what it does when Kafka no longer has what comes next.

use support::flow::CATCH_UP;
use support::host::Config;
use support::kafka::{Cluster, Record};
use support::reader::Reader;
use support::servers::unique;
use support::store::Place;
use support::wait::{seconds, until};

const TABLE: &str = "numbers";

/// A topic of one partition, whose values are `{"n": 0}`, `{"n": 1}` ...
struct Numbers {
    cluster: Cluster,
    topic: String,
    place: Place,
}

impl Numbers {
    fn new(name: &str) -> Self {
        let (cluster, topic) = (Cluster::shared(), unique(name));
        cluster.create_topic(&topic, 1, &[]);
        Self { cluster, topic, place: Place::local() }
    }

    /// Sends these numbers; number `n` has the timestamp `n` seconds after a day in 2026.
    fn send(&self, numbers: std::ops::Range<i64>) {
        let producer = self.cluster.producer();
        for n in numbers {
            let value = format!("{{\"n\": {n}}}");
            let timestamp_ms = Some(1_767_225_600_000 + n * 1000);
            let record =
                Record { partition: Some(0), value: Some(value.as_bytes()), timestamp_ms, ..Record::default() };
            producer.send(&self.topic, &record);
        }
        producer.flush();
    }

    fn config(&self, more: &str) -> Config {
        let topic = &self.topic;
        let pipeline = format!(
            "[pipeline.{topic}]\ntopic = \"{topic}\"\ndecode.format = \"json\"\ncolumns.n = \"int64\"\n\
             sink = {{ table = \"{TABLE}\", every = \"1s\" }}\n{more}\n"
        );
        Config::new(&self.cluster, &self.place, &pipeline)
    }

    #[track_caller]
    fn expect(&self, numbers: impl IntoIterator<Item = i64>) {
        let mut table = Reader::open(&self.place, TABLE, "parquet");
        let row = table.row("select coalesce(list(n order by n), []) from t");
        let expected: Vec<i64> = numbers.into_iter().collect();
        // Lists come out of the reader as text.
        assert_eq!(row[0], format!("{expected:?}"));
    }
}

#[test]
fn latest_begins_after_what_is_there_and_stays_there_through_a_restart() {
    let numbers = Numbers::new("latest");
    numbers.send(0..10);
    let config = numbers.config("start = \"latest\"");
    config.catch_up(CATCH_UP);
    // Claimed, and ended before it committed anything: where it began stands in the log.
    numbers.send(10..15);
    config.catch_up(CATCH_UP);
    config.verify();
    numbers.expect(10..15);
}

#[test]
fn a_time_begins_with_the_first_record_at_or_after_it() {
    let numbers = Numbers::new("timestamp");
    numbers.send(0..100);
    let config = numbers.config("start = \"2026-01-01T00:01:10Z\"");
    config.catch_up(CATCH_UP);
    numbers.expect(70..100);
}

#[test]
fn records_that_kafka_no_longer_has_stop_the_pipeline_unless_it_may_go_on() {
    let numbers = Numbers::new("retention");
    numbers.send(0..10);
    numbers.config("").catch_up(CATCH_UP);
    numbers.send(10..30);
    numbers.cluster.delete_records_before(&numbers.topic, 20);

    let stopped = numbers.config("").host(&["run", "--until-caught-up"]).ends_within(seconds(60));
    stopped.expect_code(1).expect_output("no records of").expect_output("on_data_loss = \"continue\"");
    numbers.expect(0..10);

    let going_on = numbers.config("on_data_loss = \"continue\"");
    going_on.catch_up(CATCH_UP);
    numbers.expect((0..10).chain(20..30));
    let verified = going_on.host(&["verify"]).ends_within(seconds(60)).expect_code(0);
    verified.expect_output("lost by Kafka").expect_output("10..20");
}

#[test]
fn a_topic_made_anew_stops_the_pipeline_unless_it_may_go_on() {
    let numbers = Numbers::new("anew");
    numbers.send(0..10);
    numbers.config("").catch_up(CATCH_UP);
    numbers.cluster.delete_topic(&numbers.topic);
    // The broker removes a topic in its own time, and refuses to make it until then.
    until(seconds(60), "the topic to be gone", || {
        let made = std::panic::catch_unwind(|| numbers.cluster.create_topic(&numbers.topic, 1, &[]));
        made.is_ok().then_some(())
    });
    numbers.send(100..105);

    let stopped = numbers.config("").host(&["run", "--until-caught-up"]).ends_within(seconds(60));
    stopped.expect_code(1).expect_output("made anew");
    let going_on = numbers.config("on_data_loss = \"continue\"");
    going_on.catch_up(CATCH_UP);
    going_on.verify();
    numbers.expect((0..10).chain(100..105));
}

#[test]
fn a_topic_that_ends_with_transaction_markers_is_caught_up() {
    let numbers = Numbers::new("transactions");
    numbers.cluster.send_transaction(&numbers.topic, &["{\"n\": 1}", "{\"n\": 2}"], true);
    let config = numbers.config("");
    config.catch_up(CATCH_UP);
    numbers.expect([1, 2]);
    // Nothing but what was aborted, and its marker.
    numbers.cluster.send_transaction(&numbers.topic, &["{\"n\": 3}"], false);
    config.catch_up(CATCH_UP);
    config.catch_up(CATCH_UP);
    config.verify();
    numbers.expect([1, 2]);
}

#[test]
fn a_topic_that_is_not_there_is_named() {
    let numbers = Numbers { topic: unique("missing"), ..Numbers::new("there") };
    let ended = numbers.config("").host(&["run", "--until-caught-up"]).ends_within(seconds(60));
    ended.expect_code(3).expect_output(&numbers.topic).expect_output("does not exist");
}

#[test]
fn a_record_is_seen_without_more_to_push_it() {
    let numbers = Numbers::new("latency");
    let config = numbers.config("");
    let host = config.run();
    until(seconds(30), "the host to have its partition", || {
        (numbers.cluster.members_with_partitions(&format!("rillgate.{}", numbers.topic)) == 1).then_some(())
    });
    numbers.send(0..5);
    until(seconds(30), "the records in the table", || (!numbers.place.list(TABLE).is_empty()).then_some(()));
    host.stop();
    config.verify();
    numbers.expect(0..5);
}
