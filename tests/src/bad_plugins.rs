//! Plugins that trap, spin, eat memory, lie or are none: what they spoil is one record, or nothing is started at all.

use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;

use super::guests::guest;
use support::flow::CATCH_UP;
use support::host::Config;
use support::kafka::{Cluster, Record};
use support::letters::{Letter, dead_letters};
use support::reader::Reader;
use support::servers::{target, unique};
use support::store::Place;
use support::wait::seconds;

const PARTITIONS: usize = 2;
const TABLE: &str = "tables/numbers";
const UNREACHABLE: &str = "trap: wasm `unreachable` instruction executed";

/// What the plugin does to a record whose `n` is below 0, and what the dead letter says of it. The plugin does this and then
/// goes on, where it can; columns are `n`, int64, at 0, and `id`, utf8, at 32 of `$columns`.
const MISDEEDS: [(&str, &str); 9] = [
    ("unreachable", UNREACHABLE),
    ("(call $spin)", "time limit of 300ms for a batch exceeded"),
    ("(loop $eat (drop (memory.grow (i32.const 1))) (br $eat))", "trap: memory limit of 16 MiB exceeded"),
    ("(call $recurse)", "trap: call stack exhausted"),
    ("(return (call $error (i32.const 2)))", "a reason"),
    (
        "(i32.store offset=8 (local.get $columns) (i32.const 0))",
        "plugin returned 1 rows but column `n` of `main` has too few or too many values: 1 are needed, it has 0",
    ),
    (
        "(i32.store (i32.load offset=36 (local.get $columns)) (i32.const 7))",
        "plugin returned offsets of column `id` of `main` that begin at 7, not at 0",
    ),
    (
        "(i32.store8 (local.get $columns) (i32.const 4))",
        "plugin returned column `n` of `main` as float64, and `open` announced int64",
    ),
    ("(local.set $count (i32.const 1))", "plugin returned 1 columns for `main`, which has 2"),
];

/// A transform that does misdeed `m` to a record whose `n` is `-1 - m`, and to all that come with it.
fn misdeeds() -> Vec<u8> {
    let misdeed = |(m, (code, _)): (usize, &(&str, &str))| {
        format!("(if (i64.eq (local.get $n) (i64.const {})) (then {code}))\n", -1 - m as i64)
    };
    let code: String = MISDEEDS.iter().enumerate().map(misdeed).collect();
    let in_apply = format!(
        "(local $row i32) (local $n i64)
         (block $done (loop $next
           (br_if $done (i32.eq (local.get $row) (local.get $rows)))
           (local.set $n (i64.load (i32.add
             (i32.load offset=4 (local.get $columns)) (i32.mul (local.get $row) (i32.const 8)))))
           {code}
           (local.set $row (i32.add (local.get $row) (i32.const 1)))
           (br $next)))"
    );
    transform(&guest::identity("", &in_apply, ""))
}

/// A transform that passes everything on, with this code in `open` and in `apply`.
fn passing_on(in_open: &str, in_apply: &str) -> Vec<u8> {
    transform(&guest::identity(in_open, in_apply, ""))
}

fn transform(code: &str) -> Vec<u8> {
    guest::Guest { code, ..guest::Guest::default() }.build()
}

/// A topic of records `{"n": ..., "id": "r..."}`, and a pipeline through the plugin in a file that tests write.
struct Numbers {
    topic: String,
    plugin: PathBuf,
    config: Config,
    place: Place,
    _folder: TempDir,
}

