//! What a run has seen, as a table: printed, and written into docs/reliability.md.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use support::proxy::Request;
use support::servers::clone;

use crate::counts::COUNTS;
use crate::faults::{FAULTS, Fault};
use crate::steps::Step;

const BEGIN: &str = "<!-- Written by `make chaos`. -->";
const END: &str = "<!-- Until here. -->";

/// What was seen at one kind of place.
#[derive(Debug, Default)]
pub struct Tally {
    pub sessions: u64,
    pub rounds: u64,
    pub faults: BTreeMap<Fault, u64>,
    /// Instances killed.
    pub kills: u64,
    /// Tasks of killed instances by where they were.
    pub steps: BTreeMap<Step, u64>,
    /// Instances killed or stopped at a request to the store, by its name and whether it was before it was done.
    pub requests: BTreeMap<(&'static str, bool), u64>,
    pub records: u64,
    pub rows: u64,
    pub files: u64,
    /// Rows of a record that another row has, at the end.
    pub doubles: u64,
    /// Records without a row, at the end.
    pub losses: u64,
    /// What the pipelines that count have come to, by their names.
    pub counts: BTreeMap<&'static str, Counted>,
    /// Whatever the readers that look all the time found wrong: doubles, counts that are too high or go back, files that change or
    /// go, names that don't belong.
    pub seen_wrong: u64,
    pub listings: u64,
    /// Files in tables that no COMMIT names.
    pub orphans: u64,
    /// Staged files that nobody has removed.
    pub left_over: u64,
    /// From the end of each fault until every partition had published again, and what the fault was.
    pub recoveries: Vec<(Duration, &'static str)>,
    pub time: Duration,
}

/// What a pipeline that counts has come to.
#[derive(Debug, Default)]
pub struct Counted {
    /// Records sent, those that come twice once.
    pub records: u64,
    /// Rows or records that a reader had of it.
    pub given_out: u64,
    /// By how much counts are too high at the end, all together.
    pub doubles: u64,
    /// By how much they are too low.
    pub losses: u64,
}

impl Tally {
    /// Whether nothing was wrong.
    pub fn is_clean(&self) -> bool {
        let counts: u64 = self.counts.values().map(|counted| counted.doubles + counted.losses).sum();
        self.doubles + self.losses + self.seen_wrong + self.orphans + counts == 0
    }

    fn longest(&self) -> (Duration, &'static str) {
        self.recoveries.iter().max().copied().unwrap_or((Duration::ZERO, "nothing"))
    }

    fn median(&self) -> Duration {
        let mut times: Vec<Duration> = self.recoveries.iter().map(|(time, _)| *time).collect();
        times.sort();
        times.get(times.len() / 2).copied().unwrap_or_default()
    }
}

/// The table of what was seen on local files and on S3.
pub fn table(files: &Tally, s3: &Tally, seed: u64) -> String {
    let mut text = format!("{}; seed {seed}.\n\n", machine());
    let mut rows = Rows { text: &mut text, files, s3 };
    rows.head("");
    rows.count("rounds", |tally| tally.rounds);
    rows.count("sessions: new topics, pipelines and a new place each", |tally| tally.sessions);
    rows.count("records sent", |tally| tally.records);
    rows.count("rows in the tables", |tally| tally.rows);
    rows.count("files", |tally| tally.files);
    rows.count("listings of a table by a reader", |tally| tally.listings);
    rows.count("**doubles**, and whatever else the readers saw wrong at any time", |tally| tally.seen_wrong);
    rows.count("**doubles** at the end", |tally| tally.doubles);
    rows.count("**losses** at the end", |tally| tally.losses);
    for (name, _, _) in COUNTS {
        let of = |tally: &Tally, field: fn(&Counted) -> u64| tally.counts.get(name).map_or(0, field);
        rows.count(&format!("{name}: records sent"), |tally| of(tally, |counted| counted.records));
        rows.count(&format!("{name}: given out"), |tally| of(tally, |counted| counted.given_out));
        rows.count(&format!("{name}: **doubles** at the end"), |tally| of(tally, |counted| counted.doubles));
        rows.count(&format!("{name}: **losses** at the end"), |tally| of(tally, |counted| counted.losses));
    }
    rows.count("orphans: files in tables that no COMMIT names", |tally| tally.orphans);
    rows.count("staged files left over", |tally| tally.left_over);
    rows.line("recovery, median", |tally| seconds(tally.median()));
    rows.line("recovery, longest", |tally| {
        let (time, after) = tally.longest();
        format!("{}, after: {after}", seconds(time))
    });
    rows.line("time", |tally| format!("{:.1} min", tally.time.as_secs_f64() / 60.0));
    rows.head("Faults, one a round");
    for (fault, name, _) in FAULTS {
        rows.count(name, |tally| tally.faults.get(&fault).copied().unwrap_or_default());
    }
    rows.head("Tasks killed, by step");
    for step in Step::ALL {
        rows.count(step.name(), |tally| tally.steps.get(&step).copied().unwrap_or_default());
    }
    rows.count("instances killed", |tally| tally.kills);
    rows.head("Instances killed or stopped at a request of theirs");
    let names: BTreeSet<&(&str, bool)> = files.requests.keys().chain(s3.requests.keys()).collect();
    for (name, before) in names {
        let moment = if *before { "before it was done" } else { "done, unanswered" };
        rows.count(&format!("{name}: {moment}"), |tally| {
            tally.requests.get(&(*name, *before)).copied().unwrap_or_default()
        });
    }
    text
}

/// What the host was doing, as the table says it.
pub fn request_name(request: Request) -> &'static str {
    match request {
        Request::Stage => "a staged file written",
        Request::State => "a file of a state written",
        Request::Entry => "a log entry created",
        Request::BeginCopy => "a copy to a final name begun",
        Request::Copy => "copied, not yet visible",
        Request::Publish => "a copy completed",
        Request::Remove => "staged files removed",
        Request::Event => "what became of a version kept",
        Request::Archive => "a plugin kept",
    }
}

struct Rows<'a> {
    text: &'a mut String,
    files: &'a Tally,
    s3: &'a Tally,
}

