//! Versions of a plugin whose rows tell which of them made them, the pipeline that they are swapped in, and what must be true of its table.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::guests::guest;
use support::flow::{CATCH_UP, Producing};
use support::host::{Config, Host};
use support::kafka::{Cluster, Record};
use support::reader::Reader;
use support::servers::unique;
use support::store::Place;
use support::wait::{seconds, until};

pub const PARTITIONS: u64 = 6;
pub const TABLE: &str = "tables/numbers";
/// Version `v` adds this many times `v` to each `n`.
pub const STEP: u64 = 1_000_000_000;
/// Records in a burst, 50 times a second.
pub const BURST: u64 = 300;
/// Records that are there before the host starts: more of each partition than librdkafka fetches ahead.
pub const BACKLOG: u64 = PARTITIONS * 150_000;

/// A topic of records `{"n": <i>, "id": "r<i>"}`, and a pipeline through the plugin in a file that changes.
pub struct Numbers {
    pub topic: String,
    pub plugin: PathBuf,
    pub config: Config,
    pub place: Place,
    _folder: TempDir,
}

/// Version `v`, which does this beside.
pub fn version_that(v: u64, code: &str, in_apply: &str) -> Vec<u8> {
    version_with(v, code, "", in_apply, "")
}

/// The same with more places at which it does something.
pub fn version_with(v: u64, code: &str, in_open: &str, in_apply: &str, after_apply: &str) -> Vec<u8> {
    let code = code.to_owned() + &guest::identity(in_open, &adding(v, in_apply), after_apply);
    guest::Guest { code: &code, ..guest::Guest::default() }.build()
}

/// What version `v` does to rows, after this.
pub fn adding(v: u64, in_apply: &str) -> String {
    format!(
        "(local $row i32) (local $at i32) (local $i i32)
         {in_apply}
         (block $done (loop $next
           (br_if $done (i32.eq (local.get $row) (local.get $rows)))
           (local.set $at (i32.add (i32.load offset=4 (local.get $columns)) (i32.mul (local.get $row) (i32.const 8))))
           (i64.store (local.get $at) (i64.add (i64.load (local.get $at)) (i64.const {})))
           (local.set $row (i32.add (local.get $row) (i32.const 1)))
           (br $next)))",
        v * STEP
    )
}

pub fn version(v: u64) -> Vec<u8> {
    version_that(v, "", "")
}

