//! Done again: calls that a plugin failed in, from the files that hosts keep; and dead letters, by a mended plugin, back to their topic.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::guests::{guest, keep};
use support::host::{Config, Ended, Host};
use support::kafka::{Cluster, Received, Record};
use support::reader::Reader;
use support::servers::unique;
use support::store::Place;
use support::wait::{seconds, until};

const TRAP: &str = "trap: wasm `unreachable` instruction executed";
/// The setting of all plugins here. None of them looks at it.
const SECRET: &str = "not-for-everyone";

/// A transform that passes on what it is given, unless a record's `n` is below 0: it does this then.
fn transform(below_zero: &str) -> Vec<u8> {
    let in_apply = format!(
        "(local $row i32)
         (block $done (loop $next
           (br_if $done (i32.eq (local.get $row) (local.get $rows)))
           (if (i64.lt_s (i64.load (i32.add (i32.load offset=4 (local.get $columns)) (i32.mul (local.get $row) (i32.const 8))))
             (i64.const 0)) (then {below_zero}))
           (local.set $row (i32.add (local.get $row) (i32.const 1)))
           (br $next)))"
    );
    guest::Guest { code: &guest::identity("", &in_apply, ""), ..guest::Guest::default() }.build()
}

/// A topic of one partition, and a pipeline through the plugin in a file that tests write.
struct Numbers {
    topic: String,
    folder: TempDir,
    place: Place,
    config: Config,
}

impl Numbers {
    /// `{plugin}` in the rest of the pipeline is the plugin with its settings.
    fn new(place: Place, plugin: &[u8], rest: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("rillgate-replay-").tempdir().unwrap();
        let topic = unique("replay");
        Cluster::shared().create_topic(&topic, 1, &[]);
        let file = folder.path().join("plugin.wasm");
        std::fs::write(&file, plugin).unwrap();
        let plugin = format!("plugin = '{}', settings = {{ token = \"{SECRET}\" }}", file.display());
        let pipeline = format!(
            "[pipeline.{topic}]\ntopic = \"{topic}\"\ndecode = {{ format = \"json\" }}\n\
             columns = {{ n = {{ type = \"int64\", nullable = false }}, id = {{ type = \"utf8\", nullable = false }} }}\n{}\n",
            rest.replace("{plugin}", &plugin)
        );
        let config = Config::new(&Cluster::shared(), &place, &pipeline);
        Self { topic, folder, place, config }
    }

