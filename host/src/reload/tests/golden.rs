//! Cases beside plugins: what they say, what is otherwise, and those of the project's own plugins.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::golden::{self, Failure, TIME_LIMIT};
use super::*;

fn check(pipeline: &Pipeline) -> Result<usize, Vec<Failure>> {
    golden::check(pipeline, TIME_LIMIT)
}

/// A folder with a plugin and cases beside it.
struct Beside {
    folder: TempDir,
    pipeline: String,
}

impl Beside {
    fn transform(code: &str) -> Self {
        let pipeline = "decode.format = 'json'\ncolumns.n = { type = 'int64', nullable = false }\nsink.table = 'main'\n\
             outputs.odd.table = 'odd'\n[[pipeline.p.transform]]\nplugin = 'x.wasm'\nlimits.time = '50ms'\n";
        Self { folder: plugin(false, code), pipeline: pipeline.to_owned() }
    }

    fn check_text(&self, cases: &str) -> Result<usize, Vec<Failure>> {
        std::fs::write(self.folder.path().join("x.cases.json"), cases).unwrap();
        check(&open_in(self.folder.path(), &self.pipeline))
    }

    fn check(&self, cases: &Value) -> Result<usize, Vec<Failure>> {
        self.check_text(&cases.to_string())
    }

    /// What is otherwise than in the case `x`.
    #[track_caller]
    fn difference(&self, case: Value) -> String {
        let mut cases = json!([case]);
        cases[0]["name"] = "x".into();
        let failures = self.check(&cases).unwrap_err();
        let [Failure { at, message }] = &failures[..] else { panic!("{failures:?}") };
        assert!(at == "transform[0]" || at == "aggregate", "{at}");
        let start = format!("{}: case `x`: ", self.folder.path().join("x.wasm").display());
        message.strip_prefix(&start).unwrap_or_else(|| panic!("{message}")).to_owned()
    }
}

#[test]
fn a_plugin_without_cases_has_none() {
    assert_eq!(check(&transform(&filter(1), "")), Ok(0));
    let beside = Beside::transform(&filter(2));
    assert_eq!(beside.check(&json!([])), Ok(0));
}

#[test]
fn cases_of_a_transform_are_run_and_counted() {
    let passing = json!([
        { "name": "by table", "input": [{ "n": 1 }, { "n": 2 }, { "n": -5 }, { "n": 4 }], "output": { "odd": [{ "n": 1 }], "main": [{ "n": 2 }, { "n": 4.0 }] } },
        { "name": "rejected", "input": [{ "n": -4 }, { "n": 6 }, { "n": -4 }], "output": { "main": [{ "n": 6 }] },
          "rejected": [{ "row": 2 }, { "row": 0, "reason": "rejected as it should be" }] },
        { "name": "nothing", "input": [] },
        { "name": "own columns", "columns": { "other": "int64 not null" }, "settings": { "any": 1, "other": true },
          "input": [{ "other": 2 }], "output": { "main": [{ "other": 2 }] } },
    ]);
    assert_eq!(Beside::transform(&filter(2)).check(&passing), Ok(4));
}

#[test]
fn the_first_difference_is_named() {
    let beside = Beside::transform(&filter(2));
    let input = json!([{ "n": 2 }, { "n": 3 }, { "n": 4 }]);
    for (output, expected) in [
        (
            json!({ "main": [{ "n": 2 }, { "n": 5 }], "odd": [{ "n": 3 }] }),
            "output `main`: row 1, column `n`: expected 5, found 4",
        ),
        (
            json!({ "main": [{ "n": 2 }, { "n": 4 }] }),
            "output `odd`: expected 0 rows, found 1; row 0, found only: {\"n\":3}",
        ),
        (
            json!({ "main": [{ "n": 2 }, { "n": 4 }, { "n": 6 }], "odd": [{ "n": 3 }] }),
            "output `main`: expected 3 rows, found 2; row 2, expected only: {\"n\":6}",
        ),
        (json!({ "main": [{ "n": 2 }, { "m": 4 }] }), "output `main`: what is expected can't be: row 1: "),
        (json!({ "even": [] }), "there is no output `even`; there are main, odd"),
    ] {
        let found = beside.difference(json!({ "input": input, "output": output }));
        assert!(found.starts_with(expected), "{found}");
    }
}

