//! Small records and large ones, as many bytes of each: a number, an id, and text that fills the rest, through a plugin that
//! returns what it is given, into Parquet.

use std::io::Write as _;

use crate::common::{self, Numbers};
use crate::generate::{self, PARTITIONS};
use crate::guest::{Guest, identity};
use crate::job::{self, Job, SINK, TABLE, median};
use crate::process::Usage;
use support::kafka::Cluster;
use support::reader::Reader;
use support::store::Place;

const BYTES: [u64; 4] = [50, 200, 1_000, 10_000];
/// Bytes in each topic.
const VOLUME: u64 = 256 << 20;
/// Times that each is run.
const RUNS: usize = 3;
/// What text is made of.
const WORDS: [&str; 16] = [
    "station",
    "the",
    "passengers",
    "delayed",
    "platform",
    "at",
    "a",
    "train",
    "north",
    "departure",
    "signal",
    "and",
    "dock",
    "minutes",
    "of",
    "corridor",
];

/// One topic for each size.
pub fn measure(cluster: &Cluster) {
    let folder = tempfile::tempdir().expect("a folder");
    let plugin = folder.path().join("identity.wasm");
    let code = identity("", "", "");
    std::fs::write(&plugin, Guest { code: &code, ..Guest::default() }.build()).expect("a plugin written");
    println!("{} MiB of each size, median of {RUNS}", VOLUME >> 20);
    println!("{:>8} {:>24} {:>20} {:>18}", "bytes", "records per CPU-second", "MB per CPU-second", "peak memory, MiB");
    for bytes in BYTES {
        let (topic, records) = (format!("rillgate_bench_{bytes}_bytes"), VOLUME / bytes);
        generate::topic(cluster, &topic, PARTITIONS, records, |into, i, numbers| {
            write(into, i, numbers, bytes as usize)
        });
        let job = Job {
            topic,
            columns: r#"{ id = "utf8", value = "float64", text = "utf8" }"#.to_owned(),
            transform: format!("{{ plugin = '{}' }}", plugin.display()),
            sink: SINK.to_owned(),
            listen: "127.0.0.1:0".to_owned(),
        };
        let run = || {
            let (usage, place, _) = job.run(&job::product());
            check(&place, records);
            usage
        };
        let runs: Vec<Usage> = (0..RUNS).map(|_| run()).collect();
        let cpu = median(runs.iter().map(|usage| usage.cpu));
        let memory = median(runs.iter().map(|usage| usage.memory));
        let (per_cpu_second, megabytes) = (records as f64 / cpu, VOLUME as f64 / 1e6 / cpu);
        println!("{bytes:>8} {per_cpu_second:>24.0} {megabytes:>20.0} {memory:>18.0}");
        common::record(&format!("record_{bytes}_bytes_records_per_cpu_second"), per_cpu_second, "1/s");
        common::record(&format!("record_{bytes}_bytes_megabytes_per_cpu_second"), megabytes, "MB/s");
    }
}

/// Writes record `i`, `bytes` long.
fn write(into: &mut Vec<u8>, i: u64, numbers: &mut Numbers, bytes: usize) {
    into.clear();
    let value = 100.0 + numbers.unit() * 899.0;
    write!(into, r#"{{"id":"{i:010}","value":{value:.2},"text":""#).expect("memory takes all");
    let end = bytes - r#""}"#.len();
    while into.len() < end {
        into.extend_from_slice(WORDS[numbers.below(16) as usize].as_bytes());
        into.push(b' ');
    }
    into.truncate(end);
    into.extend_from_slice(br#""}"#);
}

fn check(place: &Place, records: u64) {
    let counts = Reader::open(place, TABLE, "parquet").row("select count(*), count(distinct id) from t");
    assert_eq!(counts, [records, records], "rows, different ids");
}
