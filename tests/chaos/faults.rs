//! What may happen in a round, and how it is done. Every fault has ended when its function returns; what it leaves behind (a
//! dead instance, a broker that has just come back) is for the system to get over.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use rand::RngExt;
use support::host::signal;
use support::proxy::{Mode, Moment, Proxy, Request};
use support::wait::{seconds, until};

use crate::INSTANCES;
use crate::lab::slow;
use crate::report::request_name;
use crate::session::Session;
use crate::steps::{Step, steps, tasks};

/// A fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// SIGKILL at a random time.
    Kill,
    /// SIGKILL at a change in the store, or at a request to it.
    KillAtStep,
    /// SIGKILL while it starts, joins and claims.
    KillStarting,
    /// SIGSTOP, mostly at a request to the store, until its partitions have moved; then SIGCONT.
    StopAndWake,
    /// SIGTERM.
    Terminate,
    /// SIGTERM, and SIGKILL before it is done.
    TerminateAndKill,
    /// One more instance.
    Join,
    /// The broker ends in order and comes back.
    RestartBroker,
    /// The broker is killed and comes back.
    KillBroker,
    /// Connections to Kafka are cut.
    CutKafka,
    /// Connections to Kafka are cut and refused for a while.
    RefuseKafka,
    /// Nothing passes from and to Kafka, for longer than the session mostly.
    HoldKafka,
    /// A slow link to Kafka.
    SlowKafka,
    /// Connections to the store are cut.
    CutStore,
    /// The store answers 503.
    Unavailable,
    /// Answers of the store are lost.
    LoseAnswers,
    /// Nothing passes from and to the store.
    HoldStore,
    /// A slow link to the store.
    SlowStore,
    /// The store is killed and comes back.
    KillStore,
}

use Fault::*;

impl Fault {
    /// Whether a server, or the way to it, is away.
    pub fn is_outage(self) -> bool {
        self >= RestartBroker && !matches!(self, SlowKafka | SlowStore)
    }
}

/// Every fault, as the table says it, and how often it is drawn.
pub const FAULTS: [(Fault, &str, u32); 19] = [
    (Kill, "SIGKILL at a random time", 10),
    (KillAtStep, "SIGKILL at a change in the store or a request to it", 24),
    (KillStarting, "SIGKILL while starting and claiming", 8),
    (StopAndWake, "SIGSTOP until its partitions have moved, and SIGCONT", 10),
    (Terminate, "SIGTERM", 5),
    (TerminateAndKill, "SIGTERM, and SIGKILL before it is done", 8),
    (Join, "an instance joins", 4),
    (RestartBroker, "broker restarted", 3),
    (KillBroker, "broker killed (-9)", 3),
    (CutKafka, "connections to Kafka cut", 4),
    (RefuseKafka, "Kafka refuses connections for 1-6 s", 3),
    (HoldKafka, "nothing passes from and to Kafka for 2-7 s", 5),
    (SlowKafka, "slow link to Kafka", 3),
    (CutStore, "connections to the store cut", 4),
    (Unavailable, "store answers 503 for 1-4 s", 4),
    (LoseAnswers, "store's answers lost", 6),
    (HoldStore, "nothing passes from and to the store for 1-7 s", 5),
    (SlowStore, "slow link to the store", 3),
    (KillStore, "store killed (-9)", 4),
];

/// Faults of local files: all but those of a store behind a link.
pub const LOCAL: usize = 13;

