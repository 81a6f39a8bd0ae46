//! The reference job's records in few partitions and in many: what a record costs, and what a task that is busy holds.

use crate::common;
use crate::generate;
use crate::job::{self, Job, median};
use crate::process::Usage;
use crate::record::RECORDS;
use support::kafka::Cluster;

const PARTITIONS: [u64; 4] = [1, 4, 16, 64];
/// Times that each is run.
const RUNS: usize = 3;
/// Between these the memory of a busy task is taken: as many records in each partition, so that all are alike.
const BUSY: [u64; 2] = [1, 16];

/// All records over more and more partitions; then as many partitions with the same number of records in each.
pub fn measure(cluster: &Cluster) {
    println!("{RECORDS} records, median of {RUNS}");
    println!(
        "{:>10} {:>24} {:>20} {:>18}",
        "partitions", "records per CPU-second", "records per second", "peak memory, MiB"
    );
    for partitions in PARTITIONS {
        let topic = generate::passenger_flow(cluster, partitions, RECORDS);
        let runs: Vec<Usage> = (0..RUNS).map(|_| run(&topic, RECORDS)).collect();
        let of = |value: fn(&Usage) -> f64| median(runs.iter().map(value));
        let (cpu, wall, memory) = (of(|usage| usage.cpu), of(|usage| usage.wall), of(|usage| usage.memory));
        let (per_cpu_second, per_second) = (RECORDS as f64 / cpu, RECORDS as f64 / wall);
        println!("{partitions:>10} {per_cpu_second:>24.0} {per_second:>20.0} {memory:>18.0}");
        common::record(&format!("partitions_{partitions}_records_per_cpu_second"), per_cpu_second, "1/s");
        common::record(&format!("partitions_{partitions}_peak_memory"), memory, "MiB");
    }
    let each = RECORDS / BUSY[1];
    let peaks = BUSY.map(|partitions| {
        let topic = generate::passenger_flow(cluster, partitions, each * partitions);
        median((0..RUNS).map(|_| run(&topic, each * partitions).memory))
    });
    let slope = (peaks[1] - peaks[0]) / (BUSY[1] - BUSY[0]) as f64;
    println!(
        "{each} records in each of {BUSY:?} partitions: peaks of {peaks:.0?} MiB, so {slope:.1} MiB for a busy task"
    );
    common::record("memory_busy_task", slope, "MiB");
}

fn run(topic: &str, records: u64) -> Usage {
    let (usage, place, _) = Job::reference(topic, "all").run(&job::product());
    job::check(&place, records, false);
    usage
}
