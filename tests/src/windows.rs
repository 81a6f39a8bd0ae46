//! Aggregates on a real Kafka: counts are exact whatever dies whenever, in tables and in topics; states that aren't whole, or are
//! another's, stop the task; what is late goes where it should.

use std::collections::BTreeMap;

use serde_json::Value;

use super::entries::{
    BEGIN_MS, Entries, Sending, counts, expected, kill_again_and_again, running_counts_survive_kills,
};
use support::host::{Config, Host};
use support::kafka::{Cluster, Record};
use support::reader::Reader;
use support::servers::{clone, unique};
use support::store::Place;
use support::wait::{seconds, until};

/// Windows of event time with `dedup`, on files: the sum of all windows is the number of records, each once.
fn windows_survive_kills(place: &Place, seed: u64) {
    let entries = Entries::new("windows");
    let aggregate = r#"time = "at", window = { tumbling = "10s" }, delay = "29s", idle_after = "1s", dedup = ["id"], exchange = "none""#;
    let table = "counts";
    let rest = format!(
        "sink = {{ table = \"{table}\", format = \"parquet\", every = \"200ms\" }}\noutputs = {{ late = {{ table = \"late\" }} }}"
    );
    let config = entries.config(place, aggregate, &rest);
    let sending = Sending::start(&entries);
    kill_again_and_again(&config, seed, || place.list(table).len() as u64);
    let sent = sending.finish();
    let mut host = config.run();
    until(seconds(120), "every window to be given out", || {
        host.expect_running();
        (counts(place, table) == expected(sent)).then_some(())
    });
    host.stop();
    config.verify();
    assert_eq!(counts(place, table), expected(sent));
    assert!(place.list("late").is_empty(), "nothing is later than 20 s");
}

#[test]
fn windowed_counts_are_exact_after_twenty_kills_on_files() {
    windows_survive_kills(&Place::local(), 1);
}

#[test]
fn windowed_counts_are_exact_after_twenty_kills_on_s3() {
    windows_survive_kills(&Place::s3(), 2);
}

