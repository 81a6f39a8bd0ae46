//! What the benchmarks share: results that machines read, the budget they are held against, and numbers that look random.
//!
//! `RILLGATE_BENCH_RESULTS` names the file of results, a list of `{"name", "value", "unit"}`. A result replaces the one of
//! its name, so that one benchmark can be run again by itself. Without the variable results are only printed.

// Each benchmark is a binary of its own and uses what it needs.
#![allow(dead_code)]

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// What a result is held against.
struct Budget {
    name: &'static str,
    /// Whether more is better.
    more: bool,
    /// Where we want to be.
    goal: f64,
    /// What must not be missed any more.
    kept: f64,
}

/// A name that isn't here is recorded all the same.
const BUDGET: [Budget; 14] = [
    Budget { name: "crossing_ns_per_record", more: false, goal: 10.0, kept: 20.0 },
    Budget { name: "decode_json_ns_per_record", more: false, goal: 150.0, kept: 280.0 },
    Budget { name: "encode_parquet_ns_per_record", more: false, goal: 100.0, kept: 250.0 },
    Budget { name: "latency_first_to_last_record", more: false, goal: 2.0, kept: 2.0 },
    // One batch of 8,192 rows, at 1.3 M rows a second, and 10 ms.
    Budget { name: "swap_pause_p99_ms", more: false, goal: 16.0, kept: 16.0 },
    Budget { name: "memory_busy_task", more: false, goal: 32.0, kept: 64.0 },
    Budget { name: "memory_idle_task", more: false, goal: 2.0, kept: 2.0 },
    Budget { name: "pipeline_records_per_cpu_second", more: true, goal: 1_300_000.0, kept: 1_000_000.0 },
    Budget { name: "pipeline_records_per_second", more: true, goal: 2_000_000.0, kept: 500_000.0 },
    Budget { name: "plugin_over_native", more: false, goal: 1.05, kept: 1.10 },
    Budget { name: "rillgate_over_pyarrow_per_cpu_second", more: true, goal: 2.0, kept: 1.5 },
    Budget { name: "rillgate_over_spark_per_cpu_second", more: true, goal: 20.0, kept: 15.0 },
    Budget { name: "start_cached_to_first_record_ms", more: false, goal: 2_000.0, kept: 2_000.0 },
    Budget { name: "window_records_per_cpu_second", more: true, goal: 900_000.0, kept: 640_000.0 },
];

/// Keeps a result in the file of results.
pub fn record(name: &str, value: f64, unit: &str) {
    let Some(path) = results_file() else { return };
    let mut results = read(&path);
    results.retain(|result| result["name"] != name);
    results.push(json!({ "name": name, "value": value, "unit": unit }));
    results.sort_by_key(|result| result["name"].as_str().map(str::to_owned));
    let lines: Vec<String> = results.iter().map(|result| format!("  {result}")).collect();
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).expect("a folder for the results");
    }
    fs::write(&path, format!("[\n{}\n]\n", lines.join(",\n"))).expect("the results written");
}

/// What a reader of the results wants to know, and how the names begin that say it. What fits nowhere comes last.
const CHAPTERS: [(&str, &[&str]); 5] = [
    ("The whole way", &["pipeline_", "window_", "plugin_over_", "latency_", "start_", "swap_"]),
    ("A stage alone", &["fetch_", "decode_", "crossing_", "plugin_", "encode_", "commit_"]),
    ("What it grows with", &["columns_", "batch_", "record_", "partitions_", "memory_"]),
    ("What state costs", &["state_"]),
    ("Beside others", &[""]),
];

/// Prints all results so far beside their targets, and writes them beside the results as they go into docs/benchmarks.md.
pub fn print_table() {
    let Some(path) = results_file() else { return };
    let mut text = format!("{}\n", machine());
    let mut results = read(&path);
    for (chapter, beginnings) in CHAPTERS {
        let belongs = |result: &mut Value| {
            beginnings.iter().any(|beginning| result["name"].as_str().is_some_and(|name| name.starts_with(beginning)))
        };
        let chosen: Vec<Value> = results.extract_if(.., belongs).collect();
        if chosen.is_empty() {
            continue;
        }
        text += &format!(
            "\n### {chapter}\n\n| {:<46} | {:>12} | {:<5} | target |\n|---|--:|---|---|\n",
            "name", "value", "unit"
        );
        for result in chosen {
            let (name, unit) =
                (result["name"].as_str().unwrap_or_default(), result["unit"].as_str().unwrap_or_default());
            let value = result["value"].as_f64().unwrap_or(f64::NAN);
            let (quoted, target) = (format!("`{name}`"), target(name, value));
            text += &format!("| {quoted:<46} | {:>12} | {unit:<5} | {target} |\n", number(value));
        }
    }
    println!("\n{text}\n(from {})", path.display());
    fs::write(path.with_extension("md"), text).expect("the table written");
}

/// Which machine this is, and how busy: figures mean little without.
fn machine() -> String {
    let file = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = file("/proc/cpuinfo");
    let model =
        cpuinfo.lines().find_map(|line| Some(line.strip_prefix("model name")?.trim_start_matches([' ', '\t', ':'])));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let load = file("/proc/loadavg");
    format!(
        "{cores} cores of {}, Linux {}; load at the end: {} over 1, 5 and 15 minutes.",
        model.unwrap_or("an unnamed processor"),
        file("/proc/sys/kernel/osrelease").trim(),
        load.split_whitespace().take(3).collect::<Vec<_>>().join(", ")
    )
}

fn target(name: &str, value: f64) -> String {
    let Some(budget) = BUDGET.iter().find(|budget| budget.name == name) else { return String::new() };
    let misses = |limit: f64| if budget.more { value < limit } else { value > limit };
    let word = if budget.more { "at least" } else { "at most" };
    let verdict = match (misses(budget.goal), misses(budget.kept)) {
        (_, true) => format!(": MISSED, and even {}", number(budget.kept)),
        (true, false) => ": not reached".to_owned(),
        (false, false) => String::new(),
    };
    format!("{word} {}{verdict}", number(budget.goal))
}

/// Large numbers with their thousands apart, small ones with two or three digits after the point.
fn number(value: f64) -> String {
    if value.abs() < 10.0 {
        return format!("{value:.3}");
    }
    if value.abs() < 1000.0 {
        return format!("{value:.2}");
    }
    let digits = format!("{value:.0}");
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|group| std::str::from_utf8(group).ok()).collect();
    groups.join(",")
}

fn results_file() -> Option<PathBuf> {
    std::env::var_os("RILLGATE_BENCH_RESULTS").map(PathBuf::from)
}

fn read(path: &Path) -> Vec<Value> {
    let Ok(text) = fs::read_to_string(path) else { return Vec::new() };
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Runs it; returns nanoseconds of CPU that this thread spent on it. For what takes longer than a busy machine leaves a thread
/// alone: wall time would measure the neighbours. Exact to a tick of the scheduler, some milliseconds.
pub fn cpu_nanos<R>(run: impl FnOnce() -> R) -> (f64, R) {
    let spent = || -> f64 {
        let schedstat = fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells the time of a thread");
        schedstat.split_whitespace().next().and_then(|nanos| nanos.parse().ok()).expect("a number")
    };
    let begin = spent();
    let result = run();
    (spent() - begin, result)
}

/// Numbers that look random and are the same each time (splitmix64).
pub struct Numbers(pub u64);

impl Numbers {
    /// The next one.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 up to, but not, 1.
    pub fn unit(&mut self) -> f64 {
        (self.draw() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// From 0 up to, but not, `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.draw() % end
    }
}
