//! `rillgate demo`: a broker of its own, the simulated systems, and a host that may be killed.
//!
//! The host is a process of its own (`rillgate run`), so that killing it is a fair test: the demo starts it again, and at the
//! end proves that every record sent is in the tables once.

mod sights;

use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use indexmap::IndexMap;
use rillgate_feeds::System;

use super::{ConfigArgs, Exit, Say, duration, load, runtime, show, simulate, verify};
use crate::config::{Config, Exchange, PipelineOptions};
use crate::encode::TopicOptions;
use crate::exchange;
use crate::feed::{self, FeedOptions, FeedReport};
use crate::kafka::EmbeddedBroker;
use crate::registry::{EmbeddedRegistry, RegistryOptions};

/// Partitions of each topic.
const PARTITIONS: i32 = 2;
/// How often the demo says how far it is.
const REPORT: Duration = Duration::from_secs(5);
/// How often it looks at its processes.
const TICK: Duration = Duration::from_millis(100);
/// Written into the lake, so that only a lake of the demo's own is ever emptied.
const MARK: &str = "_rillgate/demo";

#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Stop by itself after this time.
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    time: Option<Duration>,
    /// Where the files go. Emptied at the start if an earlier demo made it.
    #[arg(long, default_value = "lake", value_name = "FOLDER")]
    lake: PathBuf,
}

pub(super) fn demo(args: &DemoArgs) -> Exit {
    match play(args) {
        Ok(exit) | Err(exit) => exit,
    }
}

fn play(args: &DemoArgs) -> Result<Exit, Exit> {
    let config = load(&args.config, false)?;
    let systems: Vec<System> = System::ALL
        .into_iter()
        .filter(|system| config.pipelines.keys().any(|name| name.starts_with(&prefix(*system))))
        .collect();
    empty_lake(&args.lake).map_err(|reason| (Exit::BadInput, reason).say("demo"))?;
    // A broker for each system: some of them have topics of the same name.
    let brokers: Vec<(System, EmbeddedBroker)> = systems
        .iter()
        .map(|system| Ok((*system, start_broker(&config, *system)?)))
        .collect::<Result<_, String>>()
        .map_err(|reason| (Exit::Environment, reason).say("demo"))?;
    let stop = Arc::new(AtomicBool::new(false));
    let runtime = runtime()?;
    runtime.spawn(stop_on_signal(Arc::clone(&stop)));
    let environment = |reason| (Exit::Environment, reason).say("demo");
    let registry = match config.schema_registry {
        Some(_) => Some(EmbeddedRegistry::start(runtime.handle()).map_err(environment)?),
        None => None,
    };
    let registry =
        registry.map(|registry| RegistryOptions { url: registry.url().to_owned(), ..RegistryOptions::default() });
    // Pipelines may take their columns from there as soon as the host starts.
    for (system, _) in &brokers {
        let registered = feed::register_schemas(&feed_options(*system, registry.as_ref()));
        registered.map_err(|error| (simulate::exit_of(&error), error.to_string()).say(system.name()))?;
    }

    let host = Host { args, overrides: overrides(&config, &brokers, registry.as_ref()) };
    let sent = AtomicU64::new(0);
    let (reports, watched) = std::thread::scope(|scope| {
        let feeds: Vec<_> = brokers
            .iter()
            .map(|(system, broker)| {
                let (options, servers) = (feed_options(*system, registry.as_ref()), broker.servers().to_owned());
                let (stop, sent) = (&*stop, &sent);
                scope.spawn(move || send(&options, &servers, stop, sent))
            })
            .collect();
        let watched = watch(&host, &brokers, &stop, &sent);
        stop.store(true, Ordering::Relaxed);
        let reports = feeds.into_iter().map(|feed| feed.join().unwrap_or_else(|_| Err(Exit::Failed)));
        (reports.collect::<Result<Vec<FeedReport>, Exit>>(), watched)
    });
    watched?;
    finish(&host, &reports?)
}

/// Records a second: a trickle, since the embedded broker keeps no more than 5 MB of a partition; more where records are many in
/// what they tell of, so that a minute shows something.
fn rate(system: System) -> f64 {
    match system {
        System::Railway | System::SmartCity | System::SmartTravel => 100.0,
        System::Cta => 200.0,
        // 50 s of a hundred turnstiles: windows of five minutes, five minutes late, are there after twelve seconds.
        System::Mta => 500.0,
    }
}

/// What the names of a system's pipelines begin with.
fn prefix(system: System) -> String {
    system.name().replace('-', "_")
}

/// A broker with the topics of a system, and those that its pipelines send to.
fn start_broker(config: &Config, system: System) -> Result<EmbeddedBroker, String> {
    let broker = EmbeddedBroker::start(system.topics(), PARTITIONS)?;
    let mut made: Vec<&str> = system.topics().to_vec();
    for (_, topic) in sent_to(config, system) {
        if !made.contains(&topic.topic.as_str()) {
            broker.create_topic(&topic.topic, topic.partitions.unwrap_or(PARTITIONS))?;
            made.push(&topic.topic);
        }
    }
    for name in exchanging(config, system) {
        broker.create_topic(&exchange::topic(name), PARTITIONS)?;
    }
    Ok(broker)
}

