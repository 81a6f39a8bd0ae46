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

/// Measures as the host does: `rillgate_swap_pause_seconds`.
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
    let (producer, to) = (cluster.producer(), topic.clone());
    let sending = Producing::by(0, BURST, move |records| {
        let (mut numbers, mut value) = (common::Numbers(records.start), Vec::new());
        for i in records {
            record::write(&mut value, i, &mut numbers);
            let partition = i32::try_from(i % PARTITIONS).expect("a few partitions");
            producer.send(&to, &Record { partition: Some(partition), value: Some(&value), ..Record::default() });
        }
        producer.flush();
    });
    let text = std::fs::read_to_string(&path).expect("the configuration");
    let name =
        text.split_once("[pipeline.").and_then(|(_, rest)| rest.split_once(']')).expect("a pipeline").0.to_owned();
    let count = || quantile(&host, "_count");
    for number in 1..=SWAPS {
        let begin = Instant::now();
        let (status, answer) = host.ask("POST", &format!("/api/v1/pipelines/{name}/plugins/0"), &version(number));
        assert!(status == 200 && answer.contains("live"), "{status} {answer}");
        while count() < (number * PARTITIONS) as f64 {
            assert!(begin.elapsed() < BOUND, "waited in vain for all tasks to have version {number}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    let [p50, p99, most] = ["0.5", "0.99", "1"].map(|at| 1000.0 * quantile(&host, &format!("{{quantile=\"{at}\"}}")));
    sending.finish();
    host.stop();
    assert!(!place.list(TABLE).is_empty(), "rows were written");
    println!(
        "\npause of a task, {SWAPS} swaps of {PARTITIONS} tasks: {p50:.2}, {p99:.2}, {most:.2} ms (p50, p99, max)"
    );
    common::record("swap_pause_p50_ms", p50, "ms");
    common::record("swap_pause_p99_ms", p99, "ms");
}

/// A value of the host's summary of pauses: `_count`, or `{quantile="..."}`; 0 where there is none yet.
fn quantile(host: &Host, which: &str) -> f64 {
    let metrics = host.metrics();
    let (name, label) = match which.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
        Some(label) => ("rillgate_swap_pause_seconds{".to_owned(), label),
        None => (format!("rillgate_swap_pause_seconds{which}"), ""),
    };
    let line = metrics.lines().find(|line| line.starts_with(&name) && line.contains(label));
    line.and_then(|line| line.rsplit_once(' ')).and_then(|(_, value)| value.parse().ok()).unwrap_or_default()
}