#[test]
fn rejections_are_compared_with_their_reasons() {
    let beside = Beside::transform(&filter(2));
    let input = json!([{ "n": -4 }, { "n": 2 }]);
    let output = json!({ "main": [{ "n": 2 }] });
    for (rejected, expected) in [
        (json!([]), "row 0 of the input is rejected: \"rejected as it should be\""),
        (json!([{ "row": 0 }, { "row": 1 }]), "row 1 of the input is not rejected"),
        (
            json!([{ "row": 0, "reason": "no" }]),
            "row 0 of the input: expected the reason \"no\", found \"rejected as it should be\"",
        ),
    ] {
        assert_eq!(beside.difference(json!({ "input": input, "output": output, "rejected": rejected })), expected);
    }
}

#[test]
fn cases_that_break_the_plugin_or_do_not_fit_it_fail() {
    let beside = Beside::transform(&filter(2));
    for (case, expected) in [
        (json!({ "input": [{ "n": -1 }] }), TRAP),
        (json!({ "input": [{ "n": -2 }] }), "time limit of 50ms for a batch exceeded"),
        (json!({ "input": [{ "n": 1 }, { "m": 1 }] }), "`input` doesn't fit its columns: row 1: "),
        (json!({ "input": [{}] }), "`input` doesn't fit its columns: row 0: "),
        (
            json!({ "columns": { "n": "int46" }, "input": [] }),
            "`columns`: `n` is \"int46\", which is none of boolean, ",
        ),
    ] {
        let found = beside.difference(case);
        assert!(found.starts_with(expected), "{found}");
    }
    let mut refusing = Beside::transform(&identity(
        "(if (local.get $setting-count) (then (return (call $error (i32.const 0)))))",
        "",
        "",
    ));
    refusing.pipeline = refusing.pipeline.replace("outputs.odd.table = 'odd'\n", "");
    let found = refusing.difference(json!({ "settings": { "a": "b" }, "input": [] }));
    assert!(
        found.starts_with("it can't be opened: ") && found.contains("does not accept its settings (a): a reason"),
        "{found}"
    );
}

#[test]
fn when_time_is_up_no_case_is_begun() {
    let beside = Beside::transform(&filter(2));
    let cases = json!([{ "name": "a", "input": [{ "n": -2 }] }, { "name": "b", "input": [] }]);
    assert_eq!(beside.check(&cases).unwrap_err().len(), 1);
    let failures = golden::check(&open_in(beside.folder.path(), &beside.pipeline), Duration::ZERO).unwrap_err();
    assert!(failures[0].message.ends_with("x.wasm: time was up after 0 of 2 cases"), "{failures:?}");
    // The first case takes longer than all may.
    let limit = Duration::from_millis(20);
    let failures = golden::check(&open_in(beside.folder.path(), &beside.pipeline), limit).unwrap_err();
    assert!(failures.last().unwrap().message.contains("time was up after "), "{failures:?}");
}

#[test]
fn files_that_are_no_cases_are_said_to_be_none() {
    let beside = Beside::transform(&filter(2));
    for (text, expected) in [
        ("[", "EOF while parsing"),
        ("{}", "invalid type: map, expected a sequence"),
        ("[{ \"name\": \"a\", \"input\": [], \"outputs\": {} }]", "unknown field `outputs`"),
        ("[{ \"name\": \"a\", \"input\": [], \"rejected\": [{ \"row\": 0, \"why\": \"\" }] }]", "unknown field `why`"),
        ("[{ \"input\": [] }]", "missing field `name`"),
    ] {
        let failures = beside.check_text(text).unwrap_err();
        let start = format!("{}: {expected}", beside.folder.path().join("x.cases.json").display());
        assert!(failures.len() == 1 && failures[0].message.starts_with(&start), "{failures:?}");
    }
    let long = format!("[{}]", " ".repeat(1 << 20));
    assert!(beside.check_text(&long).unwrap_err()[0].message.ends_with("it has more than 1024 KiB"));
    assert_eq!(beside.check_text(&long[2..].replacen(' ', "[", 1)), Ok(0), "as long as it may be");
}

#[test]
fn the_second_plugin_gets_what_the_first_gives() {
    let folder = plugin(false, &twice());
    let second = plugin(false, &identity("", "", ""));
    std::fs::copy(second.path().join("x.wasm"), folder.path().join("y.wasm")).unwrap();
    let check = |row: Value| {
        let cases = json!([{ "name": "a", "input": [row], "output": { "main": [{ "n": 3, "a": 4 }] } }]);
        std::fs::write(folder.path().join("y.cases.json"), cases.to_string()).unwrap();
        let pipeline = "decode.format = 'json'\ncolumns.n = { type = 'int64', nullable = false }\nsink.table = 'main'\n\
             [[pipeline.p.transform]]\nplugin = 'x.wasm'\n[[pipeline.p.transform]]\nplugin = 'y.wasm'\n";
        check(&open_in(folder.path(), pipeline))
    };
    assert_eq!(check(json!({ "n": 3, "a": 4 })), Ok(1));
    let failures = check(json!({ "n": 3, "a": 5 })).unwrap_err();
    assert_eq!(failures[0].at, "transform[1]");
    assert!(failures[0].message.contains("row 0, column `a`: expected 4, found 5"), "{failures:?}");
}