impl Session<'_> {
    /// Draws a fault.
    pub fn draw(&mut self) -> Fault {
        let faults = if self.is_local() { &FAULTS[..LOCAL] } else { &FAULTS[..] };
        let mut left = self.random.random_range(0..faults.iter().map(|(_, _, weight)| weight).sum());
        let drawn = faults.iter().find(|(_, _, weight)| {
            let here = left < *weight;
            left = left.saturating_sub(*weight);
            here
        });
        drawn.expect("the weights add up").0
    }

    /// Does it.
    pub fn suffer(&mut self, fault: Fault) {
        match fault {
            Kill => {
                let i = self.any();
                let time = self.random_ms(0, 1500);
                self.pass(time);
                self.kill(i);
                self.kill_another();
            }
            KillAtStep => {
                let i = self.any();
                let trapped = self.at_a_step(i, |pid| signal(pid, "KILL"), false);
                self.tell(&trapped);
                self.kill(i);
                self.kill_another();
            }
            KillStarting => {
                let i = self.free_place();
                self.start(i);
                let time = self.random_ms(0, 3000);
                self.pass(time);
                self.kill(i);
            }
            StopAndWake => self.stop_and_wake(),
            Terminate => {
                let i = self.any();
                self.terminate(i);
            }
            TerminateAndKill => self.terminate_and_kill(),
            Join => {
                let i = self.free_place();
                self.start(i);
            }
            RestartBroker => self.lab.kafka.restart(),
            KillBroker => {
                self.lab.kafka.kill();
                let time = self.random_ms(0, 3000);
                self.pass(time);
                self.lab.kafka.start_again();
            }
            KillStore => {
                self.lab.s3.kill();
                let time = self.random_ms(0, 2000);
                self.pass(time);
                self.lab.s3.start_again();
            }
            CutKafka => self.cut(&self.lab.kafka_links),
            CutStore => self.cut(&self.lab.s3_links),
            RefuseKafka => self.misbehave(&self.lab.kafka_links, Mode::Refuse, 1000, 6000),
            HoldKafka => self.misbehave(&self.lab.kafka_links, Mode::Hold, 2000, 7000),
            Unavailable => self.misbehave(&self.lab.s3_links, Mode::Unavailable, 1000, 4000),
            HoldStore => self.misbehave(&self.lab.s3_links, Mode::Hold, 1000, 7000),
            SlowKafka => self.slow_down(&self.lab.kafka_links),
            SlowStore => self.slow_down(&self.lab.s3_links),
            LoseAnswers => self.lose_answers(),
        }
    }

    /// Kills an instance.
    fn kill(&mut self, i: usize) {
        let ended = self.hosts[i].take().expect("a running instance").kill();
        assert_eq!(ended.code, None, "it had ended by itself:\n{}", ended.output);
        self.killed(i, ended.output);
    }

    /// Kills another instance, if there is one, while it finds out that the first is gone, or takes over what that had.
    fn kill_another(&mut self) {
        if self.running().is_empty() {
            return;
        }
        let i = self.any();
        let time = self.random_ms(0, 4000);
        self.pass(time);
        self.kill(i);
    }

    /// Counts at which steps the tasks of a killed instance were.
    fn killed(&mut self, i: usize, output: String) {
        let of = |(topic, table): &(String, String)| steps(&self.place, topic, table, &tasks(&output, topic));
        let steps: Vec<Step> = self.tables().iter().flat_map(of).collect();
        let names: Vec<&str> = steps.iter().map(|step| step.name()).collect();
        self.tell(&format!("killed {i} with {} tasks: {}", names.len(), names.join("; ")));
        self.tally.kills += 1;
        steps.into_iter().for_each(|step: Step| *self.tally.steps.entry(step).or_default() += 1);
        self.outputs.push((i, output));
    }

    /// It may be quicker, and have ended in order before it is killed.
    fn terminate_and_kill(&mut self) {
        let i = self.any();
        let pid = self.pid(i);
        signal(pid, "TERM");
        if !self.is_local() && self.random.random_bool(0.6) {
            let (request, moment) = (self.random_request(), self.random_moment());
            let kill = move || !signal(pid, "KILL");
            self.lab.s3_links[i].trap(request, self.random.random_range(0..3), moment, Box::new(kill));
        }
        let time = self.random_ms(0, 1500);
        let mut host = self.hosts[i].take().expect("a running instance");
        let ended = host.ends(time);
        self.lab.s3_links[i].disarm();
        let ended = ended.unwrap_or_else(|| host.kill());
        match ended.code {
            None => self.killed(i, ended.output),
            Some(_) => {
                self.tell("it was quicker");
                self.outputs.push((i, ended.expect_code(0).output));
            }
        }
    }

    /// A process that stands still until others have its partitions, and wakes up in the middle of what it was doing.
    fn stop_and_wake(&mut self) {
        let i = self.any();
        if self.running().len() == 1 {
            let other = self.free_place();
            self.start(other);
            self.settle(other);
        }
        let (release, held) = mpsc::channel::<()>();
        let held = (!self.is_local() && self.random.random_bool(0.5)).then_some(held);
        let stop = move |pid| {
            let stopped = signal(pid, "STOP");
            // The request it had sent arrives now, or when it wakes up.
            if let Some(held) = held {
                let _ = held.recv();
            }
            stopped
        };
        let trapped = self.at_a_step(i, stop, true);
        signal(self.pid(i), "STOP");
        self.tell(&format!("{trapped}; stopped {i}"));
        let (others, groups) = (self.running().len() - 1, self.groups());
        until(seconds(60), "the partitions to move", || {
            let moved = |group: &String| self.flow.cluster.members_with_partitions(group) == others;
            groups.iter().all(moved).then_some(())
        });
        let time = self.random_ms(0, 1500);
        self.pass(time);
        signal(self.pid(i), "CONT");
        drop(release);
    }

    /// Acts when an instance is at some step: at a request of its to the store, before or after that is done, or at a change
    /// of its files. Says at which. `goes_on`: the request's connection is not cut.
    fn at_a_step(&mut self, i: usize, act: impl FnOnce(u32) -> bool + Send + 'static, goes_on: bool) -> String {
        self.settle(i);
        let pid = self.pid(i);
        if self.is_local() {
            let count = self.random.random_range(1..16);
            self.expect_changes(i, count);
            act(pid);
            return format!("at change {count}");
        }
        let (request, moment) = (self.random_request(), self.random_moment());
        let (tell, sprung) = mpsc::channel();
        let spring = move || {
            // Told first: what is done may wait.
            let _ = tell.send(());
            act(pid) && goes_on
        };
        let link = &self.lab.s3_links[i];
        link.trap(request, self.random.random_range(0..6), moment, Box::new(spring));
        let bound = Instant::now() + seconds(15);
        while Instant::now() < bound {
            self.expect_others_running(i);
            if sprung.recv_timeout(Duration::from_millis(20)).is_ok() {
                *self.tally.requests.entry((request_name(request), moment == Moment::Before)).or_default() += 1;
                return format!("{moment:?} {request:?}");
            }
        }
        link.disarm();
        format!("no {request:?} came")
    }

    /// Returns when so many files of an instance's tasks have come or gone.
    fn expect_changes(&mut self, i: usize, count: usize) {
        let output = self.hosts[i].as_ref().map_or_else(String::new, |host| host.output());
        let tasks = |topic: String| -> Vec<String> {
            tasks(&output, &topic).keys().map(|p| format!("_rillgate/{topic}/{topic}/{p}")).collect()
        };
        let folders: Vec<String> = self.topics().into_iter().flat_map(tasks).collect();
        let list = || -> std::collections::BTreeSet<String> {
            folders.iter().flat_map(|folder| self.place.list(folder).into_keys()).collect()
        };
        let bound = Instant::now() + seconds(15);
        let (mut before, mut changes) = (list(), 0);
        while changes < count && Instant::now() < bound {
            let now = list();
            changes += now.symmetric_difference(&before).count();
            before = now;
        }
    }

    fn cut(&mut self, links: &[Proxy]) {
        let chosen = self.some_links();
        for _ in 0..self.random.random_range(1..5) {
            chosen.iter().for_each(|i| links[*i].cut());
            let time = self.random_ms(0, 500);
            self.pass(time);
        }
    }

    fn misbehave(&mut self, links: &[Proxy], mode: Mode, least_ms: u64, most_ms: u64) {
        let chosen = self.some_links();
        chosen.iter().for_each(|i| links[*i].set(mode));
        let time = self.random_ms(least_ms, most_ms);
        self.tell(&format!("{mode:?} for {time:?}, links {chosen:?}"));
        self.pass(time);
        chosen.iter().for_each(|i| links[*i].set(Mode::Pass));
    }

    fn slow_down(&mut self, links: &[Proxy]) {
        let latency = self.random.random_range(20..200);
        links.iter().for_each(|link| link.slow_down(slow(latency)));
        let time = self.random_ms(2000, 5000);
        self.pass(time);
    }

    fn lose_answers(&mut self) {
        let chosen = self.some_links();
        let faults = || chosen.iter().map(|i| self.lab.s3_links[*i].faults()).sum::<u64>();
        let enough = faults() + self.random.random_range(1..8);
        chosen.iter().for_each(|i| self.lab.s3_links[*i].set(Mode::LoseAnswers));
        let bound = Instant::now() + seconds(5);
        while faults() < enough && Instant::now() < bound {
            std::thread::park_timeout(Duration::from_millis(5));
        }
        chosen.iter().for_each(|i| self.lab.s3_links[*i].set(Mode::Pass));
    }

    /// One instance's link, or all of them.
    fn some_links(&mut self) -> Vec<usize> {
        if self.random.random_bool(0.6) { vec![self.any()] } else { (0..INSTANCES).collect() }
    }

    fn random_request(&mut self) -> Request {
        Request::OF_AN_EPOCH[self.random.random_range(0..Request::OF_AN_EPOCH.len())]
    }

    fn random_moment(&mut self) -> Moment {
        if self.random.random_bool(0.5) { Moment::Before } else { Moment::After }
    }

    fn random_ms(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_millis(self.random.random_range(least..most))
    }
}
