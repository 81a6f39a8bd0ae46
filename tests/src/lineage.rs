//! Which plugins made what: a plugin is replaced by another of its kind between two runs, and `verify --lineage` tells their offsets
//! apart.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use support::flow::{CATCH_UP, Flow};
use support::host::{Config, Host};
use support::kafka::Cluster;
use support::servers::clone;
use support::store::Place;
use support::wait::seconds;

/// The line of JSON that a command wrote.
fn line(host: Host) -> Value {
    let ended = host.ends_within(seconds(60)).expect_code(0);
    let line = ended.output.lines().find(|line| line.starts_with('{')).unwrap_or_else(|| panic!("{}", ended.output));
    serde_json::from_str(line).unwrap()
}

fn digest(plugin: &Path) -> Value {
    line(Host::start(&["plugin", "inspect", "--json", plugin.to_str().unwrap()]))["digest"].take()
}

#[test]
fn offsets_are_told_apart_by_the_plugins_that_made_them() {
    let (cluster, place) = (Cluster::shared(), Place::local());
    let flow = Flow::new(&cluster, "lineage", 1);
    let folder = tempfile::tempdir().unwrap();
    let plugin = folder.path().join("railway.wasm");
    let built = clone().join("plugins/railway.wasm");
    let section = flow.section("1s").replace(built.to_str().unwrap(), plugin.to_str().unwrap());
    assert!(section.contains(plugin.to_str().unwrap()), "{section}");
    let config = Config::new(&cluster, &place, &section);

    let first = fs::read(&built).unwrap();
    // The same with a custom section of its own: it does the same, and is another file.
    let second = [&first[..], &[0, 6, 5][..], &b"other"[..]].concat();
    let mut digests = Vec::new();
    for (content, records) in [(&first, 0..1000), (&second, 1000..1300), (&first, 1300..1500)] {
        fs::write(&plugin, content).unwrap();
        digests.push(digest(&plugin));
        flow.produce(records);
        config.catch_up(CATCH_UP);
    }
    assert!(digests[0] != digests[1] && digests[0] == digests[2], "{digests:?}");

    let mut found = line(config.host(&["verify", "--lineage", "--json"]));
    assert_eq!(found["verified"], true, "{found}");
    let task = found["lineage"]["tasks"][0].take();
    assert_eq!(
        (&task["topic"], &task["partition"], &task["first_entry"]),
        (&json!(flow.topic), &json!("0"), &json!(0))
    );
    let ranges = task["ranges"].as_array().unwrap();
    let made = ranges.iter().map(|range| json!([range["start"], range["end"], range["plugins"]]));
    let expected =
        [json!([0, 1000, [digests[0]]]), json!([1000, 1300, [digests[1]]]), json!([1300, 1500, [digests[0]]])];
    assert_eq!(made.collect::<Vec<_>>(), expected);
    let sum = |key: &str| ranges.iter().map(|range| range[key].as_u64().unwrap()).sum::<u64>();
    let files = place.list(support::flow::TABLE).keys().filter(|path| path.ends_with(".parquet")).count() as u64;
    assert_eq!((sum("rows"), sum("files")), (found["report"]["rows"].as_u64().unwrap(), files));
    assert_eq!(found["lineage"]["footers"], files, "all of them were compared");
    flow.expect_exactly_once(&place, 1500);

    let words = config.host(&["verify", "--lineage"]).ends_within(seconds(60)).expect_code(0);
    let short = digests[1].as_str().unwrap().get(..12).unwrap();
    words.expect_output(&format!("[1000, 1300): plugins {short}, config ")).expect_output("Parquet files agree");
    config.verify();
}