/// The topics that a system's pipelines send to, with the pipeline.
fn sent_to(config: &Config, system: System) -> impl Iterator<Item = (&String, &TopicOptions)> {
    let pipelines = config.pipelines.iter().filter(move |(name, _)| name.starts_with(&prefix(system)));
    pipelines.flat_map(|(name, options)| {
        let targets = options.sinks().filter_map(|(_, sink)| sink.target.topic());
        targets.map(move |topic| (name, topic))
    })
}

/// A system's pipelines whose rows go through an exchange.
fn exchanging(config: &Config, system: System) -> impl Iterator<Item = &String> {
    let pipelines = config.pipelines.iter().filter(move |(name, _)| name.starts_with(&prefix(system)));
    let has_exchange = |options: &PipelineOptions| {
        options.aggregate.as_ref().is_some_and(|aggregate| aggregate.exchange != Some(Exchange::None))
    };
    pipelines.filter(move |(_, options)| has_exchange(options)).map(|(name, _)| name)
}

/// An earlier demo's files are of records that its broker took with it: a lake that is the demo's own begins empty.
fn empty_lake(lake: &Path) -> Result<(), String> {
    let said = |error: std::io::Error| format!("{}: {error}", show(lake));
    let used = lake.exists() && std::fs::read_dir(lake).map_err(said)?.next().is_some();
    if used && !lake.join(MARK).exists() {
        return Err(format!("{} holds files of something else; choose another folder with --lake", show(lake)));
    }
    if used {
        println!("emptying {}: an earlier demo made it, and its broker is gone", show(lake));
        std::fs::remove_dir_all(lake).map_err(said)?;
    }
    let mark = lake.join(MARK);
    std::fs::create_dir_all(mark.parent().unwrap_or(lake)).map_err(said)?;
    std::fs::write(mark, "A demo made this folder, and the next demo empties it.\n").map_err(said)
}

/// Where each pipeline finds the broker of its system, and all of them the registry. A member that was killed is forgotten soon, so that the next one
/// doesn't wait for it.
fn overrides(config: &Config, brokers: &[(System, EmbeddedBroker)], registry: Option<&RegistryOptions>) -> Vec<String> {
    let mut overrides: Vec<String> =
        registry.map(|registry| format!("schema_registry.url={:?}", registry.url)).into_iter().collect();
    for (system, broker) in brokers {
        for name in config.pipelines.keys().filter(|name| name.starts_with(&prefix(*system))) {
            let properties = [
                ("bootstrap.servers", broker.servers()),
                ("session.timeout.ms", "6000"),
                ("heartbeat.interval.ms", "500"),
            ];
            let set = |(property, value)| format!("pipeline.{name}.kafka.\"{property}\"={value:?}");
            overrides.extend(properties.map(set));
        }
        // The embedded broker forgets the offsets of transactions, and so which epoch was sent last.
        let senders = sent_to(config, *system).map(|(name, _)| name).chain(exchanging(config, *system));
        overrides.extend(senders.map(|name| format!("pipeline.{name}.delivery=\"at-least-once\"")));
    }
    overrides
}

async fn stop_on_signal(stop: Arc<AtomicBool>) {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    stop.store(true, Ordering::Relaxed);
}

fn feed_options(system: System, registry: Option<&RegistryOptions>) -> FeedOptions {
    let mut options = FeedOptions::new(system, 42);
    options.rate = Some(rate(system));
    options.partitions = PARTITIONS;
    options.registry = registry.cloned();
    options
}

fn send(options: &FeedOptions, servers: &str, stop: &AtomicBool, sent: &AtomicU64) -> Result<FeedReport, Exit> {
    let kafka: IndexMap<String, String> = [("bootstrap.servers".to_owned(), servers.to_owned())].into();
    let system = options.system;
    let mut before = 0;
    let report = feed::run(&kafka, options, stop, &mut |now| {
        sent.fetch_add(now - before, Ordering::Relaxed);
        before = now;
    });
    report.map_err(|error| (simulate::exit_of(&error), error.to_string()).say(system.name()))
}

/// The host's process, and how it is started.
struct Host<'a> {
    args: &'a DemoArgs,
    overrides: Vec<String>,
}

