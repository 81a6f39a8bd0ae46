//! Which plugins made what, by logs and by footers.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use parquet::arrow::ArrowWriter;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

use super::super::entry::CommittedFile;
use super::super::lineage::{FOOTER_PLUGINS, Lineage, Range, lineage};
use super::*;
use crate::batch::RecordBatch;

/// A log of CLAIM 0 and COMMITs 1 to `commits.len()`, of ten records each, made by these plugins with this configuration.
async fn written(commits: &[(&[&str], &str)]) -> World {
    let world = World::new();
    let view = world.view();
    let mut attempt = view.begin().await.unwrap();
    for (plugins, config) in commits {
        let mut commit = attempt.stage(10).await.unwrap();
        commit.plugins = plugins.iter().map(|plugin| (*plugin).to_owned()).collect();
        commit.config = (*config).to_owned();
        attempt.decide(commit).await.unwrap();
    }
    world
}

async fn read(world: &World) -> Lineage {
    lineage(&world.view().store, PIPELINE).await.unwrap()
}

/// Offsets, plugins and configuration of each range.
fn ranges(lineage: &Lineage) -> Vec<(i64, i64, String, String)> {
    let range = |range: &'_ Range| (range.start, range.end, range.plugins.join(","), range.config.clone());
    lineage.tasks[0].ranges.iter().map(range).collect()
}

#[tokio::test(start_paused = true)]
async fn consecutive_epochs_of_the_same_plugins_are_one_range() {
    let (a, b): (&[&str], &[&str]) = (&["a"], &["a", "b"]);
    let world = written(&[(a, "x"), (a, "x"), (b, "x"), (b, "y"), (a, "x")]).await;
    let lineage = read(&world).await;
    let expected = [(0, 20, "a", "x"), (20, 30, "a,b", "x"), (30, 40, "a,b", "y"), (40, 50, "a", "x")];
    let expected = expected.map(|(start, end, plugins, config)| (start, end, plugins.to_owned(), config.to_owned()));
    assert_eq!(ranges(&lineage), expected);
    let task = &lineage.tasks[0];
    assert_eq!(
        (lineage.tasks.len(), task.topic.as_str(), task.partition.as_str(), task.first_entry),
        (1, "trips", "3", 0)
    );
    let first = &task.ranges[0];
    let commits = world.commits().await;
    assert_eq!((first.commits, first.files, first.rows), (2, 4, 20));
    assert_eq!((&first.from, &first.to), (&commits[0].time, &commits[1].time));
    assert_eq!((lineage.footers, lineage.problems), (0, vec![]), "none of them is Parquet");
}

#[tokio::test(start_paused = true)]
async fn a_claim_in_between_changes_nothing_but_lost_offsets_do() {
    let world = written(&[(&["a"], "")]).await;
    for start in [10, 50] {
        let view = world.view();
        let log = TaskLog::claim(
            view.store.clone(),
            folder(PIPELINE, "trips", 3),
            start.to_string(),
            OPTIONS,
            |_| async move { Ok(start) },
        );
        let mut log = log.await.unwrap();
        let commit = Commit { start, end: start + 10, plugins: vec!["a".to_owned()], ..Commit::default() };
        log.commit(commit, |_| {}).await.unwrap();
    }
    let lineage = read(&world).await;
    assert_eq!(ranges(&lineage), [(0, 20, "a".to_owned(), String::new()), (50, 60, "a".to_owned(), String::new())]);
}

#[tokio::test(start_paused = true)]
async fn what_was_cleaned_away_is_said_to_be_gone() {
    let world = written(&[(&["a"], ""), (&["b"], ""), (&["b"], "")]).await;
    world.remove_entry(0).await;
    world.remove_entry(1).await;
    let lineage = read(&world).await;
    assert_eq!(ranges(&lineage), [(10, 30, "b".to_owned(), String::new())]);
    assert_eq!(lineage.tasks[0].first_entry, 2);
    assert!(read(&World::new()).await.tasks.is_empty());
}

/// A Parquet file of `rows` rows whose footer says this of its plugins.
fn parquet(rows: i64, plugins: Option<&str>, more: usize) -> Vec<u8> {
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows));
    let batch = RecordBatch::try_from_iter([("n", numbers)]).unwrap();
    let said = plugins.map(|plugins| KeyValue::new(FOOTER_PLUGINS.to_owned(), plugins.to_owned()));
    let filling = KeyValue::new("more".to_owned(), "x".repeat(more));
    let properties =
        WriterProperties::builder().set_key_value_metadata(Some(said.into_iter().chain([filling]).collect()));
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties.build())).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

#[tokio::test(start_paused = true)]
async fn footers_must_name_the_plugins_that_their_commit_does() {
    let whole = parquet(1000, Some("a,b"), 0);
    let files: Vec<(&str, Vec<u8>)> = vec![
        ("right", whole.clone()),
        // Its footer is not read in one piece.
        ("long", parquet(10, Some("a,b"), 200_000)),
        ("other", parquet(10, Some("a"), 0)),
        ("silent", parquet(10, None, 0)),
        ("cut", whole[..whole.len() - 1].to_vec()),
        ("short", b"PAR1".to_vec()),
    ];
    let world = World::new();
    let view = world.view();
    let log = view.begin().await.unwrap().log;
    let mut committed = Vec::new();
    for (name, bytes) in &files {
        let path = format!("city/rides/{name}.parquet");
        world.tables.put(&Path::from(format!("lake/{path}")), bytes.clone().into()).await.unwrap();
        committed.push(CommittedFile {
            staged: format!("stage/{name}"),
            path,
            bytes: bytes.len() as u64,
            xxh3: String::new(),
            rows: 10,
        });
    }
    // Not there, and of another length: found by `verify`, and no matter of who made them.
    for name in ["gone", "right"] {
        committed.push(CommittedFile { path: format!("city/rides/{name}.parquet"), bytes: 1, ..committed[0].clone() });
    }
    let mut entry =
        Commit { end: 10, plugins: vec!["a".to_owned(), "b".to_owned()], files: committed, ..Commit::default() };
    entry.format = entry::FORMAT;
    entry.attempt = log.attempt().to_owned();
    let path = world.control_path(&format!("log/{}", entry::file_name(1)));
    world.control.put(&path, serde_json::to_vec(&Entry::Commit(entry)).unwrap().into()).await.unwrap();
    let lineage = read(&world).await;
    assert_eq!(lineage.footers, 2, "{:?}", lineage.problems);
    let expected = [
        "city/rides/other.parquet: its footer says plugins \"a\", its COMMIT \"a,b\" (entry 1 of trips/3)",
        "city/rides/silent.parquet: its footer doesn't say which plugins made it; its COMMIT says \"a,b\"",
        "city/rides/cut.parquet: its footer can't be read: ",
        "city/rides/short.parquet: its footer can't be read: ",
    ];
    assert_eq!(lineage.problems.len(), expected.len(), "{:#?}", lineage.problems);
    for (problem, expected) in lineage.problems.iter().zip(expected) {
        assert!(problem.starts_with(expected), "{problem}");
    }
}
