//! Avro on a real Kafka with a real registry, sent by a producer that is no part of rillgate: each record is a row or a dead
//! letter, whatever becomes of its schema and of the registry.

use serde_json::{Value, json};

use support::flow::CATCH_UP;
use support::host::{Config, Host};
use support::kafka::Cluster;
use support::letters::dead_letters;
use support::proxy::{Mode, Proxy};
use support::reader::Reader;
use support::registry::{AvroProducer, address_and_path, door, registry};
use support::servers::unique;
use support::store::Place;
use support::wait::{seconds, until};

const PARTITIONS: i32 = 2;
const TABLE: &str = "cta/arrivals";

/// A topic, its pipeline, and where its rows go.
struct Arrivals {
    topic: String,
    cluster: Cluster,
    place: Place,
    producer: AvroProducer,
}

fn arrival_schema(more: &[Value]) -> Value {
    let field = |name: &str, kind: Value| json!({ "name": name, "type": kind });
    let nullable = |name: &str, kind: &str| json!({ "name": name, "type": ["null", kind], "default": null });
    let mut fields = vec![
        field("station_id", json!("int")),
        field("train_id", json!("string")),
        field("direction", json!("string")),
        field("line", json!({ "type": "enum", "name": "line", "symbols": ["red", "blue", "green"] })),
        field("train_status", json!("string")),
        nullable("prev_station_id", "int"),
        nullable("prev_direction", "string"),
    ];
    fields.extend_from_slice(more);
    json!({ "type": "record", "namespace": "com.chicago.cta", "name": "arrival", "fields": fields })
}

fn key_schema() -> Value {
    let at = json!({ "type": "long", "logicalType": "timestamp-millis" });
    json!({ "type": "record", "namespace": "com.chicago.cta", "name": "arrival_key", "fields": [{ "name": "timestamp", "type": at }] })
}

fn arrival(i: usize) -> Value {
    let line = ["red", "blue", "green"][i % 3];
    let before = (i % 5 != 0).then(|| 40_000 + i - 1);
    json!({
        "station_id": 40_000 + i, "train_id": format!("{}L{i:03}", &line[..1]), "direction": if i.is_multiple_of(2) { "a" } else { "b" },
        "line": line, "train_status": "in_service", "prev_station_id": before, "prev_direction": before.map(|_| "b"),
    })
}

fn with(mut value: Value, name: &str, more: Value) -> Value {
    value[name] = more;
    value
}

impl Arrivals {
    fn new(name: &str) -> Self {
        let topic = unique(name);
        let cluster = Cluster::shared();
        cluster.create_topic(&topic, PARTITIONS, &[]);
        Self { topic, cluster, place: Place::local(), producer: AvroProducer::start() }
    }

    fn register(&mut self, schema: &Value) -> u64 {
        self.producer.register(&format!("{}-value", self.topic), schema)
    }

    fn send(&mut self, id: u64, values: impl IntoIterator<Item = Value>) {
        let records: Vec<Value> = values
            .into_iter()
            .enumerate()
            .map(|(i, value)| json!({ "partition": i % PARTITIONS as usize, "value": value }))
            .collect();
        self.producer.send(&self.topic, None, Some(id), &records);
    }

    fn config(&self, registry: &str, decode: &str) -> Config {
        self.config_beside(registry, decode, "")
    }

    fn config_beside(&self, registry: &str, decode: &str, others: &str) -> Config {
        let Self { topic, .. } = self;
        let text = format!(
            "[schema_registry]\n{registry}\n[pipeline.{topic}]\ntopic = \"{topic}\"\n{decode}\n\
             sink = {{ table = \"{TABLE}\", every = \"1s\" }}\n{others}"
        );
        Config::new(&self.cluster, &self.place, &text)
    }

    fn rows(&self, sql: &str) -> Vec<Vec<Value>> {
        Reader::open(&self.place, TABLE, "parquet").rows(sql)
    }

    fn letters(&self) -> Vec<(i64, i64, String)> {
        let letters = dead_letters(&self.place, &self.topic, "json", &self.topic);
        letters.into_iter().map(|((partition, offset), letter)| (partition, offset, letter.reason)).collect()
    }

    /// Waits until the table has so many rows.
    fn expect_rows(&self, host: &mut Host, count: u64) {
        until(seconds(90), "the rows", || {
            host.expect_running();
            let there = !self.place.list(TABLE).is_empty();
            (there && self.rows("select count(*) from t")[0][0] == count).then_some(())
        });
    }
}