    fn file(&self, name: &str, plugin: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, plugin).unwrap();
        path
    }

    fn send(&self, values: &[&[u8]]) {
        let producer = Cluster::shared().producer();
        for (i, value) in values.iter().enumerate() {
            let key = (i % 3 == 0).then_some(&b"\xffkey"[..]);
            let headers: [(&str, Option<&[u8]>); 2] = [("trace", Some(b"a b")), ("none", None)];
            let record = Record { key, value: Some(value), headers: &headers, partition: Some(0), ..Record::default() };
            producer.send(&self.topic, &record);
        }
        producer.flush();
    }

    /// Runs until so many calls are kept; their paths in the store.
    fn kept(&self, count: usize) -> Vec<String> {
        let folder = format!("_rillgate/{}/failures", self.topic);
        let mut host = self.config.run();
        let list = || self.place.list(&folder).into_keys().collect::<Vec<_>>();
        let kept = until(seconds(60), "kept calls", || {
            host.expect_running();
            Some(list()).filter(|kept| kept.len() >= count)
        });
        host.stop();
        self.config.catch_up(seconds(60));
        assert_eq!((kept.len(), list().len()), (count, count));
        kept
    }

    fn replay(&self, arguments: &[&str], code: i32) -> Value {
        let all = [&["replay", "--json"], arguments].concat();
        let ended = self.config.host(&all).ends_within(seconds(60)).expect_code(code);
        serde_json::from_str(&ended.output).unwrap_or_else(|error| panic!("{error}: {}", ended.output))
    }

    fn dead_letters(&self, arguments: &[&str], code: i32) -> Value {
        self.replay(&[&["--dead-letters", self.topic.as_str()], arguments].concat(), code)
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// `rillgate replay` without a configuration anywhere near.
fn alone(arguments: &[&str]) -> Ended {
    let all = [&["replay", "--config", "/there/is/none.toml"], arguments].concat();
    Host::start(&all).ends_within(seconds(60))
}

#[test]
fn a_call_that_failed_is_kept_and_fails_again_and_passes_with_a_mended_plugin() {
    let rest = "transform = [{ {plugin} }]\nsink = { table = \"numbers\", every = \"200ms\" }";
    let numbers = Numbers::new(Place::s3(), &transform("unreachable"), rest);
    let value = |n: i64| format!(r#"{{"n":{n},"id":"r{n}"}}"#).into_bytes();
    let values: Vec<Vec<u8>> = [1, 2, -3, 4, 5].map(value).to_vec();
    numbers.send(&values.iter().map(Vec::as_slice).collect::<Vec<_>>());
    let kept = numbers.kept(1).remove(0);
    let content = numbers.place.read(&kept).unwrap();
    assert!(!String::from_utf8_lossy(&content).contains(SECRET), "the value of a setting was kept");

    // As it was, from the store.
    let again = numbers.replay(&[&kept], 1);
    let expected = json!({ "n": -3, "id": "r-3" });
    assert_eq!(again["given"]["rows"], json!([expected]), "the row that failed alone, and no other");
    assert_eq!((&again["failed_with"], &again["reason"]), (&TRAP.into(), &TRAP.into()));
    let said = ["passes", "as_before", "same_plugin", "same_configuration"].map(|key| again[key].as_bool().unwrap());
    assert_eq!(said, [false, true, true, true]);
    let offsets = ["first_offset", "last_offset"].map(|key| again[key].as_i64().unwrap());
    assert!(offsets[0] <= 2 && (2..5).contains(&offsets[1]), "of its batch: {offsets:?}");
    let said = numbers.config.host(&["replay", &kept]).ends_within(seconds(60)).expect_code(1);
    said.expect_output("it fails as it did: trap").expect_output(r#"{"n":-3,"id":"r-3"}"#);

    // From a copy, by others.
    let copy = numbers.file("kept.json", &content);
    let mended = numbers.file("mended.wasm", &transform(""));
    let otherwise = numbers.file("otherwise.wasm", &transform("(return (call $error (i32.const 2)))"));
    let passes = numbers.replay(&[text(&copy), "--plugin", text(&mended)], 0);
    assert_eq!((&passes["tables"]["main"], &passes["same_plugin"]), (&json!([expected]), &false.into()));
    let fails = numbers.replay(&[text(&copy), "--plugin", text(&otherwise)], 1);
    assert_eq!((&fails["reason"], &fails["as_before"]), (&"a reason".into(), &false.into()));
    // Settings are where they are configured, and nowhere else.
    let without = alone(&[text(&copy), "--plugin", text(&mended)]).expect_code(2);
    assert!(without.output.contains("none.toml"), "{}", without.output);
    let aggregate = guest::Guest { is_aggregate: true, code: &keep::Keep::default().code(), ..guest::Guest::default() };
    let aggregate = numbers.file("aggregate.wasm", &aggregate.build());
    let said = numbers.config.host(&["replay", text(&copy), "--plugin", text(&aggregate)]).ends_within(seconds(60));
    said.expect_code(2).expect_output("it is an aggregate, and is asked for as a transform");
    let other = numbers.file("other.json", b"{}");
    alone(&[text(&other)]).expect_code(2).expect_output("is no call that a plugin failed in");
}

#[test]
fn no_more_than_five_calls_of_a_plugin_are_kept() {
    let rest = "transform = [{ {plugin} }]\nsink = { table = \"numbers\", every = \"200ms\" }";
    let numbers = Numbers::new(Place::local(), &transform("unreachable"), rest);
    let folder = format!("_rillgate/{}/failures", numbers.topic);
    let mut host = numbers.config.run();
    // Each in a batch of its own.
    for n in 0..8 {
        let values = [format!(r#"{{"n":{n},"id":"a"}}"#), format!(r#"{{"n":-1,"id":"b{n}"}}"#)].map(String::into_bytes);
        numbers.send(&values.each_ref().map(Vec::as_slice));
        until(seconds(60), "dead letters", || {
            host.expect_running();
            (host.metric("rillgate_dead_letters_total") == f64::from(n + 1)).then_some(())
        });
        let kept = usize::try_from(n + 1).unwrap().min(5);
        until(seconds(60), "kept calls", || (numbers.place.list(&folder).len() >= kept).then_some(()));
    }
    host.stop();
    numbers.config.verify();
    assert_eq!(numbers.place.list(&folder).len(), 5);
}

#[test]
fn the_call_of_an_aggregate_is_kept_with_its_states() {
    // A group that has a state can't be folded into.
    let code = |in_update| keep::Keep { in_update, ..keep::Keep::default() }.code();
    let plugin = |code: &str| guest::Guest { is_aggregate: true, code, ..guest::Guest::default() }.build();
    let traps = plugin(&code("(if (local.get $states) (then unreachable))"));
    let rest = "aggregate = { {plugin}, key = [\"n\"] }\nsink = { table = \"numbers\", every = \"200ms\" }";
    let numbers = Numbers::new(Place::local(), &traps, rest);
    numbers.send(&[br#"{"n":1,"id":"first"}"#]);
    numbers.config.catch_up(seconds(60));
    numbers.send(&[br#"{"n":2,"id":"other"}"#, br#"{"n":1,"id":"second"}"#]);
    let kept = numbers.kept(1).remove(0);
    let again = numbers.replay(&[&kept], 1);
    assert_eq!(
        (&again["function"], &again["reason"], &again["as_before"]),
        (&"update".into(), &TRAP.into(), &true.into())
    );
    let given = json!({ "rows": [{ "n": 1, "id": "second" }], "states": [{ "n": 1, "id": "first" }] });
    assert_eq!(again["given"], given);
    let mended = numbers.file("mended.wasm", &plugin(&code("")));
    let passes = numbers.replay(&[&kept, "--plugin", text(&mended)], 0);
    assert_eq!(passes["tables"]["state"], given["rows"]);
}

/// The ids in a table, each of which must be there once.
fn ids(place: &Place, table: &str) -> BTreeSet<String> {
    let rows = Reader::open(place, table, "parquet").rows("select id from t");
    let ids: BTreeSet<String> = rows.iter().map(|row| row[0].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids.len(), rows.len(), "a row is there twice");
    ids
}

fn redriven(records: &[Received]) -> Vec<&Received> {
    records.iter().filter(|record| record.headers.iter().any(|(name, _)| name == "rillgate-redriven")).collect()
}

/// Twelve records, of which three break the plugin and one is none.
fn dead_letters_go_back(format: &str) {
    let rest = format!(
        "transform = [{{ {{plugin}} }}]\nsink = {{ table = \"numbers\", every = \"200ms\" }}\ndead_letters = {{ format = \"{format}\" }}"
    );
    let numbers = Numbers::new(Place::local(), &transform("unreachable"), &rest);
    let value = |i: i64| match i {
        5 => b"\xff\xfe no JSON".to_vec(),
        i => format!(r#"{{"n":{},"id":"r{i}"}}"#, if i % 4 == 3 { -i } else { i }).into_bytes(),
    };
    let values: Vec<Vec<u8>> = (0..12).map(value).collect();
    numbers.send(&values.iter().map(Vec::as_slice).collect::<Vec<_>>());
    numbers.config.catch_up(seconds(60));
    let cluster = Cluster::shared();
    let sums = |said: &Value| ["pass", "fail", "redriven", "redriven_before"].map(|key| said[key].as_u64().unwrap());

    // With the plugin as it is, and with a mended one; nothing is sent without being asked for.
    assert_eq!(sums(&numbers.dead_letters(&[], 1)), [0, 4, 0, 0]);
    let mended = numbers.file("mended.wasm", &transform(""));
    let said = numbers.dead_letters(&["--plugin", text(&mended)], 1);
    assert_eq!(sums(&said), [3, 1, 0, 0]);
    let reasons = said["reasons"].as_array().unwrap();
    let of_trap = json!({ "stage": "transform", "reason": TRAP, "pass": 3, "fail": 0, "now": null });
    assert_eq!((reasons.len(), &reasons[0]), (2, &of_trap));
    assert_eq!((&reasons[1]["stage"], &reasons[1]["fail"]), (&"decode".into(), &1.into()));
    assert_eq!(cluster.end_offset(&numbers.topic, 0), 12);
    let arguments = ["replay", "--dead-letters", &numbers.topic, "--plugin", text(&mended)];
    let shown = numbers.config.host(&arguments).ends_within(seconds(60)).expect_code(1);
    shown.expect_output("of 4 dead letters 3 pass now, 1 still fail").expect_output("3 pass, 0 fail: transform: trap");

    // Back to their topic as they were, and not twice.
    let redrive = ["--plugin", text(&mended), "--redrive"];
    assert_eq!(sums(&numbers.dead_letters(&redrive, 1)), [3, 1, 3, 0]);
    assert_eq!(sums(&numbers.dead_letters(&redrive, 1)), [0, 1, 0, 3]);
    let records = cluster.read_committed(&numbers.topic);
    assert_eq!(records.len(), 15);
    for (record, offset) in redriven(&records).into_iter().zip([3_usize, 7, 11]) {
        let mut expected = records[offset].clone();
        let timestamp = expected.timestamp_ms.unwrap();
        let origin = format!("{}/0/{offset}@{timestamp}", numbers.topic);
        expected.headers.push(("rillgate-redriven".to_owned(), origin.into_bytes()));
        assert_eq!(*record, expected);
    }
    assert_eq!(records[3].value.as_deref(), Some(&values[3][..]));

    // The plugin isn't mended after all: they are dead letters again. What nobody has noted they say themselves.
    numbers.config.catch_up(seconds(60));
    let Place::Local(root) = &numbers.place else { unreachable!("made above") };
    std::fs::remove_dir_all(root.path().join(format!("_rillgate/{}/redriven", numbers.topic))).unwrap();
    assert_eq!(sums(&numbers.dead_letters(&redrive, 1)), [3, 1, 3, 3]);
    assert_eq!(cluster.end_offset(&numbers.topic, 0), 18);

    // Now it is.
    std::fs::write(numbers.folder.path().join("plugin.wasm"), transform("")).unwrap();
    numbers.config.catch_up(seconds(60));
    numbers.config.verify();
    let expected: BTreeSet<String> = (0..12).filter(|i| *i != 5).map(|i| format!("r{i}")).collect();
    assert_eq!(ids(&numbers.place, "numbers"), expected);
    assert_eq!(sums(&numbers.dead_letters(&["--redrive"], 1)), [0, 1, 0, 6]);
}

#[test]
fn dead_letters_in_json_go_back_when_the_plugin_is_mended() {
    dead_letters_go_back("json");
}

#[test]
fn dead_letters_in_parquet_go_back_when_the_plugin_is_mended() {
    dead_letters_go_back("parquet");
}

#[test]
fn a_plugin_that_has_no_place_in_the_pipeline_is_refused() {
    let rest = "transform = [{ {plugin} }, { {plugin} }]\nsink = { table = \"numbers\" }";
    let numbers = Numbers::new(Place::local(), &transform(""), rest);
    let plugin = numbers.folder.path().join("plugin.wasm");
    let aggregate = guest::Guest { is_aggregate: true, code: &keep::Keep::default().code(), ..guest::Guest::default() };
    let aggregate = numbers.file("aggregate.wasm", &aggregate.build());
    let refused = |arguments: &[&str], words: &str| {
        let all = [&["replay", "--dead-letters"], arguments].concat();
        numbers.config.host(&all).ends_within(seconds(60)).expect_code(2).expect_output(words);
    };
    let topic = numbers.topic.as_str();
    refused(&["nothing"], "there is no pipeline `nothing`");
    refused(&[topic, "--plugin", text(&plugin)], "has 2 transforms: say which with --step 0 to 1");
    refused(&[topic, "--plugin", text(&plugin), "--step", "2"], "has no plugin in the place of a transform like this");
    refused(&[topic, "--plugin", text(&aggregate)], "has no plugin in the place of an aggregate like this");
    refused(&[topic, "--plugin", text(&aggregate), "--step", "0"], "--step is for transforms");
    let fine = numbers.dead_letters(&["--plugin", text(&plugin), "--step", "1"], 0);
    assert_eq!((&fine["pass"], &fine["fail"]), (&0.into(), &0.into()));
}
