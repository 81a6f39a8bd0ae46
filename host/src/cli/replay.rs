//! `rillgate replay`: a call that a plugin failed in, or the dead letters of a pipeline, done again.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use object_store::ObjectStoreExt;
use serde_json::{Value, json};

use super::{ConfigArgs, Exit, Say, engine, load, open, runtime};
use crate::batch::RecordBatch;
use crate::commit::Store;
use crate::config::Config;
use crate::encode::json_lines;
use crate::plugin::{Call, Kind};
use crate::registry::Registry;
use crate::replay::{self, Again, Answer, Redriven, Verdict, call_again, redrive, sent_back};
use crate::sink::RawProducer;
use crate::task::Failure;

/// Letters that are sent back before it is noted.
const NOTED_AT_ONCE: usize = 1000;
/// Reasons that are listed for people.
const LISTED: usize = 20;

#[derive(Debug, Args)]
pub(super) struct ReplayArgs {
    /// A call that a plugin failed in, as a host keeps them: a file, or its path in the store
    /// (`_rillgate/PIPELINE/failures/...json`).
    #[arg(required_unless_present = "dead_letters", conflicts_with = "dead_letters")]
    file: Option<PathBuf>,
    /// The dead letters of this pipeline: say of each whether it would be processed now. Nothing is written.
    #[arg(long, value_name = "PIPELINE")]
    dead_letters: Option<String>,
    /// This plugin in the place of the pipeline's own.
    #[arg(long, value_name = "FILE")]
    plugin: Option<PathBuf>,
    /// Which of the pipeline's transforms it takes the place of, from 0 on, where there are several.
    #[arg(long, requires = "plugin", requires = "dead_letters")]
    step: Option<usize>,
    /// Send the records that would be processed now back to their topics.
    #[arg(long, requires = "dead_letters")]
    redrive: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

pub(super) fn replay(args: &ReplayArgs, json: bool) -> Exit {
    let done = match (&args.file, &args.dead_letters) {
        (Some(file), _) => one_call(args, file, json),
        (None, pipeline) => dead_letters(args, pipeline.as_deref().unwrap_or_default(), json),
    };
    match done {
        Ok(exit) | Err(exit) => exit,
    }
}

fn bad(reason: impl ToString) -> Exit {
    (Exit::BadInput, reason.to_string()).say("replay")
}

fn environment(reason: impl ToString) -> Exit {
    (Exit::Environment, reason.to_string()).say("replay")
}

fn store(config: &Config) -> Result<Store, Exit> {
    Store::open(&config.store.for_commit()).map_err(environment)
}

/// Makes one call again. Exit codes: 0 it passes, 1 it fails.
fn one_call(args: &ReplayArgs, file: &Path, json: bool) -> Result<Exit, Exit> {
    let mut config = None;
    let content = match std::fs::read(file) {
        Ok(content) => content,
        Err(error) => {
            // Not on this machine, so in the store.
            let known = &*config.insert(load(&args.config, json)?);
            let store = store(known)?;
            let path = store.control.path(&file.display().to_string()).map_err(bad)?;
            let get = async { store.control.store.get(&path).await?.bytes().await };
            let found = runtime()?.block_on(get);
            found
                .map_err(|in_store| bad(format!("{}: {error}; and in the store: {in_store}", file.display())))?
                .to_vec()
        }
    };
    let failure: Failure = serde_json::from_slice(&content)
        .map_err(|error| bad(format!("{} is no call that a plugin failed in: {error}", file.display())))?;
    let failed = &failure.call;
    let needs_config = !failed.settings.is_empty() || args.plugin.is_none() && !failed.plugin.is_file();
    if config.is_none() && needs_config {
        config = Some(load(&args.config, json)?);
    }
    let Configured { plugin, settings, is_as_it_was } = configured(config.as_ref(), &failure)?;
    let path = args.plugin.as_ref().or(plugin.as_ref()).unwrap_or(&failed.plugin);
    let engine = engine().map_err(|exit| exit.say("plugins"))?;
    let plugin = engine.load(path).map_err(bad)?;
    let is_same = plugin.digest == failed.digest;
    let again = call_again(failed, &plugin, &settings).map_err(bad)?;
    let as_before = again.as_ref().err() == Some(&failed.reason);
    if json {
        let given = failed.call.batches().into_iter().map(|(name, batch)| (name.to_owned(), rows(batch)));
        let mut line = json!({
            "pipeline": failure.pipeline, "topic": failure.topic, "partition": failure.partition,
            "first_offset": failure.first_offset, "last_offset": failure.last_offset, "function": failed.call.function(),
            "failed_with": failed.reason, "given": given.collect::<serde_json::Map<_, _>>(),
            "plugin": plugin.digest, "same_plugin": is_same, "same_configuration": is_as_it_was, "passes": again.is_ok(),
        });
        match &again {
            Ok(Answer { tables, rejected }) => {
                let tables = tables.iter().map(|(name, batch)| (name.clone(), rows(batch)));
                line["tables"] = Value::Object(tables.collect());
                line["rejected"] = rejected.iter().map(|row| json!({ "row": row.row, "reason": row.reason })).collect();
            }
            Err(reason) => {
                line["reason"] = json!(reason);
                line["as_before"] = json!(as_before);
            }
        }
        println!("{line}");
    } else {
        let Failure { pipeline, topic, partition, first_offset, last_offset, .. } = &failure;
        println!(
            "{pipeline}: `{}` failed in offsets {first_offset} to {last_offset} of {topic}/{partition}",
            failed.call.function()
        );
        println!("  with {} (sha256 {}): {}", failed.plugin.display(), failed.digest, failed.reason);
        for (name, batch) in failed.call.batches() {
            print_rows(&format!("given, {name}"), batch);
        }
        let which = if is_same { "the same plugin" } else { "another plugin" };
        println!("again with {} (sha256 {}), {which}:", path.display(), plugin.digest);
        if !is_as_it_was {
            println!("  the pipeline's configuration is another than it was: settings may be others");
        }
        match &again {
            Ok(Answer { tables, rejected }) => {
                tables.iter().for_each(|(name, batch)| print_rows(name, batch));
                rejected.iter().for_each(|row| println!("  rejected, row {}: {}", row.row, row.reason));
                println!("it passes");
            }
            Err(_) if as_before => println!("it fails as it did: {}", failed.reason),
            Err(reason) => println!("it fails, otherwise than it did: {reason}"),
        }
    }
    Ok(if again.is_ok() { Exit::Fine } else { Exit::Failed })
}

/// What the configuration says of the plugin of a call.
struct Configured {
    plugin: Option<PathBuf>,
    settings: Vec<(String, String)>,
    /// Whether the pipeline is configured as it was.
    is_as_it_was: bool,
}

fn configured(config: Option<&Config>, failure: &Failure) -> Result<Configured, Exit> {
    let failed = &failure.call;
    let Some(config) = config else {
        return Ok(Configured { plugin: None, settings: Vec::new(), is_as_it_was: true });
    };
    let Some(options) = config.pipelines.get(&failure.pipeline) else {
        return Err(bad(format!("the configuration has no pipeline `{}`, where the settings are", failure.pipeline)));
    };
    let place = |plugin: &str| config.base.join(plugin);
    let found = match (&failed.call, options.transform.as_slice()) {
        (Call::Apply { .. }, [only]) => Some((&only.plugin, &only.settings)),
        (Call::Apply { .. }, several) => {
            let same = several.iter().find(|step| place(&step.plugin) == failed.plugin);
            same.map(|step| (&step.plugin, &step.settings))
        }
        _ => options.aggregate.as_ref().map(|step| (&step.plugin, &step.settings)),
    };
    let Some((plugin, settings)) = found else {
        let wanted = failed.plugin.display();
        return Err(bad(format!("pipeline `{}` has no plugin in the place of {wanted} any more", failure.pipeline)));
    };
    Ok(Configured {
        plugin: Some(place(plugin)),
        settings: settings.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
        is_as_it_was: options.digest() == failure.config,
    })
}

/// Rows as JSON values.
fn rows(batch: &RecordBatch) -> Value {
    let lines = json_lines(batch).unwrap_or_default();
    let lines = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice::<Value>(line).unwrap_or_default()).collect()
}