#[test]
fn cases_of_an_aggregate_are_folded_and_given_out() {
    let beside = |keep: Keep| {
        let pipeline = "decode.format = 'json'\ncolumns = { n = { type = 'int64', nullable = false }, at = { type = 'timestamp', nullable = \
             false } }\nsink.table = 'main'\n[pipeline.p.aggregate]\nplugin = 'x.wasm'\nkey = ['n']\ntime = 'at'\n\
             window.tumbling = '10s'\ndelay = '0s'\nexchange = 'none'\n";
        Beside { folder: plugin(true, &keep.code()), pipeline: pipeline.to_owned() }
    };
    let row = |n: i64, second: i64| json!({ "n": n, "at": format!("2026-01-01T00:00:{second:02}Z") });
    let passing = json!([
        { "name": "groups", "input": [row(2, 1), row(1, 2), row(1, 12)], "output": { "main": [row(1, 2), row(2, 1), row(1, 12)] } },
        { "name": "late", "input": [row(1, 40), row(2, 3)], "output": { "main": [row(1, 40)], "late": [row(2, 3)] } },
    ]);
    assert_eq!(beside(Keep::default()).check(&passing), Ok(2));
    let found = beside(Keep::default())
        .difference(json!({ "input": [row(1, 40), row(2, 3)], "output": { "main": [row(1, 40)] } }));
    assert!(found.starts_with("output `late`: expected 0 rows, found 1"), "{found}");

    // Rejects a row whose number is 7, if it comes first.
    let rejecting = Keep {
        in_update: "(if (i64.eq (i64.load (i32.load offset=4 (local.get $columns))) (i64.const 7)) (then
            (i32.store (i32.const 1024) (i32.const 0)) (i32.store (i32.const 1028) (i32.const 512))
            (i32.store (i32.const 1032) (i32.const 8)) (i32.store (i32.const 600) (i32.const 1))))",
        after_update:
            "(i32.store (i32.const 144) (i32.const 1024)) (i32.store (i32.const 148) (i32.load (i32.const 600)))
            (i32.store (i32.const 600) (i32.const 0))",
        ..Keep::default()
    };
    let case = |rejected: Value| json!({ "input": [row(7, 1), row(8, 2)], "output": { "main": [row(8, 2)] }, "rejected": rejected });
    let mut rejected = case(json!([{ "row": 0, "reason": "a reason" }]));
    rejected["name"] = "rejected".into();
    assert_eq!(beside(rejecting).check(&json!([rejected])), Ok(1));
    assert_eq!(beside(rejecting).difference(case(json!([]))), "row 0 of the input is rejected: \"a reason\"");
    let found =
        beside(Keep { in_finish: "unreachable", ..Keep::default() }).difference(json!({ "input": [row(1, 1)] }));
    assert!(found.ends_with(TRAP), "{found}");
}

/// Each plugin of the project that has cases does what they say, in each of its pipelines; where the plugins are built.
#[test]
fn the_plugins_of_the_project_do_what_their_cases_say() {
    let base = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let text = std::fs::read_to_string(base.join("pipelines.toml")).unwrap();
    let config =
        parse(&text, "pipelines.toml", base, &[], &|_| None).unwrap_or_else(|flawed| panic!("{}", flawed.problems));
    let count = |name: &str| {
        let options = &config.pipelines[name];
        let plugins = options.transform.iter().map(|transform| &transform.plugin);
        let plugins: Vec<_> = plugins.chain(options.aggregate.iter().map(|aggregate| &aggregate.plugin)).collect();
        let built = plugins.iter().all(|plugin| base.join(plugin).exists());
        let pipeline = built.then(|| Pipeline::open(name, options, &ENGINE, base).unwrap());
        pipeline.map(|pipeline| check(&pipeline).unwrap_or_else(|failures| panic!("{failures:#?}")))
    };
    for (name, cases) in [("railway_incidents", 3), ("railway_train_arrivals", 3), ("mta_turnstiles", 4)] {
        assert!(count(name).is_none_or(|count| count == cases), "{name}");
    }
}