impl Numbers {
    fn new(place: Place, limits: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("rillgate-plugin-").tempdir().unwrap();
        let (topic, plugin) = (unique("numbers"), folder.path().join("bad.wasm"));
        Cluster::shared().create_topic(&topic, PARTITIONS as i32, &[]);
        let pipeline = format!(
            "[pipeline.{topic}]\ntopic = \"{topic}\"\ndecode = {{ format = \"json\" }}\n\
             columns = {{ n = {{ type = \"int64\", nullable = false }}, id = {{ type = \"utf8\", nullable = false }} }}\n\
             transform = [{{ plugin = '{}', limits = {{ {limits} }} }}]\n\
             sink = {{ table = \"{TABLE}\", every = \"60s\" }}\n",
            plugin.display()
        );
        let config = Config::new(&Cluster::shared(), &place, &pipeline);
        Self { topic, plugin, config, place, _folder: folder }
    }

    fn write_plugin(&self, bytes: &[u8]) {
        std::fs::write(&self.plugin, bytes).unwrap();
    }

    /// Sends records of these numbers.
    fn produce(&self, numbers: impl Iterator<Item = (usize, i64)>) {
        let producer = Cluster::shared().producer();
        for (i, n) in numbers {
            let value = value(i, n);
            let (partition, value) = (Some((i % PARTITIONS) as i32), Some(value.as_slice()));
            producer.send(&self.topic, &Record { partition, value, ..Record::default() });
        }
        producer.flush();
    }

    /// Line of pipelines.toml that names the plugin.
    fn line_of_plugin(&self) -> usize {
        let text = std::fs::read_to_string(self.config.path()).unwrap();
        1 + text.lines().position(|line| line.starts_with("transform")).unwrap()
    }

    /// `select count(*), count(distinct id), min(n), max(n)`, and whether each `id` is of its `n`.
    fn expect_table(&self, rows: u64, last: u64) {
        let mut table = Reader::open(&self.place, TABLE, "parquet");
        let found = table.row("select count(*), count(distinct id), min(n), max(n), bool_and(id = 'r' || n) from t");
        assert_eq!(Value::from(found), serde_json::json!([rows, rows, 0, last, true]));
    }
}

