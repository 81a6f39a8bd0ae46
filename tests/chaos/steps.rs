//! At which step of the commit protocol a killed process was with each of its tasks: told from what it left behind in the
//! store, as anyone can list it.

use std::collections::BTreeMap;

use serde_json::Value;
use support::store::Place;

/// Where a task was when its process died.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Its partition was assigned; no entry of the log is its own.
    BeforeClaim,
    /// Its CLAIM is the newest entry, and nothing is staged.
    AfterClaim,
    /// A staged file is there in part (on local files, where that can be seen).
    Uploading,
    /// Files are staged; the newest entry is its CLAIM, or a COMMIT that is published and tidied up.
    Staged,
    /// Its COMMIT is the newest entry, and none of its files is published.
    Decided,
    /// Its COMMIT is the newest entry, and some of its files are published.
    BetweenFiles,
    /// All files of its COMMIT are published; what it had staged for it is still there.
    Published,
    /// All is published and tidied up, and nothing new is staged.
    BetweenEpochs,
}

impl Step {
    /// All of them, in the order of the protocol.
    pub const ALL: [Self; 8] = [
        Self::BeforeClaim,
        Self::AfterClaim,
        Self::Uploading,
        Self::Staged,
        Self::Decided,
        Self::BetweenFiles,
        Self::Published,
        Self::BetweenEpochs,
    ];

    /// As the table says it.
    pub fn name(self) -> &'static str {
        match self {
            Self::BeforeClaim => "assigned, not claimed",
            Self::AfterClaim => "after the CLAIM, nothing staged",
            Self::Uploading => "in mid-upload",
            Self::Staged => "staged, undecided",
            Self::Decided => "decided, nothing published",
            Self::BetweenFiles => "between two files",
            Self::Published => "published, before the offset commit or while tidying up",
            Self::BetweenEpochs => "between two epochs",
        }
    }
}

/// The tasks that a host has of a topic by what it has written to its log: partition, and the attempt if it has claimed it.
pub fn tasks(output: &str, topic: &str) -> BTreeMap<i32, Option<String>> {
    let number = |partition: &str| partition.strip_prefix(topic)?.strip_prefix('/')?.parse::<i32>().ok();
    let mut tasks = BTreeMap::new();
    for line in output.lines() {
        let listed = || field(line, "partitions").unwrap_or_default().split(' ').filter_map(number);
        if line.contains(" assigned partitions=") {
            listed().for_each(|partition| drop(tasks.insert(partition, None)));
        } else if line.contains(" revoked partitions=") {
            listed().for_each(|partition| drop(tasks.remove(&partition)));
        } else if line.contains(" claimed pipeline=")
            && let Some(partition) = field(line, "partition").and_then(number)
        {
            tasks.insert(partition, field(line, "attempt").map(str::to_owned));
        }
    }
    tasks
}

/// The consumer group, if a line of the log says that partitions of it were given to the host.
pub fn assigned_group(line: &str) -> Option<&str> {
    field(line, "group").filter(|_| line.contains(" assigned partitions="))
}

/// The value of a field in a line of the log, without quotes.
fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(&format!(" {name}="))?;
    match rest.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next(),
        None => rest.split(' ').next(),
    }
}

/// Where each of these tasks of a pipeline is, as the store shows it. The pipeline is called as its topic.
pub fn steps(place: &Place, topic: &str, table: &str, tasks: &BTreeMap<i32, Option<String>>) -> Vec<Step> {
    let folder = format!("_rillgate/{topic}/{topic}");
    let control: Vec<String> = place.list(&folder).into_keys().collect();
    let published = place.list(table);
    let step = |(partition, attempt): (&i32, &Option<String>)| {
        let task = Task { place, folder: format!("{folder}/{partition}/"), control: &control };
        let attempt = attempt.as_deref();
        attempt.map_or(Step::BeforeClaim, |attempt| task.step(attempt, |path| published.contains_key(path)))
    };
    tasks.iter().map(step).collect()
}

/// What is in the store of one task.
struct Task<'a> {
    place: &'a Place,
    /// Its control folder, with a slash at the end.
    folder: String,
    /// Every control file of the pipeline.
    control: &'a [String],
}

impl Task<'_> {
    fn step(&self, attempt: &str, is_published: impl Fn(&str) -> bool) -> Step {
        let entries = self.below("log/").filter(|name| name.ends_with(".json"));
        let Some(entry) = entries.max().and_then(|name| self.read(&format!("log/{name}"))) else {
            return Step::BeforeClaim;
        };
        if entry["attempt"] != attempt {
            return Step::BeforeClaim;
        }
        let own: Vec<&str> = self.below(&format!("stage/{attempt}/")).collect();
        let Some(files) = entry["files"].as_array() else {
            return Self::undecided(&own, Step::AfterClaim);
        };
        let text = |file: &Value, name: &str| file[name].as_str().unwrap_or_default().to_owned();
        let there = files.iter().filter(|file| is_published(&text(file, "path"))).count();
        let is_staged = |file: &Value| {
            let staged = text(file, "staged");
            own.iter().any(|name| staged.rsplit('/').next() == Some(name))
        };
        match there {
            0 if !files.is_empty() => Step::Decided,
            some if some < files.len() => Step::BetweenFiles,
            _ if files.iter().any(is_staged) => Step::Published,
            _ => Self::undecided(&own, Step::BetweenEpochs),
        }
    }

    /// The step of a task that has these files staged for an epoch to come, or `none`.
    fn undecided(own: &[&str], none: Step) -> Step {
        // A local file is written beside its name, which it gets when it is whole.
        match own {
            [] => none,
            names if names.iter().any(|name| name.contains('#')) => Step::Uploading,
            _ => Step::Staged,
        }
    }

    /// Names below a folder of the task's.
    fn below<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        let prefix = format!("{}{name}", self.folder);
        self.control.iter().filter_map(move |path| path.strip_prefix(&prefix))
    }

    fn read(&self, name: &str) -> Option<Value> {
        let bytes = self.place.read(&format!("{}{name}", self.folder))?;
        serde_json::from_slice(&bytes).ok()
    }
}
