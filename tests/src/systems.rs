//! The systems whose records go to tables one by one: what their feeds send is what their tables hold. And the demo of all five;
//! what the other two make of their records is in `cta.rs` and `mta.rs`.

use std::collections::{BTreeSet, HashMap};
use std::process::Command;

use rillgate_feeds::{Record, System, feed};
use serde_json::Value;

use support::flow::CATCH_UP;
use support::host::{Ended, Host};
use support::reader::Reader;
use support::servers::{OwnKafka, clone};
use support::store::Place;
use support::wait::{seconds, until};
use support::watch::data_file_name;

/// Runs `rillgate` with the project's own pipelines.toml, as it is.
fn rillgate(arguments: &[&str], environment: &[(&str, &str)]) -> Host {
    let config = clone().join("pipelines.toml");
    Host::start_with(&[arguments, &["--config", config.to_str().unwrap()]].concat(), environment)
}

const FIGURES: [&str; 3] = ["railway_traffic", "railway_punctuality", "railway_faults"];

/// What pipelines' and tables' names begin with.
fn prefix(system: System) -> (String, &'static str) {
    let folder = match system {
        System::Railway => "railway_station",
        System::SmartCity => "smart_city",
        System::SmartTravel => "smart_travel",
        System::Cta | System::Mta => unreachable!("they have tests of their own"),
    };
    (system.name().replace('-', "_"), folder)
}

/// The folders of tables that a place holds. Panics if there is anything beside data files of days and the commit log.
fn tables(place: &Place) -> BTreeSet<String> {
    let mut tables = BTreeSet::new();
    let others = ["_rillgate/", "railway_figures/"];
    for path in place.list("").keys().filter(|path| !others.iter().any(|other| path.starts_with(other))) {
        let [folder, topic, day, _] = path.split('/').collect::<Vec<_>>()[..] else { panic!("{path}: not in a table") };
        let file = data_file_name(path).unwrap();
        assert!(file.topic == topic && file.extension == "parquet" && day.starts_with("date=20"), "{path}");
        tables.insert(format!("{folder}/{topic}"));
    }
    tables
}

#[test]
fn railway_and_smart_city() {
    // Their topics have different names: one cluster does.
    expect_feeds_in_tables(&[(System::Railway, 6000, 7), (System::SmartCity, 500, 8)]);
}

#[test]
fn smart_travel() {
    expect_feeds_in_tables(&[(System::SmartTravel, 4000, 9)]);
}

