//! How long a host takes from its start until it says that it is ready, and until a reader sees its first record: with no
//! compiled plugin to find, and with one.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::common;
use crate::generate::{self, PARTITIONS};
use crate::job::{self, Job, TABLE, median};
use crate::process::Process;
use crate::record;
use support::kafka::Cluster;
use support::store::Place;

/// Times that each start is measured.
const ROUNDS: usize = 10;
/// Records that wait for the host.
const RECORDS: u64 = 1_000;
/// How often the host is asked, and its table listed.
const LOOK: Duration = Duration::from_millis(2);
/// How long a start may take.
const BOUND: Duration = Duration::from_secs(60);

/// Starts hosts, each with a pipeline that never ran; every other one finds what the one before has compiled.
pub fn measure(cluster: &Cluster) {
    let topic = format!("rillgate_bench_start_{PARTITIONS}");
    generate::topic(cluster, &topic, PARTITIONS, RECORDS, record::write);
    let (mut cold, mut cached) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let cache = tempfile::tempdir().expect("a folder");
        cold.push(start(&topic, cache.path()));
        cached.push(start(&topic, cache.path()));
    }
    println!("median of {ROUNDS}, ms from the start of the process:  ready, first record in a file");
    for (name, starts) in [("cold", cold), ("cached", cached)] {
        let ready = median(starts.iter().map(|start| start.0));
        let first = median(starts.iter().map(|start| start.1));
        println!("{name:<8} {ready:>8.0} {first:>8.0}");
        common::record(&format!("start_{name}_to_ready_ms"), ready, "ms");
        common::record(&format!("start_{name}_to_first_record_ms"), first, "ms");
    }
}

/// Milliseconds until it is ready, and until its first file is there.
fn start(topic: &str, cache: &std::path::Path) -> (f64, f64) {
    let place = Place::local();
    // A port that was free a moment ago.
    let listen = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    // An epoch ends with its first batch.
    let sink = r#"format = "parquet", rows = 1"#.to_owned();
    let config = Job { sink, listen: listen.to_string(), ..Job::reference(topic, "all") }.config(&place);
    let mut command = Command::new(job::product());
    command.args(["run", "--config"]).arg(config.path()).env("XDG_CACHE_HOME", cache);
    let begin = Instant::now();
    let mut host = Process::start(&mut command, &config.path().with_extension("log"));
    let (mut ready, mut first) = (None, None);
    while ready.is_none() || first.is_none() {
        host.expect_running();
        assert!(begin.elapsed() < BOUND, "not started; it wrote:\n{}", host.written());
        let now = || begin.elapsed().as_secs_f64() * 1e3;
        if ready.is_none() && is_ready(&listen.to_string()) {
            ready = Some(now());
        }
        if first.is_none() && !place.list(TABLE).is_empty() {
            first = Some(now());
        }
        std::thread::sleep(LOOK);
    }
    (ready.unwrap_or_default(), first.unwrap_or_default())
}

/// Whether `/readyz` answers that all is well.
fn is_ready(address: &str) -> bool {
    let ask = || {
        let mut stream = TcpStream::connect(address)?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        std::io::Result::Ok(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}
