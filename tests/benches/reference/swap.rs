//! What a swap costs a task: the time between two batches in which it ends its epoch and goes on with another version, under load.

use std::time::{Duration, Instant};

use crate::common;
use crate::generate::PARTITIONS;
use crate::job::{Job, TABLE};
use crate::record;
use support::flow::Producing;
use support::host::Host;
use support::kafka::{Cluster, Record};
use support::servers::{clone, unique};
use support::store::Place;

/// Versions that go live one after another.
const SWAPS: u64 = 50;
/// Records sent 50 times a second.
const BURST: u64 = 1_000;
const BOUND: Duration = Duration::from_secs(60);

/// The railway's plugin in another version, which does the same: a component may have any sections of a name of their own.
fn version(number: u64) -> Vec<u8> {
    let mut plugin = std::fs::read(clone().join("plugins/railway.wasm")).expect("make plugins");
    let content = [&[7][..], b"version", &number.to_le_bytes()].concat();
    plugin.extend([0, u8::try_from(content.len()).expect("a short section")]);
    plugin.extend(content);
    plugin
}

/// What the host measures of a swap in place.
const PAUSE: &str = "rillgate_swap_pause_seconds";
/// From a task's last batch by one version to its first by the next. Waiting for records is in it, 20 ms from one burst to the next.
const GAP: &str = "rillgate_swap_gap_seconds";
/// The longest time between two batches without a swap.
const BATCH_GAP: &str = "rillgate_batch_gap_seconds";

/// Measures as the host does.
pub fn measure(cluster: &Cluster) {
    let (topic, place) = (unique("bench_swap"), Place::local());
    cluster.create_topic(&topic, i32::try_from(PARTITIONS).expect("a few partitions"), &[]);
    let folder = tempfile::tempdir().expect("a folder");
    let plugin = folder.path().join("railway.wasm");
    std::fs::write(&plugin, version(0)).expect("a file written");
    let mut job = Job { sink: r#"format = "parquet", every = "60s""#.to_owned(), ..Job::reference(&topic, "key") };
    let own = clone().join("plugins/railway.wasm").display().to_string();
    job.transform = job.transform.replace(&own, &plugin.display().to_string());
    let config = job.config(&place);
    let path = config.path();
    let host = Host::start(&["run", "--config", path.to_str().expect("a path that is text")]);
    let (producer, to, began) = (cluster.producer(), topic.clone(), Instant::now());
    let sending = Producing::at_pace(0, BURST, producer, move |producer, records| {
        let (mut numbers, mut value) = (common::Numbers(records.start), Vec::new());
        for i in records {
            record::write(&mut value, i, &mut numbers);
            let partition = i32::try_from(i % PARTITIONS).expect("a few partitions");
            producer.send(&to, &Record { partition: Some(partition), value: Some(&value), ..Record::default() });
        }
    });
    let text = std::fs::read_to_string(&path).expect("the configuration");
    let name =
        text.split_once("[pipeline.").and_then(|(_, rest)| rest.split_once(']')).expect("a pipeline").0.to_owned();
    // Once a task has begun a batch by a version it has gone over to it.
    let count = || value(&host, &format!("{GAP}_count"), "");
    for number in 1..=SWAPS {
        let begin = Instant::now();
        let (status, answer) = host.ask("POST", &format!("/api/v1/pipelines/{name}/plugins/0"), &version(number));
        assert!(status == 200 && answer.contains("live"), "{status} {answer}");
        while count() < (number * PARTITIONS) as f64 {
            assert!(begin.elapsed() < BOUND, "waited in vain for all tasks to have version {number}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    let times = [PAUSE, GAP, BATCH_GAP]
        .map(|metric| ["0.5", "0.99", "1"].map(|at| 1000.0 * value(&host, metric, &format!("quantile=\"{at}\""))));
    let rate = sending.finish() as f64 / began.elapsed().as_secs_f64();
    host.stop();
    assert!(!place.list(TABLE).is_empty(), "rows were written");
    println!("\n{SWAPS} swaps of {PARTITIONS} tasks, {rate:.0} records a second; p50, p99, max:");
    for (what, [p50, p99, most]) in
        ["pause of a task", "gap between batches", "longest gap without a swap"].into_iter().zip(times)
    {
        println!("{what}: {p50:.2}, {p99:.2}, {most:.2} ms");
    }
    let [pause, gap, _] = times;
    for (name, [p50, p99, most]) in [("swap_pause", pause), ("swap_gap", gap)] {
        common::record(&format!("{name}_p50_ms"), p50, "ms");
        common::record(&format!("{name}_p99_ms"), p99, "ms");
        common::record(&format!("{name}_max_ms"), most, "ms");
    }
}

/// A value of a host's metrics by its name and some label; 0 where there is none yet.
fn value(host: &Host, name: &str, label: &str) -> f64 {
    let metrics = host.metrics();
    let line = metrics.lines().find(|line| line.starts_with(&format!("{name}{{")) && line.contains(label));
    line.and_then(|line| line.rsplit_once(' ')).and_then(|(_, value)| value.parse().ok()).unwrap_or_default()
}