fn url(url: &str) -> String {
    format!("url = \"{url}\"")
}

#[test]
fn records_keys_and_columns_come_by_the_registry_alone() {
    let mut arrivals = Arrivals::new("avro_arrivals");
    let topic = arrivals.topic.clone();
    let (value, key) =
        (arrivals.register(&arrival_schema(&[])), arrivals.producer.register(&format!("{topic}-key"), &key_schema()));
    let count = 3_000;
    let records: Vec<Value> = (0..count)
        .map(|i| json!({ "partition": i % 2, "key": { "timestamp": 1_700_000_000_000_u64 + i as u64 }, "value": arrival(i) }))
        .collect();
    arrivals.producer.send(&topic, Some(key), Some(value), &records);
    let config = arrivals.config(&url(registry()), "decode = { format = \"avro\", key = \"avro\" }");

    let checked = config.host(&["check", "--json"]).ends_within(seconds(60)).expect_code(0);
    let described: Value = serde_json::from_str(checked.output.lines().next().unwrap()).unwrap();
    let columns: Vec<String> = described["columns"]
        .as_array()
        .unwrap()
        .iter()
        .map(|column| {
            format!("{} {} {}", column["name"].as_str().unwrap(), column["type"].as_str().unwrap(), column["nullable"])
        })
        .collect();
    assert_eq!(
        columns,
        [
            "key_timestamp timestamp false",
            "station_id int32 false",
            "train_id utf8 false",
            "direction utf8 false",
            "line utf8 false",
            "train_status utf8 false",
            "prev_station_id int32 true",
            "prev_direction utf8 true",
        ]
    );

    config.catch_up(CATCH_UP);
    config.verify();
    let found = arrivals.rows("select epoch_ms(key_timestamp), station_id, train_id, direction, line, train_status, prev_station_id, prev_direction from t order by station_id");
    assert_eq!(found.len(), count);
    for (i, row) in found.iter().enumerate() {
        let sent = arrival(i);
        let expected: Vec<Value> = std::iter::once(json!(1_700_000_000_000_u64 + i as u64))
            .chain(
                ["station_id", "train_id", "direction", "line", "train_status", "prev_station_id", "prev_direction"]
                    .map(|name| sent[name].clone()),
            )
            .collect();
        assert_eq!(row, &expected);
    }
    assert_eq!(arrivals.letters(), []);
}

#[test]
fn schemas_change_in_mid_stream() {
    let mut arrivals = Arrivals::new("avro_evolution");
    let old = arrivals.register(&arrival_schema(&[]));
    arrivals.send(old, (0..100).map(arrival));
    let delay = json!({ "name": "delay_s", "type": ["null", "double"], "default": null });
    let cars = json!({ "name": "cars", "type": "long", "default": 8 });
    let middle = arrivals.register(&arrival_schema(&[delay.clone(), cars.clone()]));
    assert_ne!(old, middle);
    arrivals.send(middle, (100..200).map(|i| with(with(arrival(i), "delay_s", json!(0.5)), "cars", json!(4))));
    arrivals.send(old, (200..300).map(arrival));

    let config = arrivals.config(&url(registry()), "decode = { format = \"avro\" }");
    let mut host = config.run();
    arrivals.expect_rows(&mut host, 300);
    // While it runs: one field more that no column reads, and `cars` is an int now.
    let cars = json!({ "name": "cars", "type": "int", "default": 8 });
    let note = json!({ "name": "note", "type": { "type": "map", "values": "string" }, "default": {} });
    let new = arrivals.register(&arrival_schema(&[note, delay, cars]));
    let newer = |i| with(with(with(arrival(i), "delay_s", json!(null)), "cars", json!(2)), "note", json!({ "a": "b" }));
    arrivals.send(new, (300..400).map(newer));
    arrivals.send(middle, (400..500).map(|i| with(with(arrival(i), "delay_s", json!(1.5)), "cars", json!(6))));
    arrivals.expect_rows(&mut host, 500);
    host.stop();
    config.verify();

    let found = arrivals.rows("select station_id, delay_s, cars from t order by station_id");
    for (i, row) in found.iter().enumerate() {
        let (delay, cars) = match i / 100 {
            0 | 2 => (json!(null), 8),
            1 => (json!(0.5), 4),
            3 => (json!(null), 2),
            _ => (json!(1.5), 6),
        };
        assert_eq!(row, &[json!(40_000 + i), delay, json!(cars)]);
    }
    assert_eq!(arrivals.letters(), []);
}

