//! `rillgate check`: everything that is wrong is said at once, each with its place and the way out, and nothing is started.

use std::collections::BTreeSet;
use std::path::PathBuf;

use rillgate_feeds::System;
use serde_json::Value;
use tempfile::TempDir;

use support::host::{Config, Ended, Host};
use support::kafka::Cluster;
use support::proxy::{Mode, Proxy};
use support::servers::{clone, servers, unique};
use support::store::Place;
use support::wait::seconds;

/// Six mistakes of six kinds: a property, a plugin's file, a column's type, a key, a duration, a variable.
const MISTAKES: &str = r#"[kafka]
"bootstrap.servers" = "localhost:9092"
"sesion.timeout.ms" = 6000

[store]
url = "lake"

[pipeline.arrivals]
topic = "train_arrivals"
decode = { format = "json" }
columns = { id = "utf8", at = "timestamp", passengers = "int46" }
transform = [{ plugin = "plugins/gone.wasm" }]
sink = { table = "trains/arrivals", partition_by = ["date"] }

[pipeline.flow]
topic = "passenger_flow"
decode = { format = "json" }
columns = { id = "utf8", at = "timestamp" }
transfrom = []
group = "flow-${RILLGATE_TEST_THAT_IS_NOT_SET}"

[pipeline.flow.sink]
table = "trains/flow"
every = "180 parsecs"
"#;

/// Line, column, path, and words of the hint.
const EXPECTED: [(u64, u64, &str, &str); 6] = [
    (3, 1, "kafka.sesion.timeout.ms", "did you mean `session.timeout.ms`?"),
    (11, 57, "pipeline.arrivals.columns.passengers.type", "did you mean `int64`?"),
    (12, 25, "pipeline.arrivals.transform[0].plugin", "is it built?"),
    (19, 1, "pipeline.flow.transfrom", "did you mean `transform`?"),
    (20, 15, "pipeline.flow.group", "RILLGATE_TEST_THAT_IS_NOT_SET"),
    (24, 9, "pipeline.flow.sink.every", "180s"),
];

fn file(text: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::Builder::new().prefix("rillgate-check-").tempdir().unwrap();
    let file = folder.path().join("pipelines.toml");
    std::fs::write(&file, text).unwrap();
    (folder, file)
}

fn json_lines(ended: &Ended) -> Vec<Value> {
    ended.output.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{}", ended.output))).collect()
}

#[test]
fn six_mistakes_are_six_reports_and_nothing_is_started() {
    let (folder, file) = file(MISTAKES);
    let file = file.to_str().unwrap();
    let rillgate = |arguments: &[&str]| {
        Host::start(&[arguments, &["--config", file]].concat()).ends_within(seconds(60)).expect_code(2)
    };
    let problems = json_lines(&rillgate(&["check", "--json"]));
    let found: Vec<_> = problems
        .iter()
        .map(|p| (p["line"].as_u64().unwrap(), p["column"].as_u64().unwrap(), p["path"].as_str().unwrap()))
        .collect();
    assert_eq!(found, EXPECTED.map(|(line, column, path, _)| (line, column, path)), "{problems:#?}");
    for (problem, (.., hint)) in problems.iter().zip(EXPECTED) {
        assert_eq!((&problem["file"], &problem["severity"]), (&file.into(), &"error".into()), "{problem}");
        assert!(problem["hint"].as_str().unwrap().contains(hint), "{problem}");
        let (line, text) = (problem["line"].as_u64().unwrap() as usize, problem["text"].as_str().unwrap());
        assert!(MISTAKES.lines().nth(line - 1).unwrap().contains(text), "{problem}");
    }

    // The same for people, who see place and hint, too; nothing runs with such a file, online or not.
    let shown = rillgate(&["check"]);
    for (line, column, _, hint) in EXPECTED {
        assert!(shown.output.contains(&format!("pipelines.toml:{line}:{column}]")), "{line}: {}", shown.output);
        assert!(shown.output.contains(hint), "{hint}: {}", shown.output);
    }
    rillgate(&["check", "--online"]);
    rillgate(&["run", "--until-caught-up"]).expect_output("pipelines.toml:3:1");
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["pipelines.toml"]);
}

#[test]
fn the_projects_own_file_is_right_and_its_outputs_are_described() {
    let config = clone().join("pipelines.toml");
    let check = |more: &[&str]| {
        let arguments = [&["check", "--config", config.to_str().unwrap()], more].concat();
        Host::start(&arguments).ends_within(seconds(120)).expect_code(0)
    };
    let described = json_lines(&check(&["--json"]));
    let topics: BTreeSet<&str> = described.iter().map(|pipeline| pipeline["topics"][0].as_str().unwrap()).collect();
    assert_eq!(topics, System::ALL.iter().flat_map(|system| system.topics()).copied().collect());
    let weather = described.iter().find(|pipeline| pipeline["pipeline"] == "smart_city_weather_data").unwrap();
    let table = &weather["tables"][0];
    assert_eq!(
        (&table["table"], &table["format"]),
        (&"smart_city/weather_data".into(), &"parquet".into()),
        "{weather}"
    );
    assert_eq!(table["partition_by"], serde_json::json!(["date"]), "{weather}");
    let column = |name: &str| {
        let found = table["columns"].as_array().unwrap().iter().find(|column| column["name"] == name);
        found.unwrap_or_else(|| panic!("no {name} in {weather}"))["type"].clone()
    };
    for (name, kind) in [("timestamp", "timestamp"), ("latitude", "float64"), ("weatherCondition", "utf8")] {
        assert_eq!(column(name), kind, "{name}");
    }
    check(&[])
        .expect_output("pipeline smart_city_weather_data")
        .expect_output("writes   smart_city/weather_data (parquet zstd");
}

/// A pipeline that is right, of this topic.
fn right(topic: &str) -> String {
    format!(
        "[pipeline.right]\ntopic = \"{topic}\"\ndecode = {{ format = \"json\" }}\ncolumns = {{ id = \"utf8\" }}\n\
         sink = {{ table = \"rows\" }}\n"
    )
}

/// `check --online` with these, and what it found if that isn't nothing.
fn online(cluster: &Cluster, place: &Place, topic: &str) -> Ended {
    Config::new(cluster, place, &right(topic)).host(&["check", "--online", "--json"]).ends_within(seconds(200))
}

fn expect_environment(ended: Ended, path: &str, words: &str) {
    let ended = ended.expect_code(3);
    let lines = json_lines(&ended);
    let problem = lines.iter().find(|line| line["path"] == path).unwrap_or_else(|| panic!("{}", ended.output));
    assert!(problem["message"].as_str().unwrap().contains(words), "{problem}");
    assert!(problem["line"].is_u64(), "{problem}");
}

#[test]
fn online_asks_broker_and_store() {
    let topic = unique("check");
    Cluster::shared().create_topic(&topic, 1, &[]);
    for place in [Place::local(), Place::s3()] {
        online(&Cluster::shared(), &place, &topic).expect_code(0);
        assert!(place.list("").is_empty(), "a check left {:?}", place.list(""));
    }
    let place = Place::local();
    expect_environment(online(&Cluster::shared(), &place, "no_such_topic"), "pipeline.right.topic", "no_such_topic");

    // Ports where nobody answers, for as long as the proxy holds them.
    let proxy = Proxy::before(servers().s3.address());
    proxy.set(Mode::Refuse);
    expect_environment(online(&Cluster::at(&proxy.address()), &place, &topic), "kafka", &proxy.address());
    let away = Place::s3().through(&proxy.address());
    expect_environment(online(&Cluster::shared(), &away, &topic), "store", &proxy.address());
}