/// A running count, each change to a topic: whoever reads committed records sees it go up and never back, to the exact number.
#[test]
fn a_running_count_in_a_topic_is_exact_after_twenty_kills() {
    let (entries, place) = (Entries::new("running"), Place::local());
    let (config, expected) = running_counts_survive_kills(&entries, &place, r#"exchange = "none""#, 3);

    let shown = config.host(&["state", "show", &entries.topic]).ends_within(seconds(30)).expect_code(0).output;
    for (station, count) in expected {
        let is_shown = |line: &str| {
            let cells: Vec<&str> = line.split_whitespace().collect();
            cells.first() == Some(&station.to_string().as_str()) && cells.last() == Some(&count.to_string().as_str())
        };
        assert!(shown.lines().any(is_shown), "station {station} with {count} in\n{shown}");
    }
}

/// A task that finds its state damaged, gone, or made by other rules says so and how to go on, and writes nothing.
#[test]
fn a_state_that_is_not_whole_stops_the_task() {
    let (entries, place) = (Entries::new("damaged"), Place::local());
    let rest = "sink = { table = \"damaged\", every = \"200ms\" }";
    let aggregate = r#"time = "at", window = { tumbling = "1h" }, on = "change", exchange = "none""#;
    let config = entries.config(&place, aggregate, rest);
    entries.send(0..1000);
    config.catch_up(seconds(60));
    let files = entries.state_files(&place, 0);
    assert!(!files.is_empty());
    let before = place.list("damaged");
    let fails = |config: &Config, words: &[&str]| {
        let ended = config.host(&["run", "--until-caught-up"]).ends_within(seconds(60)).expect_code(1);
        words.iter().for_each(|word| assert!(ended.output.contains(word), "{word} in {}", ended.output));
        assert_eq!(place.list("damaged"), before, "nothing was written");
    };

    let whole = place.read(&files[0]).unwrap();
    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 1;
    place.write(&files[0], &damaged);
    fails(&config, &["state", &files[0], "decided were", "move", &entries.control(0)]);

    let Place::Local(root) = &place else { unreachable!("made above") };
    std::fs::remove_file(root.path().join(&files[0])).unwrap();
    fails(&config, &[&files[0], "is not there"]);

    // As `verify` says, too.
    let verified = config.host(&["verify"]).ends_within(seconds(60)).expect_code(1);
    assert!(verified.output.contains(&files[0]), "{}", verified.output);
    place.write(&files[0], &whole);
    config.verify();

    let other = entries.config(&place, &aggregate.replace("1h", "2h"), rest);
    fails(&other, &["it is a state of", "Tumbling", "give the pipeline another name"]);
    let without = Config::new(
        &entries.cluster,
        &place,
        &format!("[pipeline.{0}]\ntopic = \"{0}\"\ndecode = {{ format = \"raw\" }}\n{rest}\n", entries.topic),
    );
    without.catch_up(seconds(60));

    // What was there is whole, and goes on.
    entries.send(1000..1010);
    config.catch_up(seconds(60));
}

/// What `rillgate state show` prints is what is remembered now, whatever else older files hold, and nothing that steers a terminal.
#[test]
fn what_is_remembered_is_shown() {
    let (entries, place) = (Entries::new("shown"), Place::local());
    let aggregate = r#"time = "at", window = { tumbling = "10s" }, delay = "1s", allowed_lateness = "5s", dedup = ["id"], exchange = "none""#;
    let config = entries.config(&place, aggregate, "sink = { table = \"counts\", every = \"200ms\" }");
    let producer = entries.cluster.producer();
    // One group is over when the second COMMIT is written, though a file has it that stays for the others: eight whose windows are
    // over and that wait for late rows. And there is an open one.
    let late: Vec<(u64, u64)> = (1..=8).map(|station| (station, 12)).collect();
    for epoch in [[&[(7, 5)][..], &late].concat(), vec![(9, 25)]] {
        for (station, second) in epoch {
            let (id, at) = (format!("\\u001b[{station}m{second}"), BEGIN_MS + second * 1000);
            let value = format!(r#"{{"id":"{id}","station_id":{station},"at":{at}}}"#);
            let record = Record { partition: Some(0), value: Some(value.as_bytes()), ..Record::default() };
            producer.send(&entries.topic, &record);
        }
        producer.flush();
        config.catch_up(seconds(60));
    }
    let show = |more: &[&str], code: i32| {
        let arguments = [&["state", "show"][..], more].concat();
        config.host(&arguments).ends_within(seconds(30)).expect_code(code).output
    };
    let of_partition_0 = |output: &str| -> Vec<String> {
        let head = format!("{}: ", entries.control(0));
        let lines = output.lines().skip_while(|line| !line.starts_with(&head));
        lines.take_while(|line| line.starts_with(' ') || line.starts_with(&head)).map(str::to_owned).collect()
    };
    let groups = of_partition_0(&show(&[&entries.topic], 0));
    assert!(groups[0].ends_with(": 9 rows, watermark 2026-01-01T00:00:24Z"), "{groups:?}");
    assert!(groups[1].contains("station_id") && groups.len() == 11, "{groups:?}");
    assert!(
        groups[2..10].iter().all(|group| group.contains("00:00:10")) && groups[10].contains("00:00:20"),
        "{groups:?}"
    );
    let seen = of_partition_0(&show(&[&entries.topic, "--seen"], 0));
    assert_eq!(seen.len(), 11, "{seen:?}");
    // By their digests, and until when.
    let until = |row: &String| row.contains("00:00:25") || row.contains("00:00:35");
    assert!(seen[1].contains("key.digest") && seen[2..].iter().all(until), "{seen:?}");
    let first = of_partition_0(&show(&[&entries.topic, "--rows", "1"], 0));
    assert!(first[2].contains("00:00:10") && first[3].trim() == "and 8 more: --rows 9", "{first:?}");
    let rows: Vec<Value> =
        show(&[&entries.topic, "--json"], 0).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let last = rows.last().unwrap();
    let cells = ["key.station_id", "value.count"].map(|column| &last["row"][column]);
    assert_eq!(
        (rows.len(), cells, &last["watermark"]),
        (9, ["9", "1"].map(Value::from).each_ref(), &"2026-01-01T00:00:24Z".into())
    );
    let unknown = show(&["nothing"], 2);
    assert!(unknown.contains("there is no pipeline `nothing`") && unknown.contains(&entries.topic), "{unknown}");
}

/// Late rows have a table of their own; rows without event time are dead letters.
#[test]
fn late_rows_and_rows_without_event_time_are_not_lost() {
    let (entries, place) = (Entries::new("late"), Place::local());
    let rest = "sink = { table = \"counts\", every = \"200ms\" }\noutputs = { late = { table = \"late\" } }";
    let aggregate = r#"time = "at", window = { tumbling = "10s" }, delay = "1s", idle_after = "1s", dedup = ["id"], exchange = "none""#;
    let config = entries.config(&place, aggregate, rest);
    let producer = entries.cluster.producer();
    let at = |seconds: u64| format!(r#"{{"id":"{seconds}","station_id":1,"at":{}}}"#, BEGIN_MS + seconds * 1000);
    // The last is the 10 s that the watermark passed with the second.
    let values = [at(5), at(30), at(6), r#"{"id":"none","station_id":1}"#.to_owned(), at(31), at(9), at(31)];
    for value in &values {
        let record = Record { partition: Some(0), value: Some(value.as_bytes()), ..Record::default() };
        producer.send(&entries.topic, &record);
    }
    producer.flush();
    let mut host = config.run();
    until(seconds(60), "the window that is open, in the metrics", || {
        host.expect_running();
        (host.metric("rillgate_groups") == 1.0 && host.metric("rillgate_state_bytes") > 0.0).then_some(())
    });
    until(seconds(60), "the last window", || {
        host.expect_running();
        (counts(&place, "counts").get(&1) == Some(&3)).then_some(())
    });
    let metrics =
        ["late_rows_total", "duplicate_rows_total", "groups"].map(|name| host.metric(&format!("rillgate_{name}")));
    assert_eq!(metrics, [2.0, 1.0, 0.0], "late, doubled, groups that are still there");
    host.stop();
    // What was late stays late: event time doesn't begin anew with the host.
    let value = at(7);
    producer.send(&entries.topic, &Record { partition: Some(0), value: Some(value.as_bytes()), ..Record::default() });
    producer.flush();
    config.catch_up(seconds(60));
    config.verify();
    let mut late = Reader::open(&place, "late", "parquet");
    assert_eq!(late.rows("select id from t order by id"), ["6", "7", "9"].map(|id| [Value::from(id)]));
    assert_eq!(counts(&place, "counts"), BTreeMap::from([(1, 3)]));
    let dead: Vec<String> = place.list("_dead").into_keys().collect();
    assert_eq!(dead.len(), 1, "{dead:?}");
    let dead = String::from_utf8(place.read(&dead[0]).unwrap()).unwrap();
    assert!(dead.contains("the event time, has no value") && dead.contains("\"aggregate\""), "{dead}");
}

/// Neither a row of a group nor a late one stops the pipeline where its sink can't take it: whatever a COMMIT decides can be sent.
#[test]
fn rows_of_groups_and_late_rows_that_no_sink_takes_are_dead_letters() {
    let (cluster, place) = (Cluster::shared(), Place::local());
    let (source, topic) = (unique("refused"), unique("refused_out"));
    cluster.create_topic(&source, 1, &[]);
    let plugin = clone().join("plugins/example_rust_aggregate.wasm");
    assert!(plugin.is_file(), "{} is missing: run `make plugins`", plugin.display());
    let pipeline = format!(
        r#"[pipeline.{source}]
topic = "{source}"
decode = {{ format = "json" }}
columns = {{ station = "utf8", waiting_time = "float64", at = "timestamp" }}
aggregate = {{ plugin = '{}', key = ["station"], time = "at", window = {{ tumbling = "10s" }}, delay = "1s", exchange = "none" }}
sink = {{ topic = "{topic}", key = ["station"], partitions = 1, replication = 1, every = "200ms", config = {{ "cleanup.policy" = "compact" }} }}
outputs = {{ late = {{ table = "late", format = "json", partition_by = ["station"], every = "200ms" }} }}
"#,
        plugin.display()
    );
    let config = Config::new(&cluster, &place, &pipeline);
    let producer = cluster.producer();
    // Twice in the record, as key and in the value; and as a directory.
    let (too_large, too_long) = ("x".repeat(600_000), "y".repeat(201));
    let sent = [
        ("null", 5),
        (&*format!("\"{too_large}\""), 5),
        ("\"A\"", 5),
        ("\"end\"", 40),
        (&*format!("\"{too_long}\""), 6),
        ("\"A\"", 7),
    ];
    for (station, second) in sent {
        let value = format!(r#"{{"station":{station},"waiting_time":2.0,"at":{}}}"#, BEGIN_MS + second * 1000);
        producer.send(&source, &Record { partition: Some(0), value: Some(value.as_bytes()), ..Record::default() });
    }
    producer.flush();
    config.catch_up(seconds(60));
    config.verify();
    let keys: Vec<_> = cluster.read_committed(&topic).into_iter().map(|record| record.key).collect();
    assert_eq!(keys, [Some(b"A".to_vec())]);
    let late: Vec<String> = place.list("late").into_keys().collect();
    assert!(late.len() == 1 && late[0].starts_with("late/station=A/"), "{late:?}");
    let mut dead = Vec::new();
    for file in place.list("_dead").into_keys() {
        let content = String::from_utf8(place.read(&file).unwrap()).unwrap();
        dead.extend(content.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()));
    }
    let found: Vec<_> = dead
        .iter()
        .map(|letter| {
            assert_eq!((&letter["stage"], &letter["topic"]), (&Value::from("sink"), &Value::from(&*source)));
            assert!((0..6).contains(&letter["offset"].as_i64().unwrap()), "{}", letter["offset"]);
            let row: Value = serde_json::from_str(letter["value"].as_str().unwrap()).unwrap();
            (row["station"].as_str().map(str::len), letter["headers"].as_str().unwrap().contains(&topic))
        })
        .collect();
    let expected = [(Some(too_long.len()), false), (None, true), (Some(too_large.len()), true)];
    assert!(found.len() == 3 && expected.iter().all(|one| found.contains(one)), "{found:?}");
    // They are nothing that could be sent back.
    let replayed = config.host(&["replay", "--dead-letters", &source]).ends_within(seconds(60)).expect_code(0);
    assert!(replayed.output.contains("3 are rows that were made of records"), "{}", replayed.output);
}

/// Groups change hands with their partitions.
#[test]
fn counts_are_exact_while_instances_come_and_go() {
    let (entries, place) = (Entries::new("joining"), Place::local());
    let aggregate = r#"time = "at", window = { tumbling = "10s" }, delay = "29s", idle_after = "2s", dedup = ["id"], exchange = "none""#;
    let config = entries.config(&place, aggregate, "sink = { table = \"counts\", every = \"200ms\" }");
    let sending = Sending::start(&entries);
    let group = format!("rillgate.{}", entries.topic);
    let mut hosts: Vec<Host> = vec![config.run()];
    for round in 0..4 {
        hosts.push(config.run());
        hosts.push(config.run());
        until(seconds(60), "three hosts with partitions", || {
            hosts.iter_mut().for_each(Host::expect_running);
            (entries.cluster.members_with_partitions(&group) == 3).then_some(())
        });
        hosts.remove(0).stop();
        hosts.remove(usize::from(round % 2 == 0)).kill();
    }
    let sent = sending.finish();
    until(seconds(120), "every window to be given out", || {
        hosts.iter_mut().for_each(Host::expect_running);
        (counts(&place, "counts") == expected(sent)).then_some(())
    });
    hosts.into_iter().for_each(|host| drop(host.stop()));
    config.verify();
    assert_eq!(counts(&place, "counts"), expected(sent));
}
