//! The `rillgate` command: what was typed, and which part of the library does it.
//!
//! Exit codes: 0 fine, 1 failed at run time, 2 bad input or configuration, 3 environment (no broker, no store).

mod check;
mod demo;
mod dev;
mod plan;
mod plugin;
mod replay;
mod run;
mod simulate;
mod state;
mod verify;

use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use indexmap::IndexMap;

use crate::commit::Store;
use crate::config::{self, Config, Delivery, PipelineOptions, Problem, Problems, StoreOptions};
use crate::pipeline::{Pipeline, ask_for_newest};
use crate::plugin::Engine;

/// How a command ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Everything was done.
    Fine = 0,
    /// It failed while running.
    Failed = 1,
    /// The input or the configuration is wrong.
    BadInput = 2,
    /// A broker or a store is missing or refuses us.
    Environment = 3,
}

/// Kafka in, WebAssembly plugins in the middle, object storage out, each record exactly once.
#[derive(Debug, Parser)]
#[command(name = "rillgate", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Say it for machines: one JSON object a line.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the pipelines until told to stop.
    Run(run::RunArgs),
    /// Find all that is wrong with a configuration, and say what will come out of each pipeline.
    Check(CheckArgs),
    /// Run the simulated systems through all pipelines, with a broker of its own and files under ./lake.
    Demo(demo::DemoArgs),
    /// Send the records of a simulated system to Kafka.
    Simulate(simulate::SimulateArgs),
    /// Prove that tables and commit logs agree: no gap, no double, no orphan.
    Verify(verify::VerifyArgs),
    /// Do again what a plugin failed in, or put dead letters to the test.
    Replay(replay::ReplayArgs),
    /// Look into what aggregates remember.
    #[command(subcommand)]
    State(state::StateCommand),
    /// Build a plugin whenever its source is saved, have it go live in a running host, and show what it does.
    Dev(dev::DevArgs),
    /// Say what a running host would change if this were its configuration.
    Plan(plan::HostArgs),
    /// Look into plugins, and tell a running host which version of them is live.
    #[command(subcommand)]
    Plugin(plugin::PluginCommand),
}

/// Which configuration.
#[derive(Debug, Clone, Args)]
struct ConfigArgs {
    /// The configuration file.
    #[arg(long, env = "RILLGATE_CONFIG", default_value = "pipelines.toml", value_name = "FILE")]
    config: PathBuf,
    /// Override a value: `--set pipeline.turnstiles.sink.every=10s`. May be given more than once.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Only pipelines whose name begins so; `-` and `_` are the same here, so that a system's name does: `--only smart-city`. May be
    /// given more than once.
    #[arg(long, value_name = "PREFIX")]
    only: Vec<String>,
}

#[derive(Debug, Args)]
struct CheckArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Ask the broker and the store, too.
    #[arg(long)]
    online: bool,
}

/// Reads the command line, does what it says, and gives the exit code.
pub fn main() -> Exit {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let exit = if error.use_stderr() { Exit::BadInput } else { Exit::Fine };
            // Nowhere is left to say it when neither stdout nor stderr can be written.
            let _ = error.print();
            return exit;
        }
    };
    log_to_stderr(cli.json, &cli.command);
    match cli.command {
        Command::Run(args) => run::run(&args, cli.json),
        Command::Check(args) => check(&args, cli.json),
        Command::Demo(args) => demo::demo(&args),
        Command::Simulate(args) => simulate::simulate(&args, cli.json),
        Command::Verify(args) => verify::verify(&args, cli.json),
        Command::Replay(args) => replay::replay(&args, cli.json),
        Command::State(command) => state::state(&command, cli.json),
        Command::Dev(args) => dev::dev(&args, cli.json),
        Command::Plan(args) => plan::plan(&args, cli.json),
        Command::Plugin(command) => plugin::plugin(&command, cli.json),
    }
}