fn value(i: usize, n: i64) -> Vec<u8> {
    format!(r#"{{"n":{n},"id":"r{i}"}}"#).into_bytes()
}

#[test]
fn one_record_in_a_thousand_is_spoiled_and_only_that_one_is_a_dead_letter() {
    const RECORDS: usize = 18_000;
    let numbers = Numbers::new(Place::s3(), "time = \"300ms\", memory = \"16MiB\"");
    numbers.write_plugin(&misdeeds());
    let misdeed = |i: usize| (i % 1000 == 777).then_some(i / 1000 % MISDEEDS.len());
    let n = |i: usize| misdeed(i).map_or(i as i64, |m| -1 - m as i64);
    numbers.produce((0..RECORDS).map(|i| (i, n(i))));
    numbers.config.catch_up(CATCH_UP);
    numbers.config.verify();

    let mut letters = dead_letters(&numbers.place, &numbers.topic, "json", &numbers.topic);
    let digest = digest(&numbers.plugin);
    for (i, m) in (0..RECORDS).filter_map(|i| Some((i, misdeed(i)?))) {
        let letter = letters.remove(&((i % PARTITIONS) as i64, (i / PARTITIONS) as i64));
        let letter = letter.unwrap_or_else(|| panic!("record {i}, misdeed {:?}, is no dead letter", MISDEEDS[m]));
        let expected = Letter {
            timestamp: letter.timestamp.clone(),
            stage: "transform".to_owned(),
            reason: MISDEEDS[m].1.to_owned(),
            plugin: Some(digest.clone()),
            key: None,
            value: Some(value(i, n(i))),
            headers: vec![],
        };
        assert_eq!(letter, expected, "record {i}");
    }
    assert!(letters.is_empty(), "dead letters of good records: {letters:?}");
    numbers.expect_table(RECORDS as u64 - 18, RECORDS as u64 - 1);
}

/// The SHA-256 of a plugin, as `rillgate plugin inspect` has it.
fn digest(plugin: &std::path::Path) -> String {
    let arguments = ["plugin", "inspect", plugin.to_str().unwrap(), "--json"];
    let inspected = support::host::Host::start(&arguments).ends_within(seconds(60)).expect_code(0);
    let inspected: Value = serde_json::from_str(&inspected.output).unwrap();
    inspected["digest"].as_str().unwrap().to_owned()
}

#[test]
fn a_file_that_is_no_plugin_is_refused_with_the_place_that_names_it() {
    let numbers = Numbers::new(Place::local(), "time = \"300ms\"");
    numbers.produce((0..10).map(|i| (i, i as i64)));
    let line = numbers.line_of_plugin();
    let host = std::fs::read(target().join("release/rillgate")).unwrap();
    let component = |text: &str| wat::parse_str(text).unwrap();
    for (bytes, words) in [
        (None, "can't read the plugin"),
        (Some(vec![]), "the file is empty"),
        (Some(host[..4096].to_vec()), "it is not WebAssembly"),
        (Some(misdeeds()[..1000].to_vec()), "it is"),
        (Some(component("(module)")), "it is a core module, not a component: build it with `--target wasm32-wasip2`"),
        (Some(component("(component)")), "it is a component of another world: it exports nothing"),
        (
            Some(component("(component (instance $i) (export \"wasi:cli/run@0.2.0\" (instance $i)))")),
            "it is a component of another world: it exports `wasi:cli/run@0.2.0`",
        ),
        (
            Some(component("(component (instance $i) (export \"rillgate:plugin/aggregate@0.1.0\" (instance $i)))")),
            "it is an aggregate, and is asked for as a transform",
        ),
        (Some(passing_on("unreachable", "")), "failed to open: trap: wasm `unreachable` instruction executed"),
        (Some(passing_on("(call $spin)", "")), "failed to open: time limit of 300ms for a batch exceeded"),
    ] {
        if let Some(bytes) = bytes {
            numbers.write_plugin(&bytes);
        }
        let checked = numbers.config.host(&["check", "--json"]).ends_within(seconds(60)).expect_code(2);
        let problem: Value = serde_json::from_str(&checked.output).unwrap();
        let message = problem["message"].as_str().unwrap();
        assert!(message.contains(words) && message.contains("bad.wasm"), "no {words:?} in {problem}");
        assert_eq!(problem["line"], line, "{problem}");
        let run = numbers.config.host(&["run", "--until-caught-up"]).ends_within(seconds(60)).expect_code(2);
        run.expect_output(&format!("pipelines.toml:{line}:")).expect_output("bad.wasm");
    }
    assert!(numbers.place.list("").is_empty(), "something was started");
}

#[test]
fn a_plugin_that_fails_on_everything_stops_the_pipeline_and_loses_nothing() {
    let numbers = Numbers::new(Place::local(), "time = \"300ms\"");
    let records = |range: std::ops::Range<usize>| range.map(|i| (i, i as i64));
    numbers.produce(records(0..1000));
    numbers.write_plugin(&passing_on("", ""));
    numbers.config.catch_up(CATCH_UP);
    let before = numbers.place.list(TABLE);

    numbers.produce(records(1000..3000));
    for (in_apply, reason) in
        [("unreachable", UNREACHABLE), ("(call $spin)", "time limit of 300ms for a batch exceeded")]
    {
        numbers.write_plugin(&passing_on("", in_apply));
        let ended = numbers.config.host(&["run", "--until-caught-up"]).ends_within(CATCH_UP).expect_code(1);
        let ended = ended.expect_output("bad.wasm failed on 33 messages in a row").expect_output(reason);
        ended.expect_output(&numbers.topic).expect_output("none of them is lost");
        assert_eq!(numbers.place.list(TABLE), before);
        assert!(numbers.place.list("_dead").is_empty());
        numbers.config.verify();
    }

    numbers.write_plugin(&passing_on("", ""));
    numbers.config.catch_up(CATCH_UP);
    numbers.config.verify();
    numbers.expect_table(3000, 2999);
    assert!(numbers.place.list("_dead").is_empty());
}
