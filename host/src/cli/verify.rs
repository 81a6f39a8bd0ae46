//! `rillgate verify`.

use clap::Args;

use super::{ConfigArgs, Exit, Say, load, runtime};
use crate::commit::{Store, verify};
use crate::config::{Config, PipelineOptions};

#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    config: ConfigArgs,
}

pub(super) fn verify(args: &VerifyArgs, json: bool) -> Exit {
    match load(&args.config, json).and_then(|config| verify_all(&config, json)) {
        Ok(exit) | Err(exit) => exit,
    }
}

/// Verifies every pipeline of a configuration.
pub(super) fn verify_all(config: &Config, json: bool) -> Result<Exit, Exit> {
    let store = Store::open(&config.store.for_commit());
    let store = store.map_err(|error| (Exit::Environment, error.to_string()).say("verify"))?;
    let runtime = runtime()?;
    let mut exit = Exit::Fine;
    for (name, options) in &config.pipelines {
        let subject = verify::Subject { pipeline: name.clone(), tables: folders(name, options) };
        let report = runtime.block_on(verify::verify(&store, &subject));
        let report = report.map_err(|error| (Exit::Environment, error.to_string()).say(name))?;
        if !report.problems.is_empty() {
            exit = Exit::Failed;
        }
        if json {
            let line =
                serde_json::json!({ "pipeline": name, "verified": report.problems.is_empty(), "report": report });
            println!("{line}");
            continue;
        }
        let verdict = if report.problems.is_empty() { "verified" } else { "WRONG" };
        println!(
            "{name}: {verdict}: {} offsets of {} partitions in {} rows, {} files, {} bytes; {} dead letters",
            report.offsets, report.tasks, report.rows, report.files, report.bytes, report.dead_letters
        );
        let more =
            [(report.pending, "decided, and published by the next start"), (report.uncovered, "older than the log")];
        for (count, what) in more.into_iter().filter(|(count, _)| *count > 0) {
            println!("  {count} files {what}");
        }
        report.lost_by_kafka.iter().for_each(|lost| println!("  lost by Kafka: {lost}"));
        report.problems.iter().for_each(|problem| println!("  {problem}"));
    }
    Ok(exit)
}

/// The folders that a pipeline writes: its tables and its dead letters.
fn folders(name: &str, options: &PipelineOptions) -> Vec<String> {
    let tables = options.sinks().filter_map(|(_, sink)| sink.target.table().map(|to| to.table.clone()));
    tables.chain([format!("_dead/{name}")]).collect()
}