fn print_rows(name: &str, batch: &RecordBatch) {
    println!("  {name}: {} rows", batch.num_rows());
    // JSON has no control characters.
    let lines = String::from_utf8(json_lines(batch).unwrap_or_default()).unwrap_or_default();
    lines.lines().for_each(|line| println!("    {line}"));
}

/// What has become of the letters of one reason.
#[derive(Debug, Default)]
struct Count {
    pass: u64,
    fail: u64,
    /// Why one of them still fails.
    now: Option<String>,
}

/// Puts dead letters to the test. Exit codes: 0 all pass, 1 some fail.
fn dead_letters(args: &ReplayArgs, name: &str, json: bool) -> Result<Exit, Exit> {
    let mut config = load(&args.config, json)?;
    if !config.pipelines.contains_key(name) {
        let names: Vec<&str> = config.pipelines.keys().map(String::as_str).collect();
        return Err(bad(format!("there is no pipeline `{name}`; there are {}", names.join(", "))));
    }
    config.pipelines.retain(|other, _| other == name);
    if let Some(plugin) = &args.plugin {
        replace(&mut config, name, plugin, args.step)?;
    }
    let store = store(&config)?;
    let (_, pipelines) = open(&config, json)?;
    let Some(pipeline) = pipelines.first() else { return Err(bad("nothing was opened")) };
    let runtime = runtime()?;
    let reads_avro = pipeline.options().decode.avro().is_some();
    let registry = config.schema_registry.as_ref().filter(|_| reads_avro);
    let registry = registry.map(Registry::new).transpose().map_err(environment)?.map(Arc::new);
    let mut again = Again::new(pipeline, registry, runtime.handle().clone()).map_err(bad)?;

    let mut redriven = runtime.block_on(Redriven::load(&store, name)).map_err(environment)?;
    let producer = args.redrive.then(|| RawProducer::new(&pipeline.options().kafka)).transpose().map_err(bad)?;
    let files = runtime.block_on(replay::files(&store, name)).map_err(environment)?;
    let read = |file| runtime.block_on(replay::read(&store, file)).map_err(environment);
    if producer.is_some() {
        // Those that were sent back and became dead letters again say which they were.
        for file in &files {
            read(file)?.iter().filter_map(sent_back).for_each(|origin| redriven.add(origin));
        }
    }
    let is_seen = std::io::stderr().is_terminal();
    let bar = if is_seen { ProgressBar::new(files.len() as u64) } else { ProgressBar::hidden() };
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos} of {len} files of dead letters, {elapsed}") {
        bar.set_style(style);
    }
    let (mut counts, mut sent, mut before, mut foreign) = (BTreeMap::<(String, String), Count>::new(), 0, 0, 0);
    for file in &files {
        let mut passing = Vec::new();
        for letter in read(file)? {
            if redriven.contains(&letter) {
                before += 1;
                continue;
            }
            let count = counts.entry((letter.stage.clone(), letter.reason.clone()));
            match again.test(&letter).map_err(|error| (Exit::Failed, error).say("replay"))? {
                Verdict::NoRecord => foreign += 1,
                Verdict::Passes => {
                    count.or_default().pass += 1;
                    passing.push(letter);
                }
                Verdict::Fails { stage, reason } => {
                    let count = count.or_default();
                    count.fail += 1;
                    count.now.get_or_insert_with(|| format!("{stage}: {reason}"));
                }
            }
        }
        for chunk in passing.chunks(NOTED_AT_ONCE) {
            let Some(producer) = &producer else { break };
            let done = runtime.block_on(redrive(&store, name, producer, chunk, &mut redriven));
            done.map_err(environment)?;
            sent += chunk.len();
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let sums = [counts.values().map(|count| count.pass).sum::<u64>(), counts.values().map(|count| count.fail).sum()];
    let [pass, fail] = sums;
    let mut sorted: Vec<_> = counts.into_iter().collect();
    sorted.sort_by_key(|(_, count)| std::cmp::Reverse(count.pass + count.fail));
    if json {
        let reason = |((stage, reason), Count { pass, fail, now }): ((String, String), Count)| json!({ "stage": stage, "reason": reason, "pass": pass, "fail": fail, "now": now });
        let reasons: Vec<Value> = sorted.into_iter().map(reason).collect();
        println!(
            "{}",
            json!({ "pipeline": name, "pass": pass, "fail": fail, "redriven": sent, "redriven_before": before,
                    "no_records": foreign, "reasons": reasons })
        );
    } else {
        println!("{name}: of {} dead letters {pass} pass now, {fail} still fail", pass + fail);
        let more = sorted.len().saturating_sub(LISTED);
        for ((stage, reason), Count { pass, fail, now }) in sorted.into_iter().take(LISTED) {
            println!("  {pass} pass, {fail} fail: {stage}: {}", plain(&reason));
            now.filter(|now| *now != format!("{stage}: {reason}"))
                .iter()
                .for_each(|now| println!("    now {}", plain(now)));
        }
        let others = [
            (more as u64, "more reasons: --json has all"),
            (foreign, "are rows that were made of records, and no records"),
            (before, "were sent back before"),
            (sent as u64, "were sent back to their topics"),
        ];
        others.iter().filter(|(count, _)| *count > 0).for_each(|(count, what)| println!("  {count} {what}"));
    }
    Ok(if fail == 0 { Exit::Fine } else { Exit::Failed })
}

/// Control characters of records don't reach the terminal.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Puts a plugin in the place of the pipeline's own of its kind.
fn replace(config: &mut Config, name: &str, plugin: &Path, step: Option<usize>) -> Result<(), Exit> {
    let engine = engine().map_err(|exit| exit.say("plugins"))?;
    let kind = engine.load(plugin).map_err(bad)?.kind;
    let path = std::path::absolute(plugin).map_err(bad)?.display().to_string();
    let Some(options) = config.pipelines.get_mut(name) else { return Err(bad("no such pipeline")) };
    let count = options.transform.len();
    let place = match (kind, step) {
        (Kind::Aggregate, None) => options.aggregate.as_mut().map(|aggregate| &mut aggregate.plugin),
        (Kind::Aggregate, Some(_)) => return Err(bad("--step is for transforms, and this plugin is an aggregate")),
        (Kind::Transform, None) if count > 1 => {
            return Err(bad(format!("`{name}` has {count} transforms: say which with --step 0 to {}", count - 1)));
        }
        (Kind::Transform, step) => options.transform.get_mut(step.unwrap_or(0)).map(|step| &mut step.plugin),
    };
    let Some(place) = place else {
        return Err(bad(format!("`{name}` has no plugin in the place of {kind} like this")));
    };
    *place = path;
    Ok(())
}