const DECLARED: &str = "decode = { format = \"avro\" }\ncolumns = { station_id = \"int32\", line = \"utf8\" }";

#[test]
fn a_registry_that_is_away_loses_nothing_and_holds_up_nobody_else() {
    let mut arrivals = Arrivals::new("avro_away");
    let first = arrivals.register(&arrival_schema(&[]));
    arrivals.send(first, (0..100).map(arrival));
    let other = unique("avro_beside");
    arrivals.cluster.create_topic(&other, PARTITIONS, &[]);
    let (address, path) = address_and_path(registry());
    let proxy = Proxy::before(address);
    let through = format!("http://{}{path}", proxy.address());
    let beside = format!(
        "[pipeline.{other}]\ntopic = \"{other}\"\ndecode = {{ format = \"json\" }}\ncolumns = {{ n = \"int64\" }}\n\
         sink = {{ table = \"beside\", every = \"1s\" }}\n"
    );
    let config = arrivals.config_beside(&url(&through), DECLARED, &beside);
    let mut sent = 0;
    let mut goes_on = |host: &mut Host, place: &Place, producer: &mut AvroProducer| {
        let records: Vec<Value> = (0..10).map(|n| json!({ "partition": n % 2, "value": "7b226e223a317d" })).collect();
        producer.send(&other, None, None, &records);
        sent += 10;
        until(seconds(90), "the other pipeline's rows", || {
            host.expect_running();
            let there = !place.list("beside").is_empty();
            (there && Reader::open(place, "beside", "parquet").count("select count(*) from t") == sent).then_some(())
        });
    };

    // At the start, with one worker for all tasks: who waits must not keep it.
    proxy.set(Mode::Refuse);
    let mut host = config.host(&["run", "--workers", "1"]);
    until(seconds(60), "it to be waited for", || host.output().contains("waiting for a schema").then_some(()));
    goes_on(&mut host, &arrivals.place, &mut arrivals.producer);
    assert!(arrivals.place.list(TABLE).is_empty());
    proxy.set(Mode::Pass);
    arrivals.expect_rows(&mut host, 100);

    // In mid-stream, when a new schema comes: first it swallows requests, then it answers 503.
    let delay = json!({ "name": "delay_s", "type": ["null", "double"], "default": null });
    let second = arrivals.register(&arrival_schema(&[delay]));
    proxy.set(Mode::Hold);
    proxy.cut();
    arrivals.send(second, (100..200).map(|i| with(arrival(i), "delay_s", json!(null))));
    arrivals.send(first, (200..300).map(arrival));
    goes_on(&mut host, &arrivals.place, &mut arrivals.producer);
    proxy.set(Mode::Unavailable);
    proxy.cut();
    until(seconds(60), "503 to be seen", || host.output().contains("HTTP 503").then_some(()));
    goes_on(&mut host, &arrivals.place, &mut arrivals.producer);
    proxy.set(Mode::Pass);
    arrivals.expect_rows(&mut host, 300);

    // Stopped while it waits, it commits what it has, and goes on with the rest another time.
    proxy.set(Mode::Refuse);
    let note = json!({ "name": "note", "type": "string", "default": "" });
    let third = arrivals.register(&arrival_schema(&[note]));
    let seen = host.output().matches("waiting for a schema").count();
    arrivals.send(third, (300..400).map(|i| with(arrival(i), "note", json!("x"))));
    until(seconds(60), "it to be waited for", || {
        (host.output().matches("waiting for a schema").count() > seen).then_some(())
    });
    host.stop();
    proxy.set(Mode::Pass);
    config.catch_up(CATCH_UP);
    config.verify();
    let found = arrivals.rows("select station_id from t order by station_id");
    let expected: Vec<Vec<Value>> = (0..400).map(|i| vec![json!(40_000 + i)]).collect();
    assert_eq!(found, expected);
    assert_eq!(arrivals.letters(), []);
}