pub fn digest(plugin: &[u8]) -> String {
    Sha256::digest(plugin).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// How a plugin's file comes to hold something else.
#[derive(Clone, Copy)]
pub enum Write {
    /// By another file that takes its name.
    Rename,
    /// Bit by bit.
    InPlace,
}

impl Numbers {
    /// `swap` is the option of that name, as it stands.
    pub fn new(place: Place, swap: &str) -> Self {
        Self::of(unique("swaps"), place, swap, true)
    }

    /// Another configuration of the same pipeline, with a plugin's file of its own.
    pub fn beside(&self, swap: &str) -> Self {
        Self::of(self.topic.clone(), self.place.clone(), swap, false)
    }

    pub fn of(topic: String, place: Place, swap: &str, is_new: bool) -> Self {
        let folder = tempfile::Builder::new().prefix("rillgate-swaps-").tempdir().unwrap();
        let plugin = folder.path().join("numbers.wasm");
        if is_new {
            Cluster::shared().create_topic(&topic, PARTITIONS as i32, &[]);
        }
        let pipeline = format!(
            "[pipeline.{topic}]\ntopic = \"{topic}\"\ndecode = {{ format = \"json\" }}\n\
             columns = {{ n = {{ type = \"int64\", nullable = false }}, id = {{ type = \"utf8\", nullable = false }} }}\n\
             transform = [{{ plugin = '{}', limits = {{ memory = \"16MiB\", time = \"500ms\" }} }}]\nswap = {swap}\n\
             sink = {{ table = \"{TABLE}\", every = \"1s\" }}\n",
            plugin.display()
        );
        let config = Config::new(&Cluster::shared(), &place, &pipeline);
        let numbers = Self { topic, plugin, config, place, _folder: folder };
        numbers.write(&version(0), Write::InPlace);
        numbers
    }

    pub fn write(&self, plugin: &[u8], how: Write) {
        match how {
            Write::InPlace => std::fs::write(&self.plugin, plugin).unwrap(),
            Write::Rename => {
                let other = self.plugin.with_extension("new");
                std::fs::write(&other, plugin).unwrap();
                std::fs::rename(&other, &self.plugin).unwrap();
            }
        }
    }

    /// Has a host that starts now commit so often.
    pub fn every(&self, time: &str) {
        let config = std::fs::read_to_string(self.config.path()).unwrap();
        let (before, rest) = config.split_once("every = \"").unwrap();
        let (_, after) = rest.split_once('"').unwrap();
        std::fs::write(self.config.path(), format!("{before}every = \"{time}\"{after}")).unwrap();
    }

    /// Sends records until it is told to finish.
    pub fn sending(&self) -> Producing {
        self.sending_after(0)
    }

    /// The same once so many are there: returns when they are.
    pub fn sending_after(&self, backlog: u64) -> Producing {
        let topic = self.topic.clone();
        Producing::at_pace(backlog, BURST, Cluster::shared().producer(), move |producer, records| {
            for i in records {
                let value = format!(r#"{{"n":{i},"id":"r{i}"}}"#).into_bytes();
                let partition = Some((i % PARTITIONS) as i32);
                producer.send(&topic, &Record { partition, value: Some(&value), ..Record::default() });
            }
        })
    }

    /// What the host says of the pipeline's versions.
    pub fn versions(&self, host: &Host) -> Value {
        let (status, answer) = host.ask("GET", &format!("/api/v1/pipelines/{}/versions", self.topic), &[]);
        assert_eq!(status, 200, "{answer}");
        serde_json::from_str(&answer).unwrap()
    }

    pub fn expect_live(&self, host: &mut Host, plugin: &[u8]) {
        let digest = digest(plugin);
        until(seconds(60), "the version to go live", || {
            host.expect_running();
            (self.versions(host)["live"][0] == digest.as_str()).then_some(())
        });
    }

    /// The last thing that is said of a plugin, once it is one of these.
    pub fn expect_outcome(&self, host: &mut Host, plugin: &[u8], outcome: &str) -> String {
        let digest = digest(plugin);
        until(seconds(60), &format!("a version that is {outcome}"), || {
            host.expect_running();
            let versions = self.versions(host);
            let of = |event: &&Value| event["plugins"][0] == digest.as_str();
            let last = versions["events"].as_array()?.iter().rfind(of)?;
            (last["outcome"] == outcome).then(|| last["reason"].as_str().unwrap_or_default().to_owned())
        })
    }

    pub fn post(&self, host: &Host, path: &str, body: &[u8]) -> (u16, String) {
        host.ask("POST", &format!("/api/v1/pipelines/{}/{path}", self.topic), body)
    }

    /// Returns when files of rows that version `v` made are there.
    pub fn expect_rows_of(&self, host: &mut Host, plugin: &[u8]) {
        let digest = digest(plugin);
        until(seconds(60), "a commit of that version", || {
            host.expect_running();
            self.newest(2).iter().any(|commit| commit["plugins"][0] == digest.as_str()).then_some(())
        });
    }

    /// All COMMITs.
    pub fn commits(&self) -> Vec<Value> {
        self.newest(usize::MAX)
    }

    /// Those among the last so many entries of each log: reading all again and again takes longer with each version.
    pub fn newest(&self, count: usize) -> Vec<Value> {
        let all = self.place.list(&format!("_rillgate/{}", self.topic));
        let mut logs: BTreeMap<&str, Vec<&String>> = BTreeMap::new();
        for path in all.keys().filter(|path| path.ends_with(".json")) {
            if let Some((folder, _)) = path.split_once("/log/") {
                logs.entry(folder).or_default().push(path);
            }
        }
        let logs = logs.values().flat_map(|paths| &paths[paths.len().saturating_sub(count)..]);
        let entries = logs.filter_map(|path| serde_json::from_slice::<Value>(&self.place.read(path)?).ok());
        entries.filter(|entry| entry["kind"] == "commit").collect()
    }

    /// Records `0..count`, each once, and each row by the version that its COMMIT names.
    pub fn expect_exactly_once(&self, count: u64, versions: &BTreeMap<String, u64>) {
        self.config.catch_up(CATCH_UP);
        self.config.verify();
        let mut table = Reader::open(&self.place, TABLE, "parquet");
        let row = table.row(&format!(
            "select count(*), count(distinct n % {STEP}), min(n % {STEP}), max(n % {STEP}), bool_and(id = 'r' || (n % {STEP})) from t"
        ));
        assert_eq!(Value::from(row), serde_json::json!([count, count, 0, count - 1, true]));
        let by_file = table.rows(&format!(
            "select split_part(filename, '/', -1), min(n // {STEP}), max(n // {STEP}) from t group by 1"
        ));
        let by_file: BTreeMap<String, (u64, u64)> = by_file
            .iter()
            .map(|row| (row[0].as_str().unwrap().to_owned(), (row[1].as_u64().unwrap(), row[2].as_u64().unwrap())))
            .collect();
        let mut files = 0;
        for commit in self.commits() {
            let version = versions[commit["plugins"][0].as_str().unwrap()];
            for file in commit["files"].as_array().unwrap() {
                let name = Path::new(file["path"].as_str().unwrap()).file_name().unwrap().to_str().unwrap();
                assert_eq!(
                    by_file.get(name),
                    Some(&(version, version)),
                    "{name}, which a COMMIT says is of version {version}"
                );
                files += 1;
            }
        }
        assert_eq!(files, by_file.len(), "files that no COMMIT names");
    }
}
