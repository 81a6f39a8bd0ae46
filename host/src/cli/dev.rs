//! `rillgate dev`: a plugin is built whenever its source is saved, goes live, and shows what it does.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use clap::Args;
use notify::{RecursiveMode, Watcher};
use rillgate_feeds::{System, feed};
use serde_json::Value;

use super::plan::{Host, HostArgs};
use super::{Exit, Say, engine, load};
use crate::batch::MemoryMessages;
use crate::config::Config;
use crate::pipeline::Pipeline;
use crate::plugin::{BatchTime, sha256};
use crate::reload::sample::{self, sample};

/// Editors write several files, or one several times.
const SETTLING: Duration = Duration::from_millis(150);
/// Rows of a simulated system that a plugin is shown with where no host runs.
const ROWS: usize = 2_000;
/// Rows that are shown one by one.
const SHOWN: usize = 5;

#[derive(Debug, Args)]
pub(super) struct DevArgs {
    /// The pipeline that the plugin is for.
    pipeline: String,
    /// The folder of the plugin's source.
    #[arg(default_value = ".", value_name = "DIR")]
    source: PathBuf,
    /// Which of the pipeline's plugins it is, counted from 0; the aggregate comes last.
    #[arg(long, default_value_t = 0)]
    index: usize,
    /// How it is built, in that folder; `cargo build --release --target wasm32-wasip2` unless given.
    #[arg(long, value_name = "COMMAND", requires = "artifact")]
    build: Option<String>,
    /// The component that this makes. If it is in a folder of its own within the source, what else is in there is no source either.
    #[arg(long, value_name = "FILE")]
    artifact: Option<PathBuf>,
    /// Messages to show it with, one JSON object a line, where no host runs; those of the simulated system unless given.
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// End after the first time.
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    host: HostArgs,
}

pub(super) fn dev(args: &DevArgs, json: bool) -> Exit {
    let config = match load(&args.host.config, json) {
        Ok(config) => config,
        Err(exit) => return exit,
    };
    if !config.pipelines.contains_key(&args.pipeline) {
        let names: Vec<&str> = config.pipelines.keys().map(String::as_str).collect();
        let message = format!("there is no pipeline `{}`; there are {}", args.pipeline, names.join(", "));
        return (Exit::BadInput, message).say("dev");
    }
    let watched = watch(&args.source);
    let (_watcher, saved) = match watched {
        Ok(watched) => watched,
        Err(error) => return (Exit::Environment, format!("{}: {error}", args.source.display())).say("dev"),
    };
    loop {
        let source = Sources::of(args);
        let shown = build(args).and_then(|artifact| show(args, &config, &artifact, json));
        if let Err(reason) = &shown {
            eprintln!("{reason}");
        }
        if args.once {
            return if shown.is_ok() { Exit::Fine } else { Exit::Failed };
        }
        eprintln!("waiting for a change in {}", args.source.display());
        // What was saved while it was built is built now, and what the build itself has written is no reason to.
        while Sources::of(args) == source {
            if saved.recv().is_err() {
                return Exit::Fine;
            }
            while saved.recv_timeout(SETTLING).is_ok() {}
        }
    }
}

/// Source files and digests of their content.
#[derive(Debug, PartialEq)]
struct Sources(BTreeMap<PathBuf, String>);

impl Sources {
    /// As they are now.
    fn of(args: &DevArgs) -> Self {
        let mut sources = Self(BTreeMap::new());
        // While there is none it has made nothing.
        let artifact = args.artifact.as_ref().and_then(|artifact| artifact.canonicalize().ok());
        if let Ok(source) = args.source.canonicalize() {
            let made = artifact.as_deref().and_then(Path::parent).filter(|made| **made != *source);
            sources.add(&source, &source, made);
        }
        sources
    }

    fn add(&mut self, folder: &Path, source: &Path, made: Option<&Path>) {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let is_source = path.strip_prefix(source).is_ok_and(is_source);
            if !is_source || made == Some(&path) {
                continue;
            }
            // A link to a folder is not followed: it may lead back.
            match entry.file_type().is_ok_and(|of| of.is_dir()) {
                true => self.add(&path, source, made),
                // What is gone by now is seen to be.
                false => self.0.extend(std::fs::read(&path).ok().map(|content| (path, sha256(&content)))),
            }
        }
    }
}

/// Whether a path within the source is one that people write.
fn is_source(path: &Path) -> bool {
    let names = || path.components().map(|part| part.as_os_str().to_string_lossy());
    !names().any(|name| ["target", "node_modules", "__pycache__"].contains(&&*name) || name.starts_with('.'))
        && path.extension().is_none_or(|extension| extension != "wasm" && extension != "lock")
}

