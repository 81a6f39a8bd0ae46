//! A pipeline that transforms, pipelines that count, up to three instances and some twenty faults, one after the other; at the end
//! everything heals, the pipelines catch up, and what readers see is held against what was sent.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use support::flow::{CATCH_UP, Flow, Producing, TABLE, kept};
use support::host::{Config, Host};
use support::kafka::Cluster;
use support::store::Place;
use support::wait::{seconds, until};
use support::watch::{Watch, data_file_name};

use crate::INSTANCES;
use crate::counts::{COUNTS, Count, Form, Reading, compare};
use crate::entries::Counts;
use crate::faults::{FAULTS, Fault};
use crate::lab::{Lab, slow};
use crate::report::Tally;
use crate::steps::{assigned_group, tasks};

const PARTITIONS: usize = 4;
/// How often an epoch is decided at the most.
const EVERY: &str = "500ms";
/// The same of the pipelines that count: twenty tasks commit, beside Kafka and the store on the same machine.
const COUNTS_EVERY: &str = "1500ms";
/// Records sent at once, some times a second.
const BURST: u64 = 400;
/// The same of each pipeline that counts.
const ENTRIES: u64 = 100;
/// Milliseconds from one record's time to the next one's, so that an epoch spans a day or two, and has as many files.
const STEP_MS: u64 = 60_000;
/// How long all partitions may take to publish again.
const RECOVERY: Duration = Duration::from_secs(90);

/// What goes on in a session.
pub struct Session<'a> {
    pub lab: &'a Lab,
    pub flow: Flow,
    pub counts: Vec<Count>,
    pub place: Place,
    configs: Vec<Config>,
    /// All pipelines, without faults on their way.
    config: Config,
    /// The reader that lists all the time.
    watch: Option<Watch>,
    /// Those of the pipelines that count.
    readings: Vec<Reading>,
    pub hosts: [Option<Host>; INSTANCES],
    pub random: StdRng,
    pub tally: &'a mut Tally,
    /// What instances that have ended wrote.
    pub outputs: Vec<(usize, String)>,
}

/// Runs a session of so many rounds. `Err`: something was wrong, and what is known of it lies in `evidence`.
pub fn run(lab: &Lab, place: Place, rounds: u32, seed: u64, tally: &mut Tally, evidence: &Path) -> Result<(), String> {
    let cluster = Cluster::at(&lab.kafka.bootstrap);
    let mut flow = Flow::new(&cluster, "chaos", PARTITIONS as u64);
    flow.step_ms = STEP_MS;
    println!("session: seed {seed}, {rounds} rounds, topic {}, {}", flow.topic, place.toml().lines().nth(1).unwrap());
    let counts: Vec<Count> = COUNTS.into_iter().map(|count| Count::new(&cluster, count)).collect();
    let pipelines = counts.iter().fold(flow.section(EVERY), |all, count| all + &count.section(COUNTS_EVERY));
    let (configs, config) = (lab.configs(&pipelines, &place), Config::new(&cluster, &place, &pipelines));
    let random = StdRng::seed_from_u64(seed);
    let watch = Some(Watch::start(&place, TABLE, "id"));
    let readings = counts.iter().map(|count| count.read(&place)).collect();
    let (hosts, outputs) = ([const { None }; INSTANCES], Vec::new());
    let mut session =
        Session { lab, flow, counts, place, configs, config, watch, readings, hosts, random, tally, outputs };
    let ran = catch_unwind(AssertUnwindSafe(|| session.run(rounds)));
    lab.heal();
    ran.map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        session.keep(evidence);
        format!("{}; logs are in {}", text.unwrap_or_default(), evidence.display())
    })
}

