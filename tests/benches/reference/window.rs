//! The windowed job: the readings of 10,000 turnstiles, without their doubles, summed in windows of five minutes, as the mta system
//! has it in pipelines.toml. And the same job of its peers. What comes out is checked.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common;
use crate::generate::{self, PARTITIONS};
use crate::job::{self, spread};
use crate::peers::{self, Peer};
use crate::process::{self, Usage};
use crate::reading::{self, COLUMNS, RECORDS, TURNSTILES, Totals};
use support::kafka::Cluster;
use support::reader::Reader;
use support::servers::{clone, servers, unique};
use support::store::Place;

/// Times that it is run by itself.
const RUNS: usize = 5;
/// The table that all jobs write.
const TABLE: &str = "mta/turnstiles";
/// The columns of a group.
const GROUP: &str = r#"["CA", "UNIT", "SCP", "STATION", "LINENAME", "DIVISION", "DATE", "DESC"]"#;

/// The topic, and what must come of it.
fn topic(cluster: &Cluster) -> (String, Totals) {
    let name = format!("rillgate_bench_mta_turnstile_{RECORDS}");
    generate::topic(cluster, &name, PARTITIONS, RECORDS, reading::write);
    (name, reading::expected(RECORDS))
}

/// By itself; or the binaries that `RILLGATE_BIN` names in turns, of which the first counts.
pub fn measure(cluster: &Cluster) {
    let (topic, expected) = topic(cluster);
    println!("{RECORDS} records, {TURNSTILES} groups, {PARTITIONS} partitions, {RUNS} runs");
    let binaries: Vec<PathBuf> = match std::env::var_os("RILLGATE_BIN") {
        Some(names) => std::env::split_paths(&names).collect(),
        None => vec![job::product()],
    };
    let mut runs: Vec<Vec<Usage>> = vec![Vec::new(); binaries.len()];
    for run in 1..=RUNS {
        for (binary, runs) in binaries.iter().zip(&mut runs) {
            let usage = rillgate(binary, &topic, &expected);
            let Usage { wall, cpu, memory } = usage;
            println!("run {run}: {wall:.2} s wall, {cpu:.2} s CPU, {memory:.0} MiB  {}", binary.display());
            runs.push(usage);
        }
    }
    let figures = binaries.iter().zip(&runs).map(|(binary, runs)| {
        println!("\n{}: min, median, max", binary.display());
        let per_cpu_second = spread("records per CPU-second", runs, |usage| RECORDS as f64 / usage.cpu);
        let per_second = spread("records per second", runs, |usage| RECORDS as f64 / usage.wall);
        [per_cpu_second, per_second, spread("peak memory, MiB", runs, |usage| usage.memory)]
    });
    let figures: Vec<[f64; 3]> = figures.collect();
    let [per_cpu_second, per_second, memory] = figures[0];
    common::record("window_records_per_cpu_second", per_cpu_second, "1/s");
    common::record("window_records_per_second", per_second, "1/s");
    common::record("window_peak_memory", memory, "MiB");
}

/// Beside a job by hand with pyarrow, and Spark Structured Streaming.
pub fn measure_peers(cluster: &Cluster) {
    let (topic, expected) = topic(cluster);
    let spark = peers::spark();
    let peers: [Peer<'_>; 3] = [
        ("rillgate", Box::new(|topic| rillgate(&job::product(), topic, &expected))),
        ("pyarrow", Box::new(|topic| pyarrow(topic, &expected))),
        ("spark", Box::new(|topic| spark_job(&spark, topic, &expected))),
    ];
    peers::run_in_turns(&peers, &topic, RECORDS, "_window");
}

/// One run of this `rillgate`, into a new folder until it has caught up.
fn rillgate(binary: &Path, topic: &str, expected: &Totals) -> Usage {
    let place = Place::local();
    let plugin = |name: &str| {
        let plugin = clone().join("plugins").join(name);
        assert!(plugin.is_file(), "{} is missing: run `make build`", plugin.display());
        plugin.display().to_string()
    };
    let toml = format!(
        r#"[kafka]
"bootstrap.servers" = "{kafka}"
{store}
[http]
listen = "127.0.0.1:0"

[pipeline.{name}]
topic = "{topic}"
decode = {{ format = "csv" }}
columns = {{ {columns} }}
transform = [{{ plugin = '{transform}' }}]
sink = {{ table = "{TABLE}", format = "csv.gz", every = "60s" }}

[pipeline.{name}.aggregate]
plugin = '{aggregate}'
key = {GROUP}
time = "TIMESTAMP"
window = {{ tumbling = "{window}s" }}
delay = "{delay}s"
on = "close"
dedup = ["ID", "STATION", "TIMESTAMP"]
exchange = "none"
"#,
        kafka = servers().kafka,
        store = place.toml(),
        // A group of its own: nothing is left of an earlier run.
        name = unique("bench"),
        columns = COLUMNS.map(|(name, kind)| format!("{name} = {kind}")).join(", "),
        transform = plugin("mta.wasm"),
        aggregate = plugin("mta_turnstiles.wasm"),
        window = reading::WINDOW_S,
        delay = reading::DELAY_S,
    );
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("pipelines.toml");
    std::fs::write(&config, toml).expect("a file written");
    let mut command = Command::new(binary);
    command.args(["run", "--until-caught-up", "--config"]).arg(&config);
    let usage = process::measure(&mut command, &config.with_extension("log"));
    check(&place, expected);
    usage
}

fn pyarrow(topic: &str, expected: &Totals) -> Usage {
    let (place, folder) = peers::table(TABLE);
    let mut command = Command::new(&servers().python);
    command.arg(peers::script("arrow_window.py")).arg(&servers().kafka).arg(topic).arg(RECORDS.to_string());
    command.arg(folder.join("out.csv.gz"));
    let usage = process::measure(&mut command, &folder.with_extension("log"));
    check(&place, expected);
    usage
}

fn spark_job(spark: &peers::Spark, topic: &str, expected: &Totals) -> Usage {
    let (place, folder): (_, PathBuf) = peers::table(TABLE);
    let checkpoint = tempfile::tempdir().expect("a folder");
    let mut command = spark.submit("spark_window.py");
    command.arg(&servers().kafka).arg(topic).arg(&folder).arg(checkpoint.path());
    let usage = process::measure(&mut command, &checkpoint.path().with_extension("log"));
    check(&place, expected);
    usage
}

/// Panics unless the table has a row for each group of each closed window, and these sums.
fn check(place: &Place, expected: &Totals) {
    let group = r#"CA, UNIT, SCP, STATION, LINENAME, DIVISION, DATE, "DESC", TIME"#;
    let row = Reader::open(place, TABLE, "csv.gz")
        .row(&format!("select count(*), count(distinct ({group})), sum(ENTRIES)::bigint, sum(EXITS)::bigint from t"));
    let found: Vec<u64> = row.iter().map(|value| value.as_u64().expect("a number")).collect();
    assert_eq!(found, [expected.rows, expected.rows, expected.entries, expected.exits], "rows, groups, entries, exits");
}