/// Sends so many records of each system, of this seed, runs the system's pipelines, and looks for each record.
fn expect_feeds_in_tables(feeds: &[(System, usize, u64)]) {
    let kafka = OwnKafka::start();
    let place = Place::local();
    let Place::Local(lake) = &place else { unreachable!("a local one was asked for") };
    let store = format!("file:{}", lake.path().display());
    let environment = [("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap.as_str()), ("RILLGATE_STORE", &store)];
    let mut only = Vec::new();
    let mut expected = BTreeSet::new();
    for (system, count, seed) in feeds {
        let (count, seed) = (count.to_string(), seed.to_string());
        let arguments = ["simulate", system.name(), "--count", &count, "--seed", &seed, "--rate", "100000"];
        let sent = rillgate(&arguments, &environment).ends_within(seconds(120)).expect_code(0);
        sent.expect_output(&format!("{count} records in"));
        let (pipelines, folder) = prefix(*system);
        only.extend(["--only".to_owned(), pipelines]);
        expected.extend(system.topics().iter().map(|topic| format!("{folder}/{topic}")));
    }
    let only: Vec<&str> = only.iter().map(String::as_str).collect();
    let run = [&["run", "--until-caught-up"], &only[..]].concat();
    rillgate(&run, &environment).ends_within(CATCH_UP).expect_code(0);
    rillgate(&[&["verify"], &only[..]].concat(), &environment).ends_within(seconds(120)).expect_code(0);

    assert_eq!(tables(&place), expected);
    for (system, count, seed) in feeds {
        let records: Vec<Record> = feed(*system, *seed).take(*count).collect();
        assert_eq!(records.len(), *count, "{system}");
        for topic in system.topics() {
            let of_topic = records.iter().filter(|record| record.topic == *topic).collect();
            expect_table(&place, &format!("{}/{topic}", prefix(*system).1), of_topic);
        }
    }
}

/// The table holds these records, each once, with every value that they have, in columns of the right types.
fn expect_table(place: &Place, folder: &str, records: Vec<&Record>) {
    let mut table = Reader::open(place, folder, "parquet");
    let columns = table.columns();
    expect_types(folder, &columns);
    // A pair of coordinates is two columns; what the railway calls a location stays the text that it is.
    let located = serde_json::from_slice::<Value>(&records[0].value).unwrap()["location"].is_array();
    let has = |name: &str| columns.iter().any(|(column, _)| column == name);
    assert!(has("latitude") == located && has("longitude") == located && !(located && has("location")), "{columns:?}");
    let select: Vec<String> = columns
        .iter()
        .map(|(name, _)| match name.as_str() {
            "timestamp" => "epoch_ms(timestamp)".to_owned(),
            "date" => "date = cast(timestamp as date)".to_owned(),
            name => format!("\"{name}\""),
        })
        .collect();
    let rows = table.rows(&format!("select {} from t", select.join(", ")));
    assert!(!rows.is_empty() && rows.len() == records.len(), "{folder}: {} of {} rows", rows.len(), records.len());
    let at = columns.iter().position(|(name, _)| name == "id").unwrap();
    let mut rows: HashMap<String, Vec<Value>> =
        rows.into_iter().map(|row| (row[at].as_str().unwrap().to_owned(), row)).collect();
    for record in records {
        let sent: Value = serde_json::from_slice(&record.value).unwrap();
        let row = rows.remove(sent["id"].as_str().unwrap()).unwrap_or_else(|| panic!("{folder}: no row for {sent}"));
        for ((name, _), found) in columns.iter().zip(&row) {
            let same = match name.as_str() {
                "timestamp" => found.as_i64() == Some(record.event_time_ms),
                "date" => *found == Value::Bool(true),
                "latitude" => equal(found, &sent["location"][0]),
                "longitude" => equal(found, &sent["location"][1]),
                name => equal(found, &sent[name]),
            };
            assert!(same, "{folder}: {name} is {found} in the row of {sent}");
        }
    }
    assert!(rows.is_empty(), "{folder}: rows of no record: {:?}", rows.keys());
}

/// Whether the values are the same; a number may be whole in one and not in the other: `8` and `8.0`.
fn equal(found: &Value, sent: &Value) -> bool {
    found == sent || (found.is_number() && found.as_f64() == sent.as_f64())
}

fn expect_types(folder: &str, columns: &[(String, String)]) {
    let types: HashMap<&str, &str> = columns.iter().map(|(name, kind)| (name.as_str(), kind.as_str())).collect();
    for (name, kind) in [("id", "VARCHAR"), ("timestamp", "TIMESTAMP WITH TIME ZONE"), ("date", "DATE")] {
        assert_eq!(types.get(name), Some(&kind), "{folder}: {name} in {columns:?}");
    }
    for (name, kind) in [
        ("latitude", "DOUBLE"),
        ("longitude", "DOUBLE"),
        ("speed", "DOUBLE"),
        ("year", "BIGINT"),
        ("temperature", "DOUBLE"),
        ("weatherCondition", "VARCHAR"),
        ("precipitation", "DOUBLE"),
        ("humidity", "BIGINT"),
        ("passengers", "BIGINT"),
        ("validations", "BIGINT"),
        ("waiting_time", "DOUBLE"),
        ("duration", "DOUBLE"),
        ("severity", "VARCHAR"),
    ] {
        assert!(types.get(name).is_none_or(|found| *found == kind), "{folder}: {name} in {columns:?}");
    }
}

/// A demo that runs for some time with its lake in a place of its own; `more` are further arguments.
fn demo(place: &Place, time: &str, more: &[&str]) -> Host {
    let Place::Local(folder) = place else { unreachable!("demos have local places") };
    let lake = folder.path().join("lake");
    rillgate(&[&["demo", "--for", time, "--lake", lake.to_str().unwrap()], more].concat(), &[])
}

/// It ended well: every pipeline of these systems is verified, all that was sent is accounted for, and the tables that have a row for
/// each record have as many rows as their pipelines have offsets.
fn expect_verified(place: &Place, ended: Ended, systems: &[System]) {
    let ended = ended.expect_code(0);
    let number = |text: &str| text.trim().parse::<u64>().unwrap();
    let verified = ended.output.lines().filter_map(|line| {
        let (pipeline, rest) = line.split_once(": verified: ")?;
        Some((pipeline, number(rest.split_once(" offsets of ")?.0)))
    });
    // The railway's figures are made of the same records once more.
    let offsets: HashMap<&str, u64> = verified.filter(|(name, _)| !FIGURES.contains(name)).collect();
    let sent =
        (ended.output.lines()).find_map(|line| line.split_once(" records were sent;")).map(|(sent, _)| number(sent));
    let topics: usize = systems.iter().map(|system| system.topics().len()).sum();
    assert_eq!((offsets.len(), Some(offsets.values().sum())), (topics, sent), "{}", ended.output);
    assert!(sent > Some(0) && !ended.output.contains("WRONG"), "{}", ended.output);

    let Place::Local(folder) = place else { unreachable!("demos have local places") };
    let lake = folder.path().join("lake");
    let rows = |files: &str, count: &str| {
        let from = format!("read_parquet('{}', union_by_name = true, filename = true)", lake.join(files).display());
        Reader::idle().row(&format!("select {count} from {from}"))
    };
    for system in systems {
        if let System::Cta | System::Mta = system {
            continue;
        }
        let (pipelines, folder) = prefix(*system);
        let of_system = offsets.iter().filter(|(name, _)| name.starts_with(&pipelines)).map(|(_, offsets)| offsets);
        let sent: u64 = of_system.sum();
        // Ids are of a table: a train arrives and departs under the same.
        let id = r"(id, regexp_extract(filename, '[^/]+/[^/]+/date='))";
        let found = rows(&format!("{folder}/*/*/*.parquet"), &format!("count(*), count(distinct {id})"));
        assert_eq!(found, [sent, sent], "{system}");
    }
    if systems.contains(&System::Cta) {
        assert_eq!(rows("cta/arrivals/*/*.parquet", "count(*)"), [offsets["cta_arrivals"]]);
        assert_eq!(rows("cta/weather/*/*.parquet", "count(*)"), [offsets["cta_weather"]]);
    }
}

#[test]
fn a_demo_ends_by_itself_with_everything_verified() {
    let place = Place::local();
    let ended = demo(&place, "5s", &[]).ends_within(CATCH_UP);
    expect_verified(&place, ended, &System::ALL);
}

/// One command for each system, by its name; all of them at once.
#[test]
fn a_demo_of_one_system_is_asked_for_by_its_name() {
    let started = System::ALL.map(|system| {
        let place = Place::local();
        // Windows of five minutes are closed five minutes later, which takes this demo twelve seconds.
        let time = if system == System::Mta { "30s" } else { "5s" };
        let demo = demo(&place, time, &["--only", system.name()]);
        (system, place, demo)
    });
    for (system, place, demo) in started {
        let ended = demo.ends_within(CATCH_UP);
        expect_verified(&place, ended, &[system]);
        if system == System::Mta {
            let Place::Local(folder) = &place else { unreachable!("demos have local places") };
            let files = folder.path().join("lake/mta/turnstiles/*.csv.gz");
            let rows = Reader::idle().row(&format!("select count(*) from read_csv('{}')", files.display()));
            assert!(rows[0].as_u64() >= Some(100), "a row for each turnstile of the first window: {rows:?}");
        }
    }
}

#[test]
fn a_demo_whose_host_is_killed_ends_with_everything_verified() {
    let place = Place::local();
    let mut demo = demo(&place, "20s", &[]);
    until(seconds(60), "files in the lake", || {
        demo.expect_running();
        place.list("lake").keys().any(|path| path.ends_with(".parquet") && !path.contains("/_")).then_some(())
    });
    let output = demo.output();
    let pid = output.split_once("The host runs as pid ").and_then(|(_, rest)| rest.split_once(':')).unwrap().0;
    assert!(Command::new("kill").args(["-KILL", pid]).status().unwrap().success());
    until(seconds(60), "the demo to start it again", || {
        demo.expect_running();
        demo.output().contains("the host was killed").then_some(())
    });
    let ended = demo.ends_within(CATCH_UP);
    expect_verified(&place, ended, &System::ALL);
}
