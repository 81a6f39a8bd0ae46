//! Pipelines that open, and everything that is wrong with those that don't.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use rillgate_feeds::System;

use super::*;
use crate::batch::{DataType, Field, Schema};
use crate::config::{Config, parse};

static ENGINE: LazyLock<Engine> = LazyLock::new(|| Engine::new(None).unwrap());

fn config(pipeline: &str) -> Config {
    let text = format!("kafka.bootstrap.servers = 'k:1'\nstore.url = 'lake'\n[pipeline.p]\ntopic = 't'\n{pipeline}");
    parse(&text, "pipelines.toml", Path::new("."), &[], &|_| None)
        .unwrap_or_else(|flawed| panic!("{}", flawed.problems))
}

/// The problems that opening the pipeline meets, as `line path: message`.
#[track_caller]
fn problems(pipeline: &str) -> Vec<String> {
    let config = config(pipeline);
    let found = Pipeline::open("p", &config.pipelines["p"], &ENGINE, &config.base).unwrap_err();
    let line = |problem: &Problem| {
        let line = problem.location.as_ref().map_or(0, |place| place.line);
        format!("{line} {}: {}", problem.path, problem.message.lines().next().unwrap_or_default())
    };
    config.place(found).0.iter().map(line).collect()
}

#[test]
fn without_plugins_rows_go_from_decode_to_the_sink() {
    let config = config(
        "decode.format = 'json'\ncolumns = { id = 'utf8', n = 'int64', at = { type = 'timestamp', nullable = false } }\n\
         sink = { table = 'a/b', partition_by = ['date'], rows = 10 }\n",
    );
    let pipeline = Pipeline::open("p", &config.pipelines["p"], &ENGINE, &config.base).unwrap();
    assert_eq!(pipeline.decoder().unwrap().schema(), pipeline.input());
    assert_eq!(pipeline.open_plugins().unwrap().chain.tables().len(), 1);
    assert_eq!(pipeline.tables()[0].target.as_ref().unwrap().table().unwrap().table, "a/b");
    assert!(pipeline.digests().is_empty());
    let description = pipeline.describe();
    assert_eq!(
        description.to_string(),
        "pipeline p\n  reads    t (group rillgate.p)\n  columns  id utf8, n int64, at timestamp not null\n  \
         writes   a/b (parquet zstd, by date, closed every 1m or at 128.0 MiB or at 10 rows)\n           \
         id utf8, n int64, at timestamp not null\n"
    );
    assert_eq!(serde_json::to_value(&description).unwrap()["tables"][0]["columns"][2]["type"], "timestamp");
}

#[test]
fn all_that_does_not_fit_is_reported_at_once() {
    let found = problems(
        "decode.format = 'json'\ncolumns.a = 'txt'\ncolumns.b = 'utf8'\n[pipeline.p.columns.c]\ntype = 'timestamp'\n\
         format = 'no pattern'\n[[pipeline.p.transform]]\nplugin = 'gone.wasm'\n[[pipeline.p.transform]]\n\
         plugin = 'gone too.wasm'\n[pipeline.p.sink]\ntable = 'a'\n",
    );
    let places: Vec<&str> = found.iter().map(|line| line.split(": ").next().unwrap()).collect();
    let expected = [
        "6 pipeline.p.columns.a.type",
        "10 pipeline.p.columns.c.format",
        "12 pipeline.p.transform[0].plugin",
        "14 pipeline.p.transform[1].plugin",
    ];
    assert_eq!(places, expected, "{found:#?}");
}

#[test]
fn a_sink_that_cannot_take_the_columns_is_named_by_its_key() {
    let sink = |sink: &str| problems(&format!("decode.format = 'json'\ncolumns.a = 'utf8'\n{sink}"));
    for (options, expected) in [
        ("partition_by = ['date']", "7 pipeline.p.sink.partition_by: "),
        ("partition_by = ['b']", "7 pipeline.p.sink.partition_by: "),
        ("compression_level = 99", "7 pipeline.p.sink.compression_level: "),
        ("max_open_files = 0", "7 pipeline.p.sink.max_open_files: "),
    ] {
        let found = sink(&format!("sink = {{ table = 'a', {options} }}\n"));
        assert!(matches!(&found[..], [one] if one.starts_with(expected)), "{options}: {found:?}");
    }
}