impl Host<'_> {
    fn command(&self) -> Result<Command, Exit> {
        let program = std::env::current_exe();
        let program = program.map_err(|error| (Exit::Environment, error.to_string()).say("demo"))?;
        let mut command = Command::new(program);
        command.arg("run").arg("--config").arg(&self.args.config.config);
        for value in self.overrides.iter().chain(&self.args.config.overrides) {
            command.arg("--set").arg(value);
        }
        for name in &self.args.config.only {
            command.arg("--only").arg(name);
        }
        command.env("RILLGATE_STORE", format!("file:{}", self.args.lake.display()));
        command.env("RILLGATE_EVERY", "5s");
        if std::env::var_os("RILLGATE_LOG").is_none() {
            command.env("RILLGATE_LOG", "warn,rillgate::reload=info");
        }
        // Ctrl-C at the terminal is for the demo, which then ends the host in order.
        command.process_group(0);
        Ok(command)
    }

    fn start(&self) -> Result<Child, Exit> {
        self.command()?.spawn().map_err(|error| (Exit::Environment, error.to_string()).say("demo"))
    }
}

/// Keeps a host running until it is time to stop; then stops it.
fn watch(
    host: &Host<'_>,
    brokers: &[(System, EmbeddedBroker)],
    stop: &AtomicBool,
    sent: &AtomicU64,
) -> Result<(), Exit> {
    let mut child = host.start()?;
    greet(host, brokers, &child);
    let (began, mut reported) = (Instant::now(), Instant::now());
    while !stop.load(Ordering::Relaxed) && host.args.time.is_none_or(|time| began.elapsed() < time) {
        std::thread::sleep(TICK);
        if let Ok(Some(status)) = child.try_wait() {
            if status.signal().is_none() {
                eprintln!("the host ended by itself: {status}");
                return Err(Exit::Failed);
            }
            child = host.start()?;
            println!("the host was killed ({status}); started again as pid {}", child.id());
        }
        if reported.elapsed() >= REPORT {
            reported = Instant::now();
            let (files, bytes) = lake_size(&host.args.lake);
            println!("{:>8} records sent, {files:>5} files of {bytes} bytes", sent.load(Ordering::Relaxed));
        }
    }
    terminate(&mut child);
    Ok(())
}

fn greet(host: &Host<'_>, brokers: &[(System, EmbeddedBroker)], child: &Child) {
    let lake = show(&host.args.lake);
    println!("The host runs as pid {}: kill -9 it if you like, the demo starts it again.", child.id());
    println!("Files grow under {lake}/, one folder a table. Look at them with DuckDB:");
    let sights = || brokers.iter().map(|(system, broker)| (sights::of(*system), broker.servers()));
    for (sights, _) in sights() {
        println!("  {}", sights.query.replace("LAKE", &lake));
    }
    for (sights, servers) in sights() {
        for topic in sights.topics {
            println!("Results are in the topic {topic}, too:\n  kcat -C -e -b {servers} -t {topic}");
        }
    }
    if brokers.iter().any(|(system, _)| *system == System::Railway) {
        println!(
            "Change a plugin while it runs: edit plugins/railway/src/stations.rs, then `make plugins` in another terminal. Or edit {}.",
            show(&host.args.config.config)
        );
    }
    match host.args.time {
        Some(time) => println!("It ends by itself after {}.", humantime::format_duration(time)),
        None => println!("Ctrl-C ends it: everything sent is committed first, and counted."),
    }
}

/// Data files outside the control folder, and their bytes.
fn lake_size(folder: &Path) -> (u64, u64) {
    let Ok(entries) = std::fs::read_dir(folder) else { return (0, 0) };
    entries.flatten().fold((0, 0), |(files, bytes), entry| {
        let path = entry.path();
        let (more_files, more_bytes) = if path.ends_with("_rillgate") {
            (0, 0)
        } else if path.is_dir() {
            lake_size(&path)
        } else {
            (1, entry.metadata().map_or(0, |data| data.len()))
        };
        (files + more_files, bytes + more_bytes)
    })
}

fn terminate(child: &mut Child) {
    let pid = child.id().to_string();
    // The shell's own kill: the standard library can only SIGKILL.
    let asked = Command::new("kill").args(["-TERM", &pid]).status().is_ok_and(|status| status.success());
    if !asked {
        let _ = child.kill();
    }
    let _ = child.wait();
}

/// Commits what is left, and proves that what was sent is there.
fn finish(host: &Host<'_>, reports: &[FeedReport]) -> Result<Exit, Exit> {
    println!("committing what is left ...");
    let rest = host.command()?.arg("--until-caught-up").status();
    if !rest.is_ok_and(|status| status.success()) {
        eprintln!("what is left could not be committed");
        return Err(Exit::Failed);
    }
    let mut again = host.args.config.clone();
    again.overrides.push(format!("store.url={:?}", format!("file:{}", host.args.lake.display())));
    let config = load(&again, false)?;
    let exit = verify::verify_all(&config, false, false)?;
    let sent: u64 = reports.iter().map(FeedReport::total).sum();
    println!("{sent} records were sent; `verified` above counts each of them as an offset, once.");
    println!("The files stay under {}/.", show(&host.args.lake));
    Ok(exit)
}