impl Rows<'_> {
    fn head(&mut self, title: &str) {
        let gap = if title.is_empty() { "" } else { "\n" };
        writeln!(self.text, "{gap}| {title} | local files | S3 |\n|---|---:|---:|").expect("text takes text");
    }

    fn line(&mut self, name: &str, of: impl Fn(&Tally) -> String) {
        writeln!(self.text, "| {name} | {} | {} |", of(self.files), of(self.s3)).expect("text takes text");
    }

    fn count(&mut self, name: &str, of: impl Fn(&Tally) -> u64) {
        self.line(name, |tally| of(tally).to_string());
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

/// Cores and memory, as Linux tells them.
fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let find = |text: String, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
        line.split_once(':').map_or(String::new(), |(_, value)| value.trim().to_owned())
    };
    let cpu = find(read("/proc/cpuinfo"), "model name");
    let memory = find(read("/proc/meminfo"), "MemTotal");
    let kib: u64 = memory.split(' ').next().unwrap_or_default().parse().unwrap_or_default();
    format!("{cores} cores ({cpu}), {} GiB, Linux", kib >> 20)
}

/// Puts the table into docs/reliability.md, in place of the one that is there.
pub fn write(table: &str) {
    let path = clone().join("docs/reliability.md");
    let text = std::fs::read_to_string(&path).expect("docs/reliability.md");
    let parted = text.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let (before, after) = parted.expect("docs/reliability.md has both markers");
    std::fs::write(&path, format!("{before}{BEGIN}\n{table}{END}{after}")).expect("docs/reliability.md can be written");
    println!("written into docs/reliability.md");
}