#[test]
fn a_topic_is_described_and_must_fit_the_columns() {
    let columns = "decode.format = 'json'\ncolumns = { id = 'utf8', n = 'int64', gone = 'boolean' }\n";
    let sink = "topic = 'out', key = ['id'], headers = ['n'], tombstone = 'gone', every = '1s'";
    let config = config(&format!("{columns}sink = {{ {sink} }}\n"));
    let pipeline = Pipeline::open("p", &config.pipelines["p"], &ENGINE, &config.base).unwrap();
    let description = pipeline.describe();
    assert_eq!(
        description.to_string(),
        "pipeline p\n  reads    t (group rillgate.p)\n  columns  id utf8, n int64, gone boolean\n  \
         sends    out (json, key id, headers n, sent every 1s or at 16.0 MiB)\n           id utf8, n int64\n"
    );
    assert_eq!(serde_json::to_value(&description).unwrap()["tables"][0]["topic"], "out");
    for (options, expected) in [
        ("key = ['x']", "7 pipeline.p.sink.key: there is no column `x`"),
        ("headers = { h = 'x' }", "7 pipeline.p.sink.headers: there is no column `x`"),
        ("tombstone = 'n', key = 'id'", "7 pipeline.p.sink.tombstone: the column `n` must be boolean"),
        ("config = { 'cleanup.policy' = 'compact' }", "7 pipeline.p.sink"),
    ] {
        let found = problems(&format!("{columns}sink = {{ topic = 'out', {options} }}\n"));
        assert!(matches!(&found[..], [one] if one.starts_with(expected)), "{options}: {found:?}");
    }
}

#[test]
fn outputs_and_sinks_are_matched_by_name() {
    let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Utf8, true)]));
    let table = |name: &str| Table { name: name.to_owned(), schema: Arc::clone(&schema) };
    let announced = [table(MAIN), table("late"), table("rest"), table("more")];
    let config = config(
        "decode.format = 'raw'\nsink.table = 'a'\noutputs = { late = { table = 'late', partition_by = ['b'] }, rest = 'drop', \
         mor = { table = 'more' }, main = 'drop' }\n",
    );
    let mut problems = Vec::new();
    let found = tables("pipeline.p", &config.pipelines["p"], &announced, &mut problems);
    let tables: Vec<_> =
        found.iter().map(|table| table.target.as_ref().and_then(|to| Some(to.table()?.table.as_str()))).collect();
    assert_eq!(tables, [Some("a"), Some("late"), None, None]);
    let problems: Vec<_> = problems.iter().map(|p| (p.path.as_str(), p.hint.as_deref().unwrap_or_default())).collect();
    assert_eq!(
        problems[..2],
        [
            ("pipeline.p.outputs.mor", "did you mean `more`?"),
            ("pipeline.p.outputs.main", "the rows of `main` go to `sink`"),
        ]
    );
    assert_eq!(problems[2].0, "pipeline.p.outputs.late.partition_by");
    assert_eq!(problems[3], ("pipeline.p.outputs", "outputs = { more = { table = \"...\" } }, or more = \"drop\""));
}

/// The file that the project ships: it has a pipeline for every topic of the simulated systems, and each fits, with its
/// plugins where they are built.
#[test]
fn the_pipelines_of_the_project_fit() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../pipelines.toml");
    let text = std::fs::read_to_string(file).unwrap();
    let base = Path::new(file).parent().unwrap();
    let config = parse(&text, file, base, &[], &|_| None).unwrap_or_else(|flawed| panic!("{}", flawed.problems));
    assert!(config.warnings.0.is_empty(), "{}", config.warnings);
    for system in System::ALL {
        let prefix = format!("{}_", system.name().replace('-', "_"));
        let of_system = config.pipelines.iter().filter(|(name, _)| name.starts_with(&prefix));
        let topics: BTreeSet<&str> = of_system.flat_map(|(_, pipeline)| &pipeline.topics).map(String::as_str).collect();
        assert_eq!(topics, system.topics().iter().copied().collect(), "{system}");
    }
    for (name, options) in &config.pipelines {
        let built = options.transform.iter().all(|transform| base.join(&transform.plugin).exists());
        let mut options = options.clone();
        if !built {
            // What a plugin gives is not known; the rest is.
            options.transform.clear();
            if let Target::Table(table) = &mut options.sink.target {
                table.partition_by.clear();
            }
        }
        let opened = Pipeline::open(name, &options, &ENGINE, base);
        opened.unwrap_or_else(|problems| panic!("{}", config.place(problems)));
    }
}