/// Told of each change of a source file.
fn watch(source: &Path) -> notify::Result<(impl Watcher, Receiver<()>)> {
    let (tell, told) = channel();
    let source = source.canonicalize().map_err(notify::Error::io)?;
    let base = source.clone();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let is_change = event.is_ok_and(|event| {
            let inside = |path: &PathBuf| path.strip_prefix(&base).is_ok_and(is_source);
            !event.kind.is_access() && event.paths.iter().any(inside)
        });
        if is_change {
            // Who waited has gone.
            let _ = tell.send(());
        }
    })?;
    watcher.watch(&source, RecursiveMode::Recursive)?;
    Ok((watcher, told))
}

/// Builds the plugin; returns the component's file, or says that it can't be built: the compiler has said why.
fn build(args: &DevArgs) -> Result<PathBuf, String> {
    let began = std::time::Instant::now();
    let (mut command, what) = match &args.build {
        Some(line) => {
            let mut command = Command::new("/bin/sh");
            command.args(["-c", line]);
            (command, line.as_str())
        }
        None => {
            let mut command = Command::new("cargo");
            command.args([
                "build",
                "--release",
                "--target",
                "wasm32-wasip2",
                "--message-format=json-render-diagnostics",
            ]);
            (command, "cargo build")
        }
    };
    let output = command.current_dir(&args.source).stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| format!("{what}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{what} failed; what was live stays"));
    }
    let built = match &args.artifact {
        Some(artifact) => Some(artifact.clone()),
        None => artifact(&output.stdout, &args.source),
    };
    let built = built.ok_or(
        "cargo made no component: does Cargo.toml say crate-type = [\"cdylib\"]? If there are several, say --artifact",
    )?;
    eprintln!("built in {:.1} s: {}", began.elapsed().as_secs_f64(), built.display());
    Ok(built)
}

/// The component that cargo says it made of the package in a folder.
fn artifact(messages: &[u8], source: &Path) -> Option<PathBuf> {
    let manifest = source.canonicalize().ok()?.join("Cargo.toml");
    let lines = messages.split(|byte| *byte == b'\n');
    let artifacts = lines.filter_map(|line| serde_json::from_slice::<Value>(line).ok());
    let ours =
        artifacts.filter(|message| message["manifest_path"].as_str().is_some_and(|path| Path::new(path) == manifest));
    let files: Vec<String> = ours
        .flat_map(|message| message["filenames"].as_array().cloned().unwrap_or_default())
        .filter_map(|file| file.as_str().filter(|file| file.ends_with(".wasm")).map(str::to_owned))
        .collect();
    match files.as_slice() {
        [one] => Some(PathBuf::from(one)),
        _ => None,
    }
}

/// Has the host take the plugin, or, where none runs, tries it here; prints what it does.
fn show(args: &DevArgs, config: &Config, artifact: &Path, json: bool) -> Result<(), String> {
    let content = std::fs::read(artifact).map_err(|error| format!("{}: {error}", artifact.display()))?;
    let name = &args.pipeline;
    let host: Host = args.host.of(config);
    let asked = match args.host.unheard() {
        None => host.ask(&format!("pipelines/{name}/plugins/{}", args.index), Some(content.clone())),
        // Where no host runs it is this process that does.
        Some(unheard) => host.ask(&format!("pipelines/{name}/versions"), None).and(Err((Exit::BadInput, unheard))),
    };
    let shown = match asked {
        Ok(answer) => {
            for (pipeline, outcome) in answer["pipelines"].as_object().into_iter().flatten() {
                match outcome["refused"].as_str() {
                    Some(reason) => eprintln!("{pipeline}: stays out: {reason}"),
                    None => eprintln!("{pipeline}: {}", outcome.as_str().unwrap_or_default()),
                }
            }
            host.ask(&format!("pipelines/{name}/sample"), None).map_err(|(_, reason)| reason)?
        }
        Err((Exit::Environment, _)) => {
            eprintln!("no host runs: these are the simulated system's messages, or those of --input");
            alone(args, config, &content, artifact)?
        }
        Err((_, reason)) => return Err(reason),
    };
    if json {
        println!("{shown}");
        return Ok(());
    }
    print(&shown);
    Ok(())
}