fn check(args: &CheckArgs, json: bool) -> Exit {
    let engine = match engine() {
        Ok(engine) => engine,
        Err(error) => return error.say("plugins"),
    };
    let probe = |options: &StoreOptions, pipeline: &PipelineOptions| {
        let store = Store::open(&options.for_commit()).map_err(|error| error.to_string())?;
        let runtime = runtime().map_err(|_| "no runtime".to_owned())?;
        match pipeline.delivery {
            Delivery::ExactlyOnce => runtime.block_on(store.probe()).map_err(|error| error.to_string()),
            Delivery::AtLeastOnce => Ok(()),
        }
    };
    let probe_store = args.online.then_some(&probe as check::ProbeStore<'_>);
    let ConfigArgs { config, overrides, only } = &args.config;
    let checked = check::check(config, overrides, only, &engine, probe_store);
    let is_wrong = checked.problems.has_errors() || checked.environment.has_errors();
    if checked.pipelines.is_empty() && !is_wrong {
        return report(&Problems(vec![none_begins_with(&args.config)]), json);
    }
    if let Err(error) = checked.print(json) {
        return (Exit::Failed, error.to_string()).say("check");
    }
    match checked.exit_code() {
        0 => Exit::Fine,
        3 => Exit::Environment,
        _ => Exit::BadInput,
    }
}

fn log_to_stderr(json: bool, command: &Command) {
    use tracing_subscriber::EnvFilter;
    // Other commands say what they find on stdout; their log is for trouble.
    let level = if matches!(command, Command::Run(_)) { "info" } else { "warn" };
    let filter = EnvFilter::try_from_env("RILLGATE_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        // A log that nobody reads any more must not end the threads that write to it.
        .log_internal_errors(false)
        .with_target(false);
    if json { builder.json().flatten_event(true).init() } else { builder.init() }
}

/// The configuration, cut down to the pipelines asked for, or every problem with it.
fn load(args: &ConfigArgs, json: bool) -> Result<Config, Exit> {
    let mut config = config::load(&args.config, &args.overrides).map_err(|problems| report(&problems, json))?;
    config.pipelines.retain(|name, _| is_asked_for(name, &args.only));
    if config.pipelines.is_empty() && !args.only.is_empty() {
        return Err(report(&Problems(vec![none_begins_with(args)]), json));
    }
    Ok(config)
}

/// Whether the pipeline's name begins with one of these, or there are none.
fn is_asked_for(name: &str, only: &[String]) -> bool {
    let plain = |name: &str| name.replace('-', "_");
    only.is_empty() || only.iter().any(|prefix| plain(name).starts_with(&plain(prefix)))
}

fn none_begins_with(args: &ConfigArgs) -> Problem {
    Problem::error("", format!("no pipeline of {} begins with {:?}", args.config.display(), args.only.join(" or ")))
}

/// Opens every pipeline: plugins compiled, schemas negotiated, or every problem with them.
fn open(config: &Config, json: bool) -> Result<(Engine, Vec<Pipeline>), Exit> {
    let (engine, all) = prepare(config, json)?;
    let (mut pipelines, mut problems) = (Vec::new(), Vec::new());
    for (name, options) in &all {
        match Pipeline::open(name, options, &engine, &config.base) {
            Ok(pipeline) => pipelines.push(pipeline),
            Err(found) => problems.extend(found),
        }
    }
    if problems.is_empty() { Ok((engine, pipelines)) } else { Err(report(&config.place(problems), json)) }
}

/// What opens pipelines, and what they are, with the columns that their schemas have now.
fn prepare(config: &Config, json: bool) -> Result<(Engine, IndexMap<String, PipelineOptions>), Exit> {
    let engine = engine().map_err(|exit| exit.say("plugins"))?;
    let mut all = config.pipelines.clone();
    let lacking = ask_for_newest(&mut all, config.schema_registry.as_ref());
    if lacking.is_empty() {
        return Ok((engine, all));
    }
    report(&config.place(lacking), json);
    Err(Exit::Environment)
}

/// The engine that has plugins compiled, with compiled code kept in the user's cache folder.
fn engine() -> Result<Engine, (Exit, String)> {
    let program = this_program().map_err(|error| {
        (Exit::Environment, format!("can't find this program's own file, which compiles them: {error}"))
    })?;
    let compiler = move || {
        let mut command = process::Command::new(&program);
        command.arg0("rillgate").args(["plugin", "compile"]);
        command
    };
    let home = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = home("XDG_CACHE_HOME").or_else(|| home("HOME").map(|home| home.join(".cache")));
    Engine::with_compiler(cache.map(|cache| cache.join("rillgate").join("plugins")), compiler)
        .map_err(|error| (Exit::Environment, error.to_string()))
}

/// What starts this program again, and not one that was put in its place since.
fn this_program() -> io::Result<PathBuf> {
    // A link that the kernel resolves in the child, which is this program until then.
    let link = Path::new("/proc/self/exe");
    if link.exists() { Ok(link.to_owned()) } else { std::env::current_exe() }
}

trait Say {
    fn say(self, what: &str) -> Exit;
}

impl Say for (Exit, String) {
    /// Says it on stderr, and gives the exit code.
    fn say(self, what: &str) -> Exit {
        use std::io::Write;
        // The exit code tells it where nobody reads.
        let _ = writeln!(std::io::stderr(), "{what}: {}", self.1);
        self.0
    }
}

/// Says what is wrong with the configuration.
fn report(problems: &Problems, json: bool) -> Exit {
    use std::io::IsTerminal;
    if json {
        print!("{}", problems.to_json_lines());
    } else {
        eprint!("{}", problems.render(std::io::stderr().is_terminal()));
    }
    Exit::BadInput
}

/// A tokio runtime for uploads, commits and signals: the work on records is the workers'.
fn runtime() -> Result<tokio::runtime::Runtime, Exit> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("tokio")
        .enable_all()
        .build()
        .map_err(|error| (Exit::Environment, error.to_string()).say("runtime"))
}

/// `30s`, `5m`.
fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}; write it like 30s or 5m"))
}

/// A path as given, for messages.
fn show(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::is_asked_for;

    #[test]
    fn pipelines_are_asked_for_by_how_their_names_begin_and_a_systems_name_does() {
        let asked = |name: &str, only: &[&str]| {
            is_asked_for(name, &only.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
        };
        assert!(asked("smart_city_gps_data", &[]));
        for only in ["smart_city", "smart-city", "smart-city_gps", "s", ""] {
            assert!(asked("smart_city_gps_data", &[only]) && asked("smart-city-gps-data", &[only]), "{only}");
        }
        assert!(asked("cta_weather", &["mta", "cta"]));
        assert!(!asked("cta_weather", &["mta", "weather"]) && !asked("smart_travel_gps_data", &["smart-city"]));
    }
}
