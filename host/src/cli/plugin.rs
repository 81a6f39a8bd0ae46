//! `rillgate plugin`.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Subcommand;
use serde_json::Value;

use super::plan::HostArgs;
use super::{ConfigArgs, Exit, Say, engine, load, runtime};
use crate::commit::Store;
use crate::plugin::{compile_for_parent, inspect};
use crate::reload::{Event, History};

#[derive(Debug, Subcommand)]
pub(super) enum PluginCommand {
    /// Say what a plugin is: its kind, digest, size, exports and imports.
    Inspect {
        /// The component's file.
        file: PathBuf,
    },
    /// Compile the component on stdin, for the process that started this one.
    #[command(hide = true)]
    Compile,
    /// Say which versions of a pipeline's plugins there were, and what became of them. Needs the store and no host.
    History {
        /// The pipeline.
        pipeline: String,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Put a plugin in the place of one of a running pipeline's, and say what became of it.
    Push {
        /// The pipeline.
        pipeline: String,
        /// The component's file.
        file: PathBuf,
        /// Which of the pipeline's plugins, counted from 0; the aggregate comes last.
        #[arg(long, default_value_t = 0)]
        index: usize,
        #[command(flatten)]
        host: HostArgs,
    },
    /// Have the version go live that waits for it, or that did not pass.
    Promote {
        /// The pipeline.
        pipeline: String,
        #[command(flatten)]
        host: HostArgs,
    },
    /// Have the version be live again that was live before.
    Rollback {
        /// The pipeline.
        pipeline: String,
        /// That of the plugin whose digest begins so, in place of the one before.
        #[arg(long, value_name = "DIGEST")]
        to: Option<String>,
        #[command(flatten)]
        host: HostArgs,
    },
}

pub(super) fn plugin(command: &PluginCommand, json: bool) -> Exit {
    let done = match command {
        PluginCommand::Inspect { file } => inspected(file, json),
        PluginCommand::Compile => return compile(),
        PluginCommand::History { pipeline, config } => history(pipeline, config, json),
        PluginCommand::Push { pipeline, file, index, host } => {
            let unreadable = |error| (Exit::BadInput, format!("{}: {error}", file.display())).say("plugin");
            std::fs::read(file).map_err(unreadable).and_then(|content| {
                let answer = ask(host, &format!("pipelines/{pipeline}/plugins/{index}"), content, json)?;
                pushed(&answer, json)
            })
        }
        PluginCommand::Promote { pipeline, host } => {
            ask(host, &format!("pipelines/{pipeline}/promote"), Vec::new(), json).map(|answer| say(&answer, json))
        }
        PluginCommand::Rollback { pipeline, to, host } => {
            let to = to.as_ref().map(|to| format!("?to={to}")).unwrap_or_default();
            let path = format!("pipelines/{pipeline}/rollback{to}");
            ask(host, &path, Vec::new(), json).map(|answer| say(&answer, json))
        }
    };
    match done {
        Ok(()) => Exit::Fine,
        Err(exit) => exit,
    }
}

/// The other end is the plugin layer of the parent, which takes what is on stderr for the reason.
fn compile() -> Exit {
    let Err(reason) = compile_for_parent() else { return Exit::Fine };
    // Nobody is left to read it when it can't be written.
    let _ = writeln!(io::stderr(), "{reason}");
    Exit::BadInput
}

fn ask(host: &HostArgs, path: &str, body: Vec<u8>, json: bool) -> Result<Value, Exit> {
    host.load(json)?.ask(path, Some(body)).map_err(|error| error.say("plugin"))
}

fn inspected(file: &std::path::Path, json: bool) -> Result<(), Exit> {
    let engine = engine().map_err(|error| error.say("plugins"))?;
    let plugin = engine.load(file).map_err(|error| (Exit::BadInput, error.to_string()).say("plugin"))?;
    let inspection = inspect(&plugin);
    if json {
        let line = serde_json::to_string(&inspection);
        println!("{}", line.map_err(|error| (Exit::Failed, error.to_string()).say("plugin"))?);
        return Ok(());
    }
    println!("{}: {:?}", file.display(), inspection.kind);
    println!("  sha256    {}", inspection.digest);
    println!("  size      {} bytes, {} compiled", inspection.bytes, inspection.compiled_bytes);
    println!("  exports   {}", inspection.exports.join(", "));
    println!("  imports   {}", inspection.imports.join(", "));
    Ok(())
}

fn history(pipeline: &str, config: &ConfigArgs, json: bool) -> Result<(), Exit> {
    let config = load(config, json)?;
    let environment = |error: String| (Exit::Environment, error).say("plugin");
    let store = Store::open(&config.store.for_commit()).map_err(|error| environment(error.to_string()))?;
    let runtime = runtime()?;
    let events = History::new(&store, runtime.handle()).events(pipeline);
    for event in events.map_err(|error| environment(error.to_string()))? {
        match json {
            true => println!("{}", serde_json::to_string(&event).unwrap_or_default()),
            false => println!("{}", line(&event)),
        }
    }
    Ok(())
}

/// `2026-01-31T06:00:00.000Z went_back 0123456789ab: it takes 900 ns a row, and the version before it 90 ns`
fn line(event: &Event) -> String {
    let Event { time, plugins, outcome, reason, .. } = event;
    let outcome = serde_json::to_value(outcome).unwrap_or_default();
    let reason = reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    format!("{time} {:<11} {}{reason}", outcome.as_str().unwrap_or_default(), short(plugins))
}

/// Digests as people tell them apart.
fn short(digests: &[String]) -> String {
    digests.iter().map(|digest| digest.get(..12).unwrap_or(digest)).collect::<Vec<_>>().join(" ")
}

/// What became of a plugin that was pushed; an error if it did not go live, nor waits, in each pipeline that has it.
fn pushed(answer: &Value, json: bool) -> Result<(), Exit> {
    if json {
        println!("{answer}");
    }
    let pipelines = answer["pipelines"].as_object().cloned().unwrap_or_default();
    let mut done = Ok(());
    for (pipeline, outcome) in pipelines {
        match outcome["refused"].as_str() {
            Some(reason) => done = Err((Exit::Failed, reason.to_owned()).say(&pipeline)),
            None if !json => println!("{pipeline}: {}", outcome.as_str().unwrap_or_default()),
            None => {}
        }
    }
    done
}

fn say(answer: &Value, json: bool) {
    match json {
        true => println!("{answer}"),
        false => {
            let digests = answer["live"].as_array().cloned().unwrap_or_default();
            let digests: Vec<String> = digests.iter().filter_map(Value::as_str).map(str::to_owned).collect();
            println!("live: {}", short(&digests));
        }
    }
}
