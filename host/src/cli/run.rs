//! `rillgate run`.

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::{ConfigArgs, Exit, Say, load, prepare, report, runtime};
use crate::commit::Store;
use crate::http;
use crate::reload::watch::Watcher;
use crate::reload::{self, History, Reload, Source};
use crate::supervisor::{PipelineStatus, RunOptions, StartError, State, Supervisor};

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// End when everything that was in the topics at the start has been committed.
    #[arg(long)]
    until_caught_up: bool,
    /// Worker threads; as many as there are cores unless given.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    workers: Option<u16>,
}

pub(super) fn run(args: &RunArgs, json: bool) -> Exit {
    match start(args, json) {
        Ok(exit) | Err(exit) => exit,
    }
}

fn start(args: &RunArgs, json: bool) -> Result<Exit, Exit> {
    // Before it is read: what is written meanwhile is seen.
    let watcher = Watcher::new([args.config.config.clone()]);
    let config = load(&args.config, json)?;
    let (engine, all) = prepare(&config, json)?;
    let metrics = http::record_metrics().map_err(|reason| (Exit::Environment, reason).say("metrics"))?;
    let runtime = runtime()?;
    let options = RunOptions { until_caught_up: args.until_caught_up, workers: args.workers.map(usize::from) };
    let store = Store::open(&config.store.for_commit());
    let store = store.map_err(|error| (Exit::BadInput, error.to_string()).say("rillgate"))?;
    let history = History::new(&store, runtime.handle());
    let pipelines = reload::at_start(&all, &config.base, &engine, &history);
    let pipelines = pipelines.map_err(|problems| report(&config.place(problems), json))?;
    let supervisor = Supervisor::start(&config, &pipelines, &options, runtime.handle());
    let supervisor = Arc::new(supervisor.map_err(|error| (exit_of(&error), error.to_string()).say("rillgate"))?);
    runtime.spawn(stop_on_signal(Arc::clone(&supervisor)));
    let mut reloading = None;
    if !args.until_caught_up {
        let http = config.http.clone();
        let source = Source {
            path: args.config.config.clone(),
            overrides: args.config.overrides.clone(),
            is_asked_for: super::is_asked_for,
            only: args.config.only.clone(),
        };
        let reload = Reload::start(watcher, source, config, pipelines, engine, Arc::clone(&supervisor));
        let reload = Arc::new(reload.map_err(|error| (Exit::Environment, error.to_string()).say("reload"))?);
        runtime.spawn(reload_on_signal(Arc::clone(&reload)));
        let served = http::serve(&http, Arc::clone(&supervisor), Arc::clone(&reload), metrics);
        match runtime.block_on(served) {
            Ok(address) => tracing::info!("http://{address}/ shows the pipelines"),
            Err(error) => tracing::warn!(%error, listen = %http.listen, "no page, no metrics; the pipelines run"),
        }
        reloading = Some(reload);
    }
    let mut progress = Progress::new(json);
    let ended = supervisor.wait(|status| progress.tick(status));
    if let Some(reload) = reloading {
        reload.end();
    }
    progress.end();
    Ok(summary(&ended, json))
}

fn exit_of(error: &StartError) -> Exit {
    if error.is_lasting() { Exit::BadInput } else { Exit::Environment }
}

/// The first signal stops and commits; the second ends at once, which loses nothing either.
async fn stop_on_signal(supervisor: Arc<Supervisor>) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!("signals can't be caught: end it with SIGKILL, nothing is lost");
        return;
    };
    for turn in 0.. {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        if turn > 0 {
            tracing::warn!("ending at once; what isn't decided is done again");
            std::process::exit(Exit::Failed as i32);
        }
        tracing::info!("stopping: committing what is there");
        supervisor.stop();
    }
}

/// SIGHUP has all files looked at.
async fn reload_on_signal(reload: Arc<Reload>) {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut hangup) = signal(SignalKind::hangup()) else { return };
    while hangup.recv().await.is_some() {
        // What is wrong has been logged.
        let _ = reload.ask(reload::Command::Reload).await;
    }
}

/// What is said while it runs: a line that is drawn anew at a terminal, a line a second for machines.
struct Progress {
    bar: Option<ProgressBar>,
    json: bool,
    said: Instant,
}

impl Progress {
    fn new(json: bool) -> Self {
        let draw = !json && std::io::stderr().is_terminal();
        let bar = draw.then(|| {
            let style = ProgressStyle::with_template("{spinner} {elapsed_precise} {msg}");
            ProgressBar::new_spinner().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
        });
        Self { bar, json, said: Instant::now() }
    }

    fn tick(&mut self, status: &[PipelineStatus]) {
        if self.said.elapsed() < Duration::from_secs(1) {
            return;
        }
        self.said = Instant::now();
        if self.json {
            for pipeline in status {
                print_json(pipeline);
            }
        }
        if let Some(bar) = &self.bar {
            let tasks = || status.iter().flat_map(|pipeline| &pipeline.tasks);
            let waiting: i64 = tasks().map(|task| (task.position - task.committed).max(0)).sum();
            bar.set_message(format!(
                "{} pipelines, {} partitions, {waiting} records taken and not yet committed",
                status.len(),
                tasks().count()
            ));
            bar.tick();
        }
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn summary(ended: &[PipelineStatus], json: bool) -> Exit {
    let mut exit = Exit::Fine;
    for pipeline in ended {
        if json {
            print_json(pipeline);
        } else if let State::Failed(reason) = &pipeline.state {
            eprintln!("pipeline {} failed: {reason}", pipeline.pipeline);
        }
        if matches!(pipeline.state, State::Failed(_)) {
            exit = Exit::Failed;
        }
    }
    exit
}

fn print_json(status: &PipelineStatus) {
    match serde_json::to_string(status) {
        Ok(line) => println!("{line}"),
        Err(error) => tracing::error!(%error, "status"),
    }
}
