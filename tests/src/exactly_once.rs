//! 200,000 records through a plugin into a table: each exactly once, with every value right, as DuckDB reads it.

use support::flow::{CATCH_UP, Flow, TABLE};
use support::kafka::Cluster;
use support::reader::Reader;
use support::store::Place;
use support::watch::data_file_name;

const RECORDS: u64 = 200_000;
const PARTITIONS: u64 = 6;

#[test]
fn each_record_once_on_files() {
    each_record_once(&Place::local());
}

#[test]
fn each_record_once_on_s3() {
    each_record_once(&Place::s3());
}

fn each_record_once(place: &Place) {
    let flow = Flow::new(&Cluster::shared(), "exactly_once", PARTITIONS);
    flow.produce(0..RECORDS);
    // One commit at the end of what there is, and some before.
    let config = flow.config(place, "1s");
    config.catch_up(CATCH_UP);
    config.verify();
    flow.expect_exactly_once(place, RECORDS);
    expect_types(place);
    expect_only_data_files(place, &flow.topic);

    // Nothing new: nothing happens.
    let files = place.list(TABLE);
    config.catch_up(CATCH_UP);
    assert_eq!(place.list(TABLE), files, "a run without records changed the table");

    // More records, of which the last alone makes a file for its partition.
    flow.produce(RECORDS..RECORDS + 1001);
    config.catch_up(CATCH_UP);
    config.verify();
    flow.expect_exactly_once(place, RECORDS + 1001);
    let later = place.list(TABLE);
    assert!(files.iter().all(|(path, size)| later.get(path) == Some(size)), "a published file has changed or gone");
}

fn expect_types(place: &Place) {
    let columns = Reader::open(place, TABLE, "parquet").columns();
    for (name, kind) in [
        ("id", "VARCHAR"),
        ("train_id", "VARCHAR"),
        ("station", "VARCHAR"),
        ("timestamp", "TIMESTAMP WITH TIME ZONE"),
        ("waiting_time", "DOUBLE"),
        ("ticket_check_time", "DOUBLE"),
        ("reduced_flow_factor", "DOUBLE"),
        ("date", "DATE"),
    ] {
        let found = columns.iter().find(|(column, _)| column == name);
        assert_eq!(found.map(|(_, kind)| kind.as_str()), Some(kind), "type of {name} in {columns:?}");
    }
}

fn expect_only_data_files(place: &Place, topic: &str) {
    let files = place.list(TABLE);
    assert!(!files.is_empty());
    for path in files.keys() {
        let file = data_file_name(path).unwrap();
        assert_eq!((file.topic.as_str(), file.extension.as_str()), (topic, "parquet"), "{path}");
        assert!((0..PARTITIONS).contains(&u64::try_from(file.partition).unwrap()), "{path}");
        assert!(file.start >= 0, "{path}");
        let folders: Vec<&str> = path.strip_prefix(TABLE).unwrap().trim_start_matches('/').split('/').collect();
        assert!(folders.len() == 2 && folders[0].starts_with("date=2026-01-0"), "not one folder of a day: {path}");
    }
}
