//! What a state costs by the keys in it: a commit that changes as many of them each time, memory, and a start with it. A commit must
//! cost by what has changed, not by what is there.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::Int64Type;
use rillgate::batch::{Field, Rejection, Schema, SchemaRef, data_type};
use rillgate::commit::{Commit, LogOptions, StateChange, Store, StoreOptions, TaskLog, folder};
use rillgate::state;
use rillgate::window::{Aggregation, Deltas, Emit, Fold, WindowOptions};

use crate::common::{self, Numbers};
use crate::job::{self, median};
use crate::process::{self, Process};
use support::kafka::{Cluster, Record};
use support::reader::Reader;
use support::servers::{clone, servers, unique};
use support::store::{Place, runtime};

/// Keys in the state.
const KEYS: [u64; 4] = [1_000, 10_000, 100_000, 1_000_000];
/// Rows of an epoch, each of a key drawn anew.
const CHANGED: u64 = 1_000;
/// Commits that are measured: enough for all that is merged now and then.
const COMMITS: u64 = 1_000;
/// Times that a host is started.
const STARTS: usize = 5;
const TABLE: &str = "counts";
/// How often a table is listed, and how long a start may take.
const LOOK: Duration = Duration::from_millis(2);
const BOUND: Duration = Duration::from_secs(60);

/// Each number of keys for itself.
pub fn measure(cluster: &Cluster) {
    println!(
        "{COMMITS} commits of {CHANGED} changed keys: bytes of state and ms each, ms of CPU, most files; then a host with"
    );
    println!("that state: MiB at rest, ms from its start to its first record in a file, of {STARTS} starts");
    for keys in KEYS {
        let Commits { bytes, wall_ms, cpu_ms, files } = commits(keys);
        print!("{keys:>9} keys {bytes:>8.0} bytes {wall_ms:>7.2} ms {cpu_ms:>7.2} ms CPU {files:>3} files");
        let (memory, start_ms) = host(cluster, keys);
        println!(" {memory:>8.1} MiB {start_ms:>7.0} ms");
        common::record(&format!("state_{keys}_keys_commit_bytes"), bytes, "bytes");
        common::record(&format!("state_{keys}_keys_commit_ms"), wall_ms, "ms");
        common::record(&format!("state_{keys}_keys_commit_cpu_ms"), cpu_ms, "ms");
        common::record(&format!("state_{keys}_keys_memory"), memory, "MiB");
        common::record(&format!("state_{keys}_keys_start_ms"), start_ms, "ms");
    }
}

/// What a commit took, on the average.
struct Commits {
    bytes: f64,
    wall_ms: f64,
    cpu_ms: f64,
    /// The most there were at once.
    files: usize,
}

/// Counts rows.
struct Counts(SchemaRef);

impl Counts {
    fn states(&self, counts: impl IntoIterator<Item = i64>) -> RecordBatch {
        let counts: ArrayRef = Arc::new(Int64Array::from_iter_values(counts));
        RecordBatch::try_new(Arc::clone(&self.0), vec![counts]).expect("a column of its type")
    }
}

fn counts(states: &RecordBatch) -> &[i64] {
    use arrow::array::AsArray;
    states.column(0).as_primitive::<Int64Type>().values()
}

impl Fold for Counts {
    type Error = ();

    fn update(
        &mut self,
        _: &RecordBatch,
        group_of_row: &[u32],
        group_count: u32,
        states: &RecordBatch,
    ) -> Result<(RecordBatch, Vec<Rejection>), ()> {
        let mut counts = counts(states).to_vec();
        counts.resize(group_count as usize, 0);
        group_of_row.iter().for_each(|&group| counts[group as usize] += 1);
        Ok((self.states(counts), Vec::new()))
    }

    fn merge(&mut self, left: &RecordBatch, right: &RecordBatch) -> Result<RecordBatch, ()> {
        Ok(self.states(counts(left).iter().zip(counts(right)).map(|(left, right)| left + right)))
    }

    fn finish(&mut self, groups: &RecordBatch, _: &RecordBatch) -> Result<RecordBatch, ()> {
        Ok(groups.clone())
    }
}

/// A column of numbers.
fn numbers(name: &str) -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new(name, data_type("int64").expect("a column type"), false)]))
}

