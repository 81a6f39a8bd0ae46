//! The reference job on a real Kafka, as users run it: the command from its start to its end, and what comes out checked.
//!
//! 5,000,000 records of 190 bytes in 4 partitions go through the railway's plugin into Parquet (zstd-1) in a local folder;
//! the plugin drops the one in a hundred that is dirty. Wall time and CPU time hold everything: starting, joining the
//! group, the last commit. Then how long a record takes to a file where there are few.
//!
//! `make bench` starts the servers. By itself: `tests/servers/up`, then
//! `cargo bench --workspace --bench reference [pipeline | latency]`. `RILLGATE_BIN` names another `rillgate` to measure,
//! several with colons between them to run in turns: what is compared shares what the machine does meanwhile.

#[path = "../../../host/benches/common/mod.rs"]
mod common;
mod generate;
mod latency;
mod process;

use std::path::{Path, PathBuf};
use std::process::Command;

use generate::{DIRTY, DIRTY_AT, PARTITIONS, RECORDS};
use process::Usage;
use support::kafka::Cluster;
use support::reader::Reader;
use support::servers::{clone, servers, target, unique};
use support::store::Place;

/// Times that the job is run.
const RUNS: usize = 3;
const TABLE: &str = "railway_station/passenger_flow";
const COLUMNS: &str = r#"{ id = "utf8", train_id = "utf8", station = "utf8", timestamp = "timestamp", waiting_time = "float64", ticket_check_time = "float64", reduced_flow_factor = "float64" }"#;

fn main() {
    // Cargo passes `--bench` of its own.
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name);
    if is_wanted("pipeline") {
        pipeline(&Cluster::shared());
    }
    if is_wanted("latency") {
        latency::measure(&Cluster::shared());
    }
    common::print_table();
}

fn pipeline(cluster: &Cluster) {
    let topic = topic(cluster);
    let binaries = binaries();
    println!("{RECORDS} records, {PARTITIONS} partitions, {RUNS} runs; wall time from the process's start to its end");
    let mut runs = vec![Vec::with_capacity(RUNS); binaries.len()];
    for run in 1..=RUNS {
        for (binary, runs) in binaries.iter().zip(&mut runs) {
            let usage = run_once(binary, &topic);
            println!(
                "run {run}: {:.2} s wall, {:.2} s CPU, {:.0} MiB  {}",
                usage.wall,
                usage.cpu,
                usage.memory,
                binary.display()
            );
            runs.push(usage);
        }
    }
    for (binary, runs) in binaries.iter().zip(&runs) {
        println!("\n{}: min, median, max", binary.display());
        let per_cpu_second = spread("records per CPU-second", runs, |usage| RECORDS as f64 / usage.cpu);
        let per_second = spread("records per second", runs, |usage| RECORDS as f64 / usage.wall);
        let memory = spread("peak memory, MiB", runs, |usage| usage.memory);
        if *binary == binaries[0] {
            common::record("pipeline_records_per_cpu_second", per_cpu_second, "1/s");
            common::record("pipeline_records_per_second", per_second, "1/s");
            common::record("pipeline_peak_memory", memory, "MiB");
        }
    }
}

/// Prints the least, the median and the most of it; returns the median.
fn spread(name: &str, runs: &[Usage], of: impl Fn(&Usage) -> f64) -> f64 {
    let mut values: Vec<f64> = runs.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    let (least, median, most) = (values[0], values[values.len() / 2], values[values.len() - 1]);
    println!("{name:<24} {least:>12.0} {median:>12.0} {most:>12.0}");
    median
}

/// The topic with the records; loaded before where the servers were up then.
fn topic(cluster: &Cluster) -> String {
    let topic = "rillgate_bench_passenger_flow";
    if !generate::is_loaded(topic) {
        println!("loading {RECORDS} records");
        generate::load(cluster, topic);
    }
    topic.to_owned()
}

fn binaries() -> Vec<PathBuf> {
    match std::env::var_os("RILLGATE_BIN") {
        Some(names) => std::env::split_paths(&names).collect(),
        None => vec![target().join("release/rillgate")],
    }
}

/// Runs the job into a new folder and checks what came out.
fn run_once(binary: &Path, topic: &str) -> Usage {
    let place = Place::local();
    let sink = r#"format = "parquet", every = "60s""#;
    let config = config(&place, topic, r#"require = "all""#, sink);
    let mut command = Command::new(binary);
    command.args(["run", "--until-caught-up", "--config"]).arg(config.path());
    let usage = process::measure(&mut command, &config.path().with_extension("log"));
    let mut table = Reader::open(&place, TABLE, "parquet");
    let number = "cast(substr(id, 4) as bigint)";
    let counts = table
        .row(&format!("select count(*), count(distinct id), count(*) filter ({number} % {DIRTY} = {DIRTY_AT}) from t"));
    let kept = RECORDS - RECORDS / DIRTY;
    assert_eq!(counts, [kept, kept, 0], "rows, different ids, dirty rows");
    usage
}

/// A pipelines.toml for this topic, in a folder that goes with what is returned.
fn config(place: &Place, topic: &str, settings: &str, sink: &str) -> Config {
    let plugin = clone().join("plugins/railway.wasm");
    assert!(plugin.is_file(), "{} is missing: run `make build`", plugin.display());
    let toml = format!(
        r#"[kafka]
"bootstrap.servers" = "{kafka}"
{store}
[http]
listen = "127.0.0.1:0"

[pipeline.{name}]
topic = "{topic}"
decode = {{ format = "json" }}
columns = {COLUMNS}
transform = [{{ plugin = '{plugin}', settings = {{ topic = "passenger_flow", {settings} }} }}]
sink = {{ table = "{TABLE}", {sink} }}
"#,
        kafka = servers().kafka,
        store = place.toml(),
        // A group of its own: nothing is left of an earlier run.
        name = unique("bench"),
        plugin = plugin.display(),
    );
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("pipelines.toml"), toml).expect("a file written");
    Config { folder }
}

/// A pipelines.toml in a folder of its own.
struct Config {
    folder: tempfile::TempDir,
}

impl Config {
    fn path(&self) -> PathBuf {
        self.folder.path().join("pipelines.toml")
    }
}
