//! `rillgate verify`.

use clap::Args;

use super::{ConfigArgs, Exit, Say, load, runtime};
use crate::commit::lineage::{self, Lineage, Range};
use crate::commit::{Store, verify};
use crate::config::{Config, PipelineOptions};

#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Say, too, which plugins and which configuration made which offsets, and compare the footers of Parquet files with that.
    #[arg(long)]
    lineage: bool,
}

pub(super) fn verify(args: &VerifyArgs, json: bool) -> Exit {
    match load(&args.config, json).and_then(|config| verify_all(&config, args.lineage, json)) {
        Ok(exit) | Err(exit) => exit,
    }
}

/// Verifies every pipeline of a configuration.
pub(super) fn verify_all(config: &Config, lineage: bool, json: bool) -> Result<Exit, Exit> {
    let store = Store::open(&config.store.for_commit());
    let store = store.map_err(|error| (Exit::Environment, error.to_string()).say("verify"))?;
    let runtime = runtime()?;
    let mut exit = Exit::Fine;
    for (name, options) in &config.pipelines {
        let subject = verify::Subject { pipeline: name.clone(), tables: folders(name, options) };
        let report = runtime.block_on(verify::verify(&store, &subject));
        let mut report = report.map_err(|error| (Exit::Environment, error.to_string()).say(name))?;
        let lineage = match lineage {
            true => {
                let lineage = runtime.block_on(lineage::lineage(&store, name));
                let lineage = lineage.map_err(|error| (Exit::Environment, error.to_string()).say(name))?;
                report.problems.extend(lineage.problems.iter().cloned());
                Some(lineage)
            }
            false => None,
        };
        if !report.problems.is_empty() {
            exit = Exit::Failed;
        }
        if json {
            let mut line =
                serde_json::json!({ "pipeline": name, "verified": report.problems.is_empty(), "report": report });
            if let Some(lineage) = lineage {
                line["lineage"] = serde_json::json!(lineage);
            }
            println!("{line}");
            continue;
        }
        let verdict = if report.problems.is_empty() { "verified" } else { "WRONG" };
        println!(
            "{name}: {verdict}: {} offsets of {} partitions in {} rows, {} files, {} bytes; {} dead letters",
            report.offsets, report.tasks, report.rows, report.files, report.bytes, report.dead_letters
        );
        if report.records > 0 {
            println!("  {} records for topics", report.records);
        }
        let more = [
            (report.pending, "decided, and published by the next start"),
            (report.pending_records, "of records decided, and sent by the next start if they weren't"),
            (report.uncovered, "older than the log"),
        ];
        for (count, what) in more.into_iter().filter(|(count, _)| *count > 0) {
            println!("  {count} files {what}");
        }
        report.lost_by_kafka.iter().for_each(|lost| println!("  lost by Kafka: {lost}"));
        if let Some(lineage) = &lineage {
            print!("{}", in_words(lineage));
        }
        report.problems.iter().for_each(|problem| println!("  {problem}"));
    }
    Ok(exit)
}

/// A line for each range of each partition.
fn in_words(lineage: &Lineage) -> String {
    let mut lines = format!("  lineage: the footers of {} Parquet files agree\n", lineage.footers);
    for task in &lineage.tasks {
        lines += &format!("  {}/{}", task.topic, task.partition);
        if task.first_entry > 0 {
            let first = task.ranges.first().map(|range| format!(" before offset {}", range.start));
            let before = first.unwrap_or_default();
            lines +=
                &format!(": what came{before} is no longer in the log, which begins with entry {}", task.first_entry);
        }
        lines.push('\n');
        for range in &task.ranges {
            lines += &format!("    {}\n", range_in_words(range));
        }
    }
    lines
}

/// `[0, 30): plugins 0f1e2d3c4b5a, config a5b4c3d2e1f0: 30 rows in 3 files, 2026-01-01T00:00:00Z to 2026-01-01T00:01:00Z`
fn range_in_words(range: &Range) -> String {
    let Range { start, end, generation, plugins, config, files, rows, records, from, to, .. } = range;
    let short = |digest: &String| digest.get(..12).unwrap_or(digest).to_owned();
    let plugins: Vec<String> = plugins.iter().map(short).collect();
    let plugins = if plugins.is_empty() { "no plugins".to_owned() } else { format!("plugins {}", plugins.join(", ")) };
    let anew = if *generation > 0 {
        format!(" of the topic as it was made anew for the {generation}. time")
    } else {
        String::new()
    };
    let sent = if *records > 0 { format!(", {records} records") } else { String::new() };
    let config = short(config);
    format!("[{start}, {end}){anew}: {plugins}, config {config}: {rows} rows in {files} files{sent}, {from} to {to}")
}

/// The folders that a pipeline writes: its tables and its dead letters.
fn folders(name: &str, options: &PipelineOptions) -> Vec<String> {
    let tables = options.sinks().filter_map(|(_, sink)| sink.target.table().map(|to| to.table.clone()));
    tables.chain([format!("_dead/{name}")]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commit::lineage::TaskLineage;

    #[test]
    fn a_lineage_in_words_has_short_digests_and_says_where_it_begins() {
        let range = Range {
            start: 10,
            end: 30,
            generation: 0,
            plugins: vec!["0123456789abcdef".repeat(4), "fedcba9876543210".repeat(4)],
            config: "00112233445566".to_owned(),
            commits: 2,
            files: 4,
            rows: 19,
            records: 0,
            dead_letters: 1,
            from: "2026-01-01T00:00:00Z".to_owned(),
            to: "2026-01-01T00:01:00Z".to_owned(),
        };
        let anew = Range { generation: 1, start: 0, end: 5, plugins: vec![], records: 3, ..range.clone() };
        let task = |first_entry, ranges| TaskLineage {
            topic: "trips".to_owned(),
            partition: "3".to_owned(),
            first_entry,
            ranges,
        };
        let tasks = vec![task(2, vec![range.clone(), anew]), task(0, vec![]), task(7, vec![])];
        assert_eq!(
            in_words(&Lineage { tasks, footers: 4, problems: vec![] }),
            "  lineage: the footers of 4 Parquet files agree\n  \
             trips/3: what came before offset 10 is no longer in the log, which begins with entry 2\n    \
             [10, 30): plugins 0123456789ab, fedcba987654, config 001122334455: 19 rows in 4 files, 2026-01-01T00:00:00Z to \
             2026-01-01T00:01:00Z\n    \
             [0, 5) of the topic as it was made anew for the 1. time: no plugins, config 001122334455: 19 rows in 4 files, 3 \
             records, 2026-01-01T00:00:00Z to 2026-01-01T00:01:00Z\n  \
             trips/3\n  trips/3: what came is no longer in the log, which begins with entry 7\n"
        );
    }
}
