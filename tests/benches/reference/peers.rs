//! The reference job beside what people write instead, in turns on the same topic: a job by hand with pyarrow, and Spark
//! Structured Streaming; and kcat, which only drains the topic. What comes out is checked.
//!
//! CPU time is that of the process and of all its children.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common;
use crate::generate;
use crate::job::{self, Job, TABLE, spread};
use crate::process::{self, Usage};
use crate::record::RECORDS;
use support::kafka::Cluster;
use support::servers::{clone, servers};
use support::store::Place;

/// Times that each is run.
const RUNS: usize = 3;
/// As many as the machine that the design speaks of has.
const SPARK_MASTER: &str = "local[2]";
const SPARK_MEMORY: &str = "4g";

/// Name, and how it is run once.
pub type Peer<'a> = (&'static str, Box<dyn Fn(&str) -> Usage + 'a>);

/// Runs each of them in turns and prints how many times as much rillgate does in the same time.
pub fn measure(cluster: &Cluster) {
    let topic = generate::reference(cluster);
    let spark = spark();
    let mut peers: Vec<Peer<'_>> = vec![
        ("rillgate", Box::new(rillgate)),
        ("pyarrow", Box::new(pyarrow)),
        ("spark", Box::new(|topic| spark_job(&spark, topic))),
    ];
    match Command::new("kcat").arg("-V").output() {
        Ok(_) => peers.push(("kcat", Box::new(kcat))),
        Err(_) => println!("kcat is not there, so it is left out (on Debian: apt-get install kcat)"),
    }
    run_in_turns(&peers, &topic, RECORDS, "");
}

/// Runs each of them in turns over this topic of so many records; rillgate is the first. The names of results have `job` behind
/// that of who did it.
pub fn run_in_turns(peers: &[Peer<'_>], topic: &str, records: u64, job: &str) {
    let mut runs: Vec<Vec<Usage>> = vec![Vec::new(); peers.len()];
    for run in 1..=RUNS {
        for ((name, once), runs) in peers.iter().zip(&mut runs) {
            let usage = once(topic);
            let Usage { wall, cpu, memory } = usage;
            println!("run {run}: {wall:.2} s wall, {cpu:.2} s CPU, {memory:.0} MiB  {name}");
            runs.push(usage);
        }
    }
    let mut figures = Vec::new();
    for ((name, _), runs) in peers.iter().zip(&runs) {
        println!("\n{name}: min, median, max");
        let per_cpu_second = spread("records per CPU-second", runs, |usage| records as f64 / usage.cpu);
        let per_second = spread("records per second", runs, |usage| records as f64 / usage.wall);
        let memory = spread("peak memory, MiB", runs, |usage| usage.memory);
        let result = if *name == "rillgate" { "beside_peers" } else { name };
        common::record(&format!("{result}{job}_records_per_cpu_second"), per_cpu_second, "1/s");
        common::record(&format!("{result}{job}_records_per_second"), per_second, "1/s");
        common::record(&format!("{result}{job}_peak_memory"), memory, "MiB");
        figures.push((*name, per_cpu_second, per_second));
    }
    println!("\nrillgate does this many times as many records as:  in a CPU-second, in a second");
    let (_, our_cpu, our_wall) = figures[0];
    for (name, cpu, wall) in figures.into_iter().skip(1) {
        println!("{name:<8} {:>8.2} {:>8.2}", our_cpu / cpu, our_wall / wall);
        common::record(&format!("rillgate_over_{name}{job}_per_cpu_second"), our_cpu / cpu, "ratio");
        common::record(&format!("rillgate_over_{name}{job}_per_second"), our_wall / wall, "ratio");
    }
}

fn rillgate(topic: &str) -> Usage {
    let (usage, place, _) = Job::reference(topic, "all").run(&job::product());
    job::check(&place, RECORDS, false);
    usage
}

fn pyarrow(topic: &str) -> Usage {
    let (place, folder) = table(TABLE);
    let mut command = Command::new(&servers().python);
    command.arg(script("arrow_job.py")).arg(&servers().kafka).arg(topic).arg(RECORDS.to_string());
    command.arg(folder.join("out.parquet"));
    let usage = process::measure(&mut command, &folder.with_extension("log"));
    job::check(&place, RECORDS, false);
    usage
}

fn spark_job(spark: &Spark, topic: &str) -> Usage {
    let (place, folder) = table(TABLE);
    let checkpoint = tempfile::tempdir().expect("a folder");
    let mut command = spark.submit("spark_job.py");
    command.arg(&servers().kafka).arg(topic).arg(&folder).arg(checkpoint.path());
    let usage = process::measure(&mut command, &checkpoint.path().with_extension("log"));
    job::check(&place, RECORDS, false);
    usage
}

/// Spark as it is installed.
pub struct Spark {
    python: PathBuf,
    pyspark: PathBuf,
    /// The jars of its Kafka source, with commas between them.
    jars: String,
}

/// Finds it.
pub fn spark() -> Spark {
    // The cache that has the servers has Spark beside them.
    let home = servers().python.ancestors().nth(3).expect("<cache>/python/bin/python").join("spark");
    assert!(home.join("complete").is_file(), "Spark is missing: run tests/servers/install spark, or make bench-peers");
    let python = home.join("bin/python");
    let found = Command::new(&python).args(["-c", "import pyspark; print(pyspark.__path__[0])"]).output();
    let found = String::from_utf8(found.expect("a Python").stdout).expect("a path that is text");
    let jars = fs::read_dir(home.join("kafka-jars")).expect("jars").map(|entry| entry.expect("a jar").path());
    let jars: Vec<String> = jars.map(|jar| jar.display().to_string()).collect();
    Spark { python, pyspark: PathBuf::from(found.trim()), jars: jars.join(",") }
}

impl Spark {
    /// A job's command, by its own launcher, which the virtual machine replaces and which has Python as its child.
    pub fn submit(&self, job: &str) -> Command {
        let mut command = Command::new(self.pyspark.join("bin/spark-submit"));
        command.env("SPARK_HOME", &self.pyspark).env("SPARK_LOCAL_IP", "127.0.0.1");
        command.env("PYSPARK_PYTHON", &self.python).env("PYSPARK_DRIVER_PYTHON", &self.python);
        command.args(["--master", SPARK_MASTER, "--driver-memory", SPARK_MEMORY, "--jars", &self.jars]);
        let settings = [
            "spark.ui.enabled=false",
            "spark.driver.bindAddress=127.0.0.1",
            "spark.sql.session.timeZone=UTC",
            "spark.sql.shuffle.partitions=2",
            "spark.sql.parquet.compression.codec=zstd",
            "spark.hadoop.parquet.compression.codec.zstd.level=1",
        ];
        for setting in settings {
            command.args(["--conf", setting]);
        }
        command.arg(script(job));
        command
    }
}

fn kcat(topic: &str) -> Usage {
    let mut command = Command::new("kcat");
    command.args(["-C", "-e", "-q", "-b", &servers().kafka, "-t", topic, "-o", "beginning"]);
    let log = tempfile::NamedTempFile::new().expect("a file");
    process::measure(&mut command, log.path())
}

/// A place, and the folder of this table in it.
pub fn table(table: &str) -> (Place, PathBuf) {
    let place = Place::local();
    let Place::Local(root) = &place else { unreachable!("made above") };
    let folder = root.path().join(table);
    fs::create_dir_all(&folder).expect("a folder");
    (place, folder)
}

/// A peer's script.
pub fn script(name: &str) -> PathBuf {
    Path::new(clone()).join("tests/benches/peers").join(name)
}