/// What the plugin does in the place of the pipeline's own, in this process.
fn alone(args: &DevArgs, config: &Config, content: &[u8], artifact: &Path) -> Result<Value, String> {
    let options = &config.pipelines[&args.pipeline];
    let engine = engine().map_err(|(_, error)| error)?;
    let mut index = 0;
    let mut load = |file: &str| {
        index += 1;
        match index - 1 == args.index {
            true => engine.load_bytes(artifact, content),
            false => engine.load(&config.base.join(file)),
        }
    };
    let pipeline = Pipeline::open_with(&args.pipeline, options, &mut load)
        .map_err(|problems| config.place(problems).render(false))?;
    let topic = options.topics.first().map_or("", String::as_str);
    let messages = match &args.input {
        Some(file) => {
            let text = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
            MemoryMessages::from_values(topic, text.lines())
        }
        None => simulated(&options.topics)?,
    };
    let decoded = pipeline.decoder().map_err(|error| error.to_string())?.decode(&messages).rows;
    if decoded.batch.num_rows() == 0 {
        return Err("no message could be decoded".to_owned());
    }
    // What the pipeline has now, if it can be opened.
    let before = Pipeline::open(&args.pipeline, options, &engine, &config.base).ok();
    let sampled = sample(&pipeline, before.as_ref(), &decoded, BatchTime::default(), SHOWN, sample::TIME_LIMIT)?;
    serde_json::to_value(sampled).map_err(|error| error.to_string())
}

/// Messages of the simulated system that has one of these topics.
fn simulated(topics: &[String]) -> Result<MemoryMessages, String> {
    let of = |system: &System| system.topics().iter().find(|topic| topics.iter().any(|ours| ours == *topic)).copied();
    let found = System::ALL.iter().find_map(|system| Some((*system, of(system)?)));
    let (system, topic) = found.ok_or("no simulated system has the pipeline's topic: give messages by --input")?;
    let records = feed(system, 42).filter(|record| record.topic == topic).take(ROWS);
    Ok(MemoryMessages::from_values(topic, records.map(|record| record.value)))
}

/// Each row, and what came of it: `>` by this version, `<` by the one before where that made something else.
fn print(shown: &Value) {
    let (now, before) = (&shown["now"], &shown["before"]);
    for (index, input) in shown["inputs"].as_array().into_iter().flatten().enumerate() {
        println!("  {input}");
        let (made, made_before) = (&now["rows"][index], &before["rows"][index]);
        if !before.is_null() && made_before != made {
            print_made(made_before, '<');
        }
        print_made(made, '>');
    }
    if !before.is_null() && before["groups"] != now["groups"] {
        before["groups"].as_array().into_iter().flatten().for_each(|group| println!("  < {group}"));
    }
    now["groups"].as_array().into_iter().flatten().for_each(|group| println!("  > {group}"));
    let (count, time) = (&shown["count"], now["ns_per_row"].as_f64().unwrap_or_default());
    let time_before = before["ns_per_row"].as_f64().map(|time| format!("; {time:.0} ns by the version before"));
    println!("{time:.0} ns a row, over {count} rows{}", time_before.unwrap_or_default());
}

fn print_made(made: &Value, sign: char) {
    let outputs = made["output"].as_object();
    for (output, rows) in outputs.into_iter().flatten() {
        rows.as_array().into_iter().flatten().for_each(|row| println!("    {sign} {output}: {row}"));
    }
    match made["dead"].as_str() {
        Some(reason) => println!("    {sign} dead letter: {reason}"),
        None if outputs.is_none_or(serde_json::Map::is_empty) => println!("    {sign} nothing"),
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Arguments {
        #[command(flatten)]
        dev: DevArgs,
    }

    #[test]
    fn what_a_build_writes_is_no_change_and_what_people_write_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let write = |name: &str, content: &str| {
            std::fs::create_dir_all(path(name).parent().unwrap()).unwrap();
            std::fs::write(path(name), content).unwrap();
        };
        let args = |artifact: &str| {
            let artifact = path(artifact);
            let [source, artifact] = [folder.path(), &artifact].map(|path| path.to_str().unwrap().to_owned());
            let given = ["dev", "p", &source, "--build", "make", "--artifact", &artifact];
            Arguments::parse_from(given).dev
        };
        write("plugin.py", "a");
        write("deep/b.py", "b");
        let dev = args("dist/x.wasm");
        let before = Sources::of(&dev);
        for made in ["dist/x.wasm", "dist/log.txt", "__pycache__/plugin.pyc", "deep/__pycache__/b.pyc", "x.wasm"] {
            write(made, "made");
        }
        // A formatter that finds nothing to do.
        write("plugin.py", "a");
        assert_eq!(Sources::of(&dev), before);
        for (name, content) in [("deep/b.py", "c"), ("new.py", "")] {
            let before = Sources::of(&dev);
            write(name, content);
            assert_ne!(Sources::of(&dev), before, "{name}");
        }
        // Beside the source itself nothing is left out but the component.
        assert!(Sources::of(&args("x.wasm")).0.contains_key(&path("plugin.py").canonicalize().unwrap()));
    }
}
