//! One run of `rillgate` over a topic, as users run it: the command from its start to its end.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{self, Usage};
use crate::record::{COLUMNS, DIRTY, DIRTY_AT};
use support::reader::Reader;
use support::servers::{clone, servers, target, unique};
use support::store::Place;

/// The table that all jobs write.
pub const TABLE: &str = "railway_station/passenger_flow";
/// Into Parquet, with one commit at the end of all but very long runs.
pub const SINK: &str = r#"format = "parquet", every = "60s""#;

/// What a pipeline does.
#[derive(Debug, Clone)]
pub struct Job {
    /// The topic.
    pub topic: String,
    /// `columns`, as it stands in pipelines.toml.
    pub columns: String,
    /// Between the brackets of `transform`.
    pub transform: String,
    /// `sink`, but for the table.
    pub sink: String,
    /// `host:port` of the HTTP side.
    pub listen: String,
}

impl Job {
    /// The reference job over this topic, with `require = ...` for the railway's plugin.
    pub fn reference(topic: &str, require: &str) -> Self {
        let plugin = clone().join("plugins/railway.wasm");
        assert!(plugin.is_file(), "{} is missing: run `make build`", plugin.display());
        let (plugin, settings) = (plugin.display(), format!(r#"topic = "passenger_flow", require = "{require}""#));
        let columns = COLUMNS.map(|(name, kind)| format!(r#"{name} = "{kind}""#)).join(", ");
        Self {
            topic: topic.to_owned(),
            columns: format!("{{ {columns} }}"),
            transform: format!("{{ plugin = '{plugin}', settings = {{ {settings} }} }}"),
            sink: SINK.to_owned(),
            listen: "127.0.0.1:0".to_owned(),
        }
    }

    /// Writes its pipelines.toml, with a pipeline that never ran.
    pub fn config(&self, place: &Place) -> Config {
        let Self { topic, columns, transform, sink, listen } = self;
        let toml = format!(
            r#"[kafka]
"bootstrap.servers" = "{kafka}"
{store}
[http]
listen = "{listen}"

[pipeline.{name}]
topic = "{topic}"
decode = {{ format = "json" }}
columns = {columns}
transform = [{transform}]
sink = {{ table = "{TABLE}", {sink} }}
"#,
            kafka = servers().kafka,
            store = place.toml(),
            // A group of its own: nothing is left of an earlier run.
            name = unique("bench"),
        );
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("pipelines.toml"), toml).expect("a file written");
        Config { folder }
    }

    /// Runs it into a new folder until it has caught up, and gives what it took, the folder, and what it wrote to stderr.
    pub fn run(&self, binary: &Path) -> (Usage, Place, String) {
        let place = Place::local();
        let config = self.config(&place);
        let mut command = Command::new(binary);
        command.args(["run", "--until-caught-up", "--config"]).arg(config.path());
        let log = config.path().with_extension("log");
        let usage = process::measure(&mut command, &log);
        (usage, place, std::fs::read_to_string(log).unwrap_or_default())
    }
}

/// A pipelines.toml in a folder of its own, which goes with it.
pub struct Config {
    folder: tempfile::TempDir,
}

impl Config {
    /// The file.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("pipelines.toml")
    }
}

/// The command that users have.
pub fn product() -> PathBuf {
    target().join("release/rillgate")
}

/// Panics unless the table holds the first `records` records, each once, the dirty ones with them only where `dirty` says so.
pub fn check(place: &Place, records: u64, dirty: bool) {
    let number = "cast(substr(id, 4) as bigint)";
    let counts = Reader::open(place, TABLE, "parquet")
        .row(&format!("select count(*), count(distinct id), count(*) filter ({number} % {DIRTY} = {DIRTY_AT}) from t"));
    let count = (records + DIRTY - 1 - DIRTY_AT) / DIRTY;
    let (rows, dirty) = if dirty { (records, count) } else { (records - count, 0) };
    assert_eq!(counts, [rows, rows, dirty], "rows, different ids, dirty rows");
}

/// The middle one of a few.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Prints the least, the median and the most of it; returns the median.
pub fn spread(name: &str, runs: &[Usage], of: impl Fn(&Usage) -> f64) -> f64 {
    let values = || runs.iter().map(&of);
    let (least, most) = (values().fold(f64::MAX, f64::min), values().fold(f64::MIN, f64::max));
    let median = median(values());
    println!("{name:<24} {least:>12.0} {median:>12.0} {most:>12.0}");
    median
}
