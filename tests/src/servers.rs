//! The harness itself, against the real servers: what a test relies on, seen to work before something is blamed on the host.

use support::flow::{Flow, TABLE, id};
use support::kafka::{Cluster, Record};
use support::proxy::{Mode, Proxy};
use support::reader::{Added, Ids, Reader};
use support::servers::{OwnKafka, OwnS3, servers, unique};
use support::store::Place;
use support::wait::{seconds, until};

#[test]
fn records_are_in_the_partitions_they_were_sent_to() {
    let cluster = Cluster::shared();
    let flow = Flow::new(&cluster, "harness", 3);
    flow.produce(0..1000);
    let ends: Vec<i64> = (0..3).map(|partition| cluster.end_offset(&flow.topic, partition)).collect();
    assert_eq!(ends, [334, 333, 333]);
    cluster.delete_topic(&flow.topic);
}

#[test]
fn sasl_lets_in_those_who_know_the_password() {
    for mechanism in ["PLAIN", "SCRAM-SHA-256"] {
        let flow = Flow::new(&Cluster::shared_sasl(mechanism, &servers().kafka_password), "harness_sasl", 1);
        flow.produce(0..10);
        assert_eq!(flow.cluster.end_offset(&flow.topic, 0), 10, "{mechanism}");
    }
}

#[test]
fn a_kafka_that_is_restarted_or_killed_keeps_address_and_records() {
    let kafka = OwnKafka::start();
    let flow = Flow::new(&Cluster::at(&kafka.bootstrap), "harness_restart", 1);
    flow.produce(0..100);
    kafka.restart();
    flow.produce(100..200);
    kafka.kill();
    kafka.start_again();
    flow.produce(200..300);
    assert_eq!(flow.cluster.end_offset(&flow.topic, 0), 300);
}

#[test]
fn connections_to_kafka_go_through_a_proxy_and_are_cut() {
    let proxy = Proxy::before("127.0.0.1:9");
    let _kafka = OwnKafka::start_behind(std::slice::from_ref(&proxy));
    let flow = Flow::new(&Cluster::at(&proxy.address()), "harness_proxied", 1);
    let producer = flow.cluster.producer();
    flow.send(&producer, 0..10);
    proxy.cut();
    flow.send(&producer, 10..20);
    proxy.set(Mode::Refuse);
    let value = Some(&b"{}"[..]);
    producer.send(&flow.topic, &Record { partition: Some(0), value, ..Record::default() });
    until(seconds(60), "a refused connection", || (proxy.faults() > 0).then_some(()));
    proxy.set(Mode::Pass);
    producer.flush();
    assert_eq!(flow.cluster.end_offset(&flow.topic, 0), 21);
}

#[test]
fn tables_are_listed_and_read_on_files_and_on_s3() {
    let own = OwnS3::start();
    for place in [Place::local(), Place::s3(), Place::on(&own.s3)] {
        let rows = write_parquet(&place, "t/date=2026-01-02/x-0-0-0.parquet", "select 7 as a, null::integer as b");
        assert_eq!(rows, 1);
        assert_eq!(place.list("t").into_keys().collect::<Vec<_>>(), ["t/date=2026-01-02/x-0-0-0.parquet"]);
        assert!(place.list("u").is_empty() && place.read("t/none").is_none());
        let mut reader = Reader::open(&place, "t", "parquet");
        let read = reader.row("select a, b, date from t");
        assert_eq!(serde_json::to_string(&read).unwrap(), r#"[7,null,"2026-01-02"]"#);
        let names: Vec<String> = reader.columns().into_iter().map(|(name, kind)| format!("{name} {kind}")).collect();
        assert_eq!(names, ["a INTEGER", "b INTEGER", "date DATE"]);
    }
    own.kill();
    own.start_again();
}

#[test]
fn doubles_are_found_within_a_file_and_across_files() {
    let place = Place::local();
    let mut ids = Ids::default();
    let mut add = |name: &str, query: &str| {
        write_parquet(&place, name, query);
        let Place::Local(root) = &place else { unreachable!("it is local") };
        ids.add(&root.path().join(name), "id", name)
    };
    let range = |from: u64, to: u64| format!("select cast(i as varchar) as id from range({from}, {to}) r(i)");
    assert_eq!(add("a", &range(0, 10)), Added { rows: 10, doubles: vec![] });
    assert_eq!(add("b", &range(10, 20)), Added { rows: 10, doubles: vec![] });
    assert_eq!(add("c", &range(19, 21)), Added { rows: 2, doubles: vec![r#"["19","b","c"]"#.to_owned()] });
    let twice = add("d", "select unnest(['x', 'x']) as id");
    assert_eq!((twice.rows, twice.doubles.len()), (2, 1));
}

#[test]
fn what_is_wrong_in_a_table_is_seen_by_the_watch() {
    use support::watch::Watch;
    let place = Place::local();
    let watch = Watch::start(&place, TABLE, "id");
    write_parquet(&place, &format!("{TABLE}/date=2026-01-01/x-0-0-0.parquet"), &format!("select '{}' as id", id(1)));
    assert_eq!(watch.finish().rows, 1);
    for (name, query) in
        [("x-0-0-1.parquet", format!("select '{}' as id", id(1))), ("_temporary", "select 'new' as id".to_owned())]
    {
        let watch = Watch::start(&place, TABLE, "id");
        write_parquet(&place, &format!("{TABLE}/{name}"), &query);
        let finished = std::thread::spawn(move || watch.finish()).join();
        assert!(finished.is_err(), "{name} went unnoticed");
        let Place::Local(root) = &place else { unreachable!("it is local") };
        std::fs::remove_file(root.path().join(TABLE).join(name)).unwrap();
    }
}

/// Writes the rows of a query to a Parquet file of a place, by DuckDB; returns how many.
fn write_parquet(place: &Place, path: &str, query: &str) -> u64 {
    let staged = std::env::temp_dir().join(unique("rillgate-rows"));
    let mut reader = Reader::idle();
    let rows = reader.count(&format!("copy ({query}) to '{}' (format parquet)", staged.display()));
    place.write(path, &std::fs::read(&staged).unwrap());
    std::fs::remove_file(staged).unwrap();
    rows
}