#[test]
fn what_is_no_avro_is_a_dead_letter() {
    let mut arrivals = Arrivals::new("avro_garbage");
    let id = arrivals.register(&arrival_schema(&[]));
    let topic = arrivals.topic.clone();
    let unknown = 4_000_000_000_u64;
    let good = |i: usize| json!({ "partition": 0, "value": arrival(i) });
    arrivals.producer.send(&topic, None, Some(id), &[good(0), good(1)]);
    let bad = [
        (format!("00{unknown:08x}02"), format!("schema {unknown}: the schema registry has no schema of this id")),
        (format!("00{id:08x}"), format!("not Avro of schema {id}: column station_id: it ends in the middle")),
        (format!("00{id:08x}02feffffff0f"), format!("not Avro of schema {id}: it ends in the middle")),
        (format!("00{id:08x}0202780061ff"), format!("not Avro of schema {id}: ")),
        ("7b22737461".to_owned(), "not in Confluent's wire format".to_owned()),
        ("00".to_owned(), "not in Confluent's wire format".to_owned()),
    ];
    let records: Vec<Value> = bad.iter().map(|(bytes, _)| json!({ "partition": 0, "value": bytes })).collect();
    arrivals.producer.send(&topic, None, None, &records);
    arrivals.producer.send(&topic, None, None, &[json!({ "partition": 0, "value": null })]);
    arrivals.producer.send(&topic, None, Some(id), &[good(2)]);

    let config = arrivals.config(&url(registry()), DECLARED);
    config.catch_up(CATCH_UP);
    config.verify();
    let found = arrivals.rows("select station_id, line from t order by station_id");
    assert_eq!(found, [[json!(40_000), json!("red")], [json!(40_001), json!("blue")], [json!(40_002), json!("green")]]);
    let letters = arrivals.letters();
    assert_eq!(letters.len(), bad.len(), "{letters:?}");
    for ((at, (_, reason)), (_, offset, found)) in bad.iter().enumerate().zip(&letters) {
        assert_eq!(*offset, 2 + at as i64);
        assert!(found.contains(reason), "{found} does not say {reason}");
    }
}

#[test]
fn who_knows_the_password_is_let_in() {
    let mut arrivals = Arrivals::new("avro_door");
    let id = arrivals.register(&arrival_schema(&[]));
    arrivals.send(id, (0..10).map(arrival));
    let (address, path) = address_and_path(registry());
    // me:s3cret-word
    let url = format!("{}{path}", door(address, "bWU6czNjcmV0LXdvcmQ="));
    let login = |password: &str| format!("url = \"{url}\"\nusername = \"me\"\npassword = \"{password}\"");
    for decode in [DECLARED, "decode = { format = \"avro\" }"] {
        let config = arrivals.config(&login("wr0ng-word"), decode);
        let refused = config.host(&["run", "--until-caught-up"]);
        let refused = refused
            .ends_within(seconds(60))
            .expect_code(3)
            .expect_output("refuses the user or the password (HTTP 401)");
        assert!(!refused.output.contains("wr0ng-word"), "{}", refused.output);
    }
    let config = arrivals.config(&login("s3cret-word"), "decode = { format = \"avro\" }");
    config.catch_up(CATCH_UP);
    assert_eq!(arrivals.rows("select count(*) from t"), [[json!(10)]]);
}

#[test]
fn check_needs_the_registry_only_where_columns_come_from_it() {
    let arrivals = Arrivals::new("avro_check");
    let nobody = "url = \"http://127.0.0.1:1/apis/ccompat/v7\"";
    let declared = arrivals.config(nobody, DECLARED);
    declared.host(&["check"]).ends_within(seconds(60)).expect_code(0);
    let words = ["come from the schema registry", "http://127.0.0.1:1/apis/ccompat/v7", "connection refused"];
    for command in [&["check"][..], &["run", "--until-caught-up"]] {
        let config = arrivals.config(nobody, "decode = { format = \"avro\" }");
        let ended = config.host(command).ends_within(seconds(60)).expect_code(3);
        words.into_iter().fold(ended, |ended, words| ended.expect_output(words));
    }
    let lacking = arrivals.config(&url(registry()), "decode = { format = \"avro\" }");
    let lacking = lacking.host(&["check", "--json"]);
    lacking.ends_within(seconds(60)).expect_code(3).expect_output(&format!("no subject `{}-value`", arrivals.topic));
    let without = "decode = { format = \"avro\" }\ncolumns = { a = \"utf8\" }\nsink = { table = \"a\" }";
    let text = format!("[pipeline.p]\ntopic = \"t\"\n{without}\n");
    let config = Config::new(&arrivals.cluster, &arrivals.place, &text);
    config.host(&["check"]).ends_within(seconds(60)).expect_code(2).expect_output("add [schema_registry]");
}