/// Fills a state and commits it, on local files: the code of a task, without what it writes beside the state.
fn commits(keys: u64) -> Commits {
    let place = Place::local();
    let Place::Local(root) = &place else { unreachable!("made above") };
    let url = root.path().display().to_string();
    let store = Store::open(&StoreOptions { url, control: None, options: Default::default() }).expect("a store");
    let options = LogOptions::new(Duration::from_secs(3600 * 24), true);
    let claim = TaskLog::claim(store, folder("bench", "topic", 0), "bench".to_owned(), options, |_| async { Ok(0) });
    let mut log = runtime().block_on(claim).expect("a log of our own");

    let (input, mut fold) = (numbers("key"), Counts(numbers("count")));
    let options = WindowOptions {
        key: vec!["key".to_owned()],
        time: None,
        window: None,
        delay_us: 0,
        allowed_lateness_us: 0,
        emit: Emit::Change,
        dedup: Vec::new(),
    };
    let mut aggregation = Aggregation::new(&options, &input, &fold.0.clone()).expect("columns that are there");
    let (mut known, mut most_files) = (BTreeSet::new(), 0);
    let mut commit = |aggregation: &mut Aggregation, fold: &mut Counts, epoch: i64| {
        aggregation.finish(fold).expect("counts don't fail");
        let Deltas { watermark_us, groups, .. } = aggregation.cut().expect("what changed");
        let changes = groups.map(|delta| {
            let file = delta.file.map(|rows| {
                let content = state::encode(&rows, "bench").expect("a file");
                (content, rows.num_rows() as u64)
            });
            StateChange { table: "groups", kept: delta.kept, file }
        });
        let written = runtime().block_on(async {
            let state = log.keep_state(watermark_us, changes.into_iter().collect()).await.expect("files written");
            let files = state.files.clone();
            let commit = Commit { start: epoch, end: epoch + 1, state: Some(state), ..Commit::default() };
            log.commit(commit, |_| {}).await.expect("an epoch committed");
            files
        });
        most_files = written.len().max(most_files);
        written.into_iter().filter(|file| known.insert(file.path.clone())).map(|file| file.bytes).sum::<u64>()
    };
    let rows = |aggregation: &mut Aggregation, fold: &mut Counts, keys: &mut dyn Iterator<Item = i64>| {
        let keys: ArrayRef = Arc::new(Int64Array::from_iter_values(keys));
        let rows = RecordBatch::try_new(Arc::clone(&input), vec![keys]).expect("a column of its type");
        aggregation.fold(&rows, fold).expect("counts don't fail");
    };
    rows(&mut aggregation, &mut fold, &mut (0..keys as i64));
    commit(&mut aggregation, &mut fold, 0);
    let mut random = Numbers(keys);
    let (mut bytes, mut wall, mut cpu) = (0, Duration::ZERO, 0.0);
    for epoch in 1..=COMMITS {
        rows(&mut aggregation, &mut fold, &mut (0..CHANGED).map(|_| random.below(keys) as i64));
        let (begin, cpu_before) = (Instant::now(), process::own_cpu());
        bytes += commit(&mut aggregation, &mut fold, epoch as i64);
        wall += begin.elapsed();
        cpu += process::own_cpu() - cpu_before;
    }
    let each = |total: f64| total / COMMITS as f64;
    Commits {
        bytes: each(bytes as f64),
        wall_ms: each(wall.as_secs_f64() * 1e3),
        cpu_ms: each(cpu * 1e3),
        files: most_files,
    }
}

/// A host with so many keys: memory at rest, MiB, and milliseconds from its start to the first record in a file.
fn host(cluster: &Cluster, keys: u64) -> (f64, f64) {
    let (topic, place) = (unique("bench_state"), Place::local());
    cluster.create_topic(&topic, 1, &[]);
    let send = |keys: &mut dyn Iterator<Item = u64>| {
        let producer = cluster.producer();
        for key in keys {
            let value = format!(r#"{{"station_id":{key}}}"#);
            producer.send(&topic, &Record { partition: Some(0), value: Some(value.as_bytes()), ..Record::default() });
        }
        producer.flush();
    };
    let plugin = clone().join("plugins/cta_summary.wasm");
    assert!(plugin.is_file(), "{} is missing: run `make build`", plugin.display());
    let toml = format!(
        r#"[kafka]
"bootstrap.servers" = "{kafka}"
{store}
[http]
listen = "127.0.0.1:0"

[pipeline.{topic}]
topic = "{topic}"
decode = {{ format = "json" }}
columns = {{ station_id = {{ type = "int32", nullable = false }} }}
aggregate = {{ plugin = '{plugin}', key = ["station_id"], exchange = "none" }}
sink = {{ table = "{TABLE}", format = "parquet", every = "100ms" }}
"#,
        kafka = servers().kafka,
        store = place.toml(),
        plugin = plugin.display(),
    );
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("pipelines.toml");
    std::fs::write(&config, toml).expect("a file written");
    let command = |more: &[&str]| {
        let mut command = Command::new(job::product());
        command.arg("run").args(more).arg("--config").arg(&config);
        command
    };
    let log = config.with_extension("log");
    send(&mut (0..keys));
    process::measure(&mut command(&["--until-caught-up"]), &log);

    let (mut memory, mut starts) = (Vec::new(), Vec::new());
    for start in 0..STARTS {
        send(&mut (0..1));
        let files = place.list(TABLE).len();
        let begin = Instant::now();
        let mut host = Process::start(&mut command(&[]), &log);
        while place.list(TABLE).len() == files {
            host.expect_running();
            assert!(begin.elapsed() < BOUND, "start {start}: nothing came; it wrote:\n{}", host.written());
            std::thread::sleep(LOOK);
        }
        starts.push(begin.elapsed().as_secs_f64() * 1e3);
        memory.push(host.memory_at_rest());
        host.stop();
    }
    let last = Reader::open(&place, TABLE, "parquet").row("select count(distinct station_id), max(count) from t");
    assert_eq!(last, [keys, 1 + STARTS as u64], "keys, and how often the first of them came");
    (median(memory), median(starts))
}