impl Session<'_> {
    fn run(&mut self, rounds: u32) {
        let producing = Producing::paced(&self.flow, BURST);
        let (counts, producer) = (self.counts.clone(), self.flow.cluster.producer());
        let entering = Producing::by(ENTRIES, move |entries| {
            counts.iter().for_each(|count| count.send(&producer, entries.clone()));
            producer.flush();
        });
        self.start(0);
        self.recover(Instant::now(), "the first start");
        for round in 1..=rounds {
            self.round(round);
        }
        self.finish(producing, entering);
    }

    fn round(&mut self, round: u32) {
        if self.running().len() < INSTANCES && self.random.random_bool(0.5) {
            let i = self.free_place();
            self.start(i);
        }
        let fault = self.draw();
        let (_, name, _) = FAULTS[fault as usize];
        // A host that finds no broker or no store when it starts says so and ends, as it should: those that start are left to it
        // before servers go away.
        if fault.is_outage() {
            self.running().into_iter().for_each(|i| self.join(i));
        }
        println!("round {round}: {name}; instances {:?}", self.running());
        // Slow links make more of whatever else happens.
        if self.random.random_bool(0.2) && !matches!(fault, Fault::SlowKafka | Fault::SlowStore) {
            let links = if self.random.random_bool(0.5) { &self.lab.kafka_links } else { &self.lab.s3_links };
            links.iter().for_each(|link| link.slow_down(slow(20)));
            self.tell("over a slow link");
        }
        self.suffer(fault);
        self.lab.heal();
        let end = Instant::now();
        if self.running().is_empty() {
            self.start(0);
        }
        self.recover(end, name);
        self.tally.rounds += 1;
        *self.tally.faults.entry(fault).or_default() += 1;
    }

    /// Returns when every partition has published more than it had, and every count has gone on; takes the time since `end`.
    fn recover(&mut self, end: Instant, after: &'static str) {
        let before = self.published();
        until(RECOVERY, "every partition to publish again", || {
            self.expect_running();
            self.published().iter().zip(&before).all(|(now, before)| now > before).then_some(())
        });
        let time = end.elapsed();
        self.tell(&format!("all partitions have published again after {:.1} s", time.as_secs_f64()));
        self.tally.recoveries.push((time, after));
    }

    fn finish(&mut self, producing: Producing, entering: Producing) {
        let (sent, entered) = (producing.finish(), entering.finish());
        println!("healed; {sent} records and {entered} entries were sent");
        self.counts.iter().for_each(|count| count.end(entered));
        until(CATCH_UP, "everything that was sent to be in the table", || {
            self.expect_running();
            (self.watch.as_ref().map_or(0, Watch::rows) >= kept(sent)).then_some(())
        });
        let expected: Vec<Counts> = self.counts.iter().map(|count| count.expected(entered)).collect();
        for (i, expected) in expected.iter().enumerate() {
            until(CATCH_UP, &format!("all {} to be given out", self.counts[i].name), || {
                self.expect_running();
                (compare(expected, &self.readings[i].counts()).1 == 0).then_some(())
            });
        }
        self.running().into_iter().for_each(|i| self.terminate(i));
        // One more claim of each task: nothing may be left to do, but to tidy up.
        self.config.catch_up(CATCH_UP);
        let verified = self.config.host(&["verify"]).ends_within(CATCH_UP);
        let mut seen = self.watch.take().expect("a reader, until here").end();
        let counted = self.flow.count(&self.place, sent);
        let mut wrong = Vec::new();
        for ((count, reading), expected) in self.counts.iter().zip(self.readings.drain(..)).zip(&expected) {
            let (found, read) = reading.finish();
            let (doubles, losses) = compare(expected, &found);
            let counted = format!("{}: {} given out, {doubles} doubles, {losses} losses", count.name, read.rows);
            println!("{counted}");
            if doubles + losses > 0 {
                wrong.push(counted);
            }
            let tally = self.tally.counts.entry(count.name).or_default();
            tally.records += entered;
            tally.given_out += read.rows;
            tally.doubles += doubles;
            tally.losses += losses;
            self.tally.listings += read.listings;
            seen.problems.extend(read.problems);
            seen.problems.extend(count.read_again(&self.place, &found));
        }
        let control = self.place.list("_rillgate");
        self.tally.records += sent;
        self.tally.rows += counted.rows;
        self.tally.files += seen.files as u64;
        self.tally.doubles += counted.doubles;
        self.tally.losses += counted.losses;
        self.tally.seen_wrong += seen.problems.len() as u64;
        self.tally.listings += seen.listings;
        self.tally.orphans += verified.output.matches("an orphan").count() as u64;
        self.tally.left_over += control.keys().filter(|path| path.contains("/stage/")).count() as u64;
        println!("{counted:?}; {} listings; {}", seen.listings, verified.output.trim());
        assert!(seen.problems.is_empty(), "seen by a reader:\n{}", seen.problems.join("\n"));
        verified.expect_code(0);
        self.flow.expect_exactly_once(&self.place, sent);
        assert!(wrong.is_empty(), "{}", wrong.join("; "));
        self.flow.cluster.delete_topic(&self.flow.topic);
        for count in &self.counts {
            self.flow.cluster.delete_topic(&count.topic);
        }
    }

    /// Files of each partition in the table, as the reader has seen them; then how far each station's counts are.
    fn published(&self) -> Vec<u64> {
        let mut counts = vec![0; PARTITIONS];
        let listed = self.watch.as_ref().map(Watch::files).unwrap_or_default();
        // A name that is none of ours is the watch's to report.
        for file in listed.iter().filter_map(|path| data_file_name(path).ok()) {
            counts[usize::try_from(file.partition).expect("a partition")] += 1;
        }
        counts.extend(self.readings.iter().flat_map(Reading::progress));
        counts
    }

    pub fn is_local(&self) -> bool {
        matches!(self.place, Place::Local(_))
    }

    pub fn tell(&self, what: &str) {
        println!("    {what}");
    }

    pub fn start(&mut self, i: usize) {
        self.hosts[i] =
            Some(self.configs[i].run_logging("info,rillgate::supervisor=debug,librdkafka=debug,rdkafka=debug"));
    }

    /// Returns when an instance has been told its partitions, if only that there are none, of every pipeline.
    fn join(&mut self, i: usize) {
        let groups = self.groups();
        until(seconds(60), "an instance to join", || {
            self.expect_running();
            let output = self.hosts[i].as_ref().map_or_else(String::new, Host::output);
            let joined: BTreeSet<&str> = output.lines().filter_map(assigned_group).collect();
            groups.iter().all(|group| joined.contains(group.as_str())).then_some(())
        });
    }

    /// The consumer groups of all pipelines.
    pub fn groups(&self) -> Vec<String> {
        std::iter::once(self.flow.group()).chain(self.counts.iter().map(Count::group)).collect()
    }

    /// The topics of all pipelines.
    pub fn topics(&self) -> Vec<String> {
        std::iter::once(&self.flow.topic).chain(self.counts.iter().map(|count| &count.topic)).cloned().collect()
    }

    /// The tables of those pipelines that write any, by the pipelines' topics.
    pub fn tables(&self) -> Vec<(String, String)> {
        let windows = self.counts.iter().filter(|count| count.form == Form::Windows);
        let windows = windows.map(|count| (count.topic.clone(), count.out.clone()));
        std::iter::once((self.flow.topic.clone(), TABLE.to_owned())).chain(windows).collect()
    }

    /// Returns when an instance has claimed something; what it then does are steps of the protocol.
    pub fn settle(&mut self, i: usize) {
        until(seconds(60), "an instance to claim a partition", || {
            self.expect_running();
            let output = self.hosts[i].as_ref().map_or_else(String::new, Host::output);
            tasks(&output, &self.flow.topic).values().any(Option::is_some).then_some(())
        });
    }

    pub fn running(&self) -> Vec<usize> {
        (0..INSTANCES).filter(|i| self.hosts[*i].is_some()).collect()
    }

    /// A running instance.
    pub fn any(&mut self) -> usize {
        let running = self.running();
        running[self.random.random_range(0..running.len())]
    }

    /// Where an instance may be started; one has to go where there are as many as may be.
    pub fn free_place(&mut self) -> usize {
        if let Some(free) = (0..INSTANCES).find(|i| self.hosts[*i].is_none()) {
            return free;
        }
        let i = self.any();
        self.terminate(i);
        i
    }

    /// Asks an instance to stop and sees that it does.
    pub fn terminate(&mut self, i: usize) {
        // In its first moments a process has not said yet what a signal means to it.
        self.join(i);
        let host = self.hosts[i].take().expect("a running instance");
        host.signal("TERM");
        let ended = host.ends_within(seconds(90)).expect_code(0);
        self.outputs.push((i, ended.output));
    }

    pub fn pid(&self, i: usize) -> u32 {
        self.hosts[i].as_ref().expect("a running instance").pid()
    }

    /// Lets time go by, in which no instance may end.
    pub fn pass(&mut self, time: Duration) {
        let bound = Instant::now() + time;
        while Instant::now() < bound {
            self.expect_running();
            std::thread::park_timeout(Duration::from_millis(20).min(bound.saturating_duration_since(Instant::now())));
        }
    }

    pub fn expect_running(&mut self) {
        self.hosts.iter_mut().flatten().for_each(Host::expect_running);
    }

    pub fn expect_others_running(&mut self, but: usize) {
        let others = self.hosts.iter_mut().enumerate().filter(|(i, _)| *i != but);
        others.filter_map(|(_, host)| host.as_mut()).for_each(Host::expect_running);
    }

    /// Writes down what the instances wrote, and keeps what they left behind.
    fn keep(&mut self, evidence: &Path) {
        std::fs::create_dir_all(evidence).expect("a folder for what is known");
        for i in self.running() {
            let output = self.hosts[i].take().expect("a running instance").kill().output;
            self.outputs.push((i, output));
        }
        for (number, (i, output)) in self.outputs.iter().enumerate() {
            let file = evidence.join(format!("{number:03}-instance-{i}.log"));
            std::fs::write(file, output).expect("a log written");
        }
        std::fs::write(evidence.join("kafka.log"), self.lab.kafka.log()).expect("a log written");
        for path in self.place.list("").keys() {
            let Some(bytes) = self.place.read(path) else { continue };
            let file = evidence.join("store").join(path);
            std::fs::create_dir_all(file.parent().expect("a folder")).expect("a folder made");
            std::fs::write(file, bytes).expect("a file written");
        }
    }
}
