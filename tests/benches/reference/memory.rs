//! What a task holds that has nothing to do: one that never had, and one that has worked and committed.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::common;
use crate::generate;
use crate::job::{self, Config, Job};
use crate::process::Process;
use crate::record::RECORDS;
use support::kafka::Cluster;
use support::servers::unique;
use support::store::Place;
use support::wait::until;

/// Partitions between which the memory of an idle task is taken.
const IDLE: [i32; 2] = [1, 129];
/// Partitions whose tasks have worked.
const WORKED: u64 = 16;
/// How long starting, or catching up, may take.
const BOUND: Duration = Duration::from_secs(120);

/// Two hosts that wait for records; one that has done the reference job's.
pub fn measure(cluster: &Cluster) {
    let idle = IDLE.map(|partitions| {
        let topic = unique("bench_idle");
        cluster.create_topic(&topic, partitions, &[]);
        let (place, mut host, _config) = start(&Job::reference(&topic, "all"));
        let claims = || place.list("_rillgate").keys().filter(|path| path.contains("/log/")).count();
        until(BOUND, "all tasks claimed", || {
            host.expect_running();
            (claims() == partitions as usize).then_some(())
        });
        host.memory_at_rest()
    });
    let slope = (idle[1] - idle[0]) / f64::from(IDLE[1] - IDLE[0]);
    println!("idle, {IDLE:?} partitions: {idle:.1?} MiB, so {slope:.2} MiB for an idle task");
    common::record("memory_idle_host", idle[0], "MiB");
    common::record("memory_idle_task", slope, "MiB");

    let topic = generate::passenger_flow(cluster, WORKED, RECORDS);
    let sink = r#"format = "parquet", every = "2s""#.to_owned();
    let (place, mut host, _config) = start(&Job { sink, ..Job::reference(&topic, "all") });
    until(BOUND, "all records committed", || {
        host.expect_running();
        (committed(&place) == RECORDS).then_some(())
    });
    let rested = host.memory_at_rest();
    let slope = (rested - idle[0]) / (WORKED - 1) as f64;
    println!(
        "{WORKED} partitions after {RECORDS} records: {rested:.1} MiB, so {slope:.2} MiB for a task that has worked"
    );
    common::record("memory_rested_task", slope, "MiB");
}

/// Records that the commit logs account for.
fn committed(place: &Place) -> u64 {
    let entries = place.list("_rillgate");
    let ends = entries.keys().filter(|path| path.contains("/log/")).filter_map(|path| {
        let entry: serde_json::Value = serde_json::from_slice(&place.read(path)?).ok()?;
        Some((path.rsplit_once("/log/")?.0.to_owned(), entry["end"].as_u64()?))
    });
    // Of each task the last entry counts, and entries come in their order.
    ends.collect::<std::collections::BTreeMap<_, _>>().into_values().sum()
}

fn start(job: &Job) -> (Place, Process, Config) {
    let place = Place::local();
    let config = job.config(&place);
    let mut command = Command::new(job::product());
    command.args(["run", "--config"]).arg(config.path());
    let log: &Path = &config.path().with_extension("log");
    let process = Process::start(&mut command, log);
    (place, process, config)
}
