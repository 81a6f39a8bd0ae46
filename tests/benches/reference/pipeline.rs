//! The reference job, and beside it the same with the plugin's code built in, and without a plugin.

use std::path::PathBuf;

use crate::common;
use crate::generate::{self, PARTITIONS};
use crate::job::{self, Job, median, spread};
use crate::process::Usage;
use crate::record::RECORDS;
use support::kafka::Cluster;
use support::servers::target;

/// Times that each is run: as often first, second and last.
const RUNS: usize = 9;

/// One of those that run in turns.
struct Variant {
    name: String,
    binary: PathBuf,
    job: Job,
    runs: Vec<Usage>,
}

/// The product, native code and no plugin in turns; or the binaries that `RILLGATE_BIN` names.
pub fn measure(cluster: &Cluster) {
    let job = Job::reference(&generate::reference(cluster), "all");
    let variant = |name: &str, binary, job| Variant { name: name.to_owned(), binary, job, runs: Vec::new() };
    let mut variants = match std::env::var_os("RILLGATE_BIN") {
        Some(names) => std::env::split_paths(&names)
            .map(|binary| variant(&binary.display().to_string(), binary, job.clone()))
            .collect(),
        None => vec![
            variant("rillgate", job::product(), job.clone()),
            variant("plugin built in", target().join("release/rillgate-native"), job.clone()),
            variant("no plugin", job::product(), Job { transform: String::new(), ..job }),
        ],
    };
    println!("{RECORDS} records, {PARTITIONS} partitions, {RUNS} runs; wall time from the process's start to its end");
    for run in 1..=RUNS {
        // Whoever comes first finds the broker and the page cache colder.
        let first = run % variants.len();
        for at in (first..variants.len()).chain(0..first) {
            let variant = &mut variants[at];
            let usage = variant.run_once();
            let Usage { wall, cpu, memory } = usage;
            println!("run {run}: {wall:.2} s wall, {cpu:.2} s CPU, {memory:.0} MiB  {}", variant.name);
            variant.runs.push(usage);
        }
    }
    let per_cpu_second: Vec<f64> = variants.iter().map(Variant::print).collect();
    let first = &variants[0];
    common::record("pipeline_records_per_cpu_second", per_cpu_second[0], "1/s");
    let wall = median(first.runs.iter().map(|usage| usage.wall));
    common::record("pipeline_records_per_second", RECORDS as f64 / wall, "1/s");
    common::record("pipeline_peak_memory", median(first.runs.iter().map(|usage| usage.memory)), "MiB");
    println!();
    for (other, per_cpu_second) in variants.iter().zip(per_cpu_second).skip(1) {
        let ratio = first.over(other);
        println!("CPU time of {} over that of {}: {ratio:.3}, median of {RUNS} pairs", first.name, other.name);
        match other.name.as_str() {
            "plugin built in" => {
                common::record("plugin_over_native", ratio, "ratio");
                common::record("pipeline_native_records_per_cpu_second", per_cpu_second, "1/s");
            }
            "no plugin" => {
                common::record("plugin_over_none", ratio, "ratio");
                common::record("pipeline_no_plugin_records_per_cpu_second", per_cpu_second, "1/s");
            }
            _ => {}
        }
    }
}

impl Variant {
    fn run_once(&self) -> Usage {
        let (usage, place, written) = self.job.run(&self.binary);
        job::check(&place, RECORDS, self.job.transform.is_empty());
        if self.name == "plugin built in" {
            assert!(
                written.contains(&format!("{RECORDS} rows natively")),
                "all rows go the native way; it wrote:\n{written}"
            );
        }
        usage
    }

    /// Prints its figures; returns records per CPU-second.
    fn print(&self) -> f64 {
        println!("\n{}: min, median, max", self.name);
        let per_cpu_second = spread("records per CPU-second", &self.runs, |usage| RECORDS as f64 / usage.cpu);
        spread("records per second", &self.runs, |usage| RECORDS as f64 / usage.wall);
        spread("peak memory, MiB", &self.runs, |usage| usage.memory);
        per_cpu_second
    }

    /// CPU time by that of another: of runs side by side, so that both met the same machine.
    fn over(&self, other: &Self) -> f64 {
        median(self.runs.iter().zip(&other.runs).map(|(this, other)| this.cpu / other.cpu))
    }
}
