//! What goes wrong, and when; and what must be true once nothing goes wrong any more.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use tokio::time::{Instant, sleep, timeout};

use super::instance::{intrude, run};
use super::plan::{Blow, Strike, Weather};
use super::points::{Doing, Point};
use super::process::{Life, Process};
use super::task::claim;
use super::view::View;
use super::world::{State, World};
use super::{LogError, Subject, verify};

/// How long it may take until all is decided, once all faults have ended.
const RECOVERY: Duration = Duration::from_secs(300);
/// How long leaving may take then.
const LEAVING: Duration = Duration::from_secs(60);
/// The longest that a request is on its way.
const LATEST: Duration = Duration::from_secs(120);

/// Whoever makes things go wrong.
pub struct Director {
    world: Arc<World>,
    instances: Vec<Arc<Process>>,
}

impl Director {
    pub fn new(world: Arc<World>) -> Self {
        let count = world.with(|state| state.plan.instances);
        let mut director = Self { world, instances: Vec::new() };
        (0..count).for_each(|_| director.start());
        director
    }

    fn start(&mut self) {
        let process = self.world.start_process();
        tokio::spawn(run(Arc::clone(&self.world), Arc::clone(&process)));
        self.instances.push(process);
    }

    fn is_over(&self) -> bool {
        self.world.with(|state| !state.wrong.is_empty())
    }

    /// Lets things go wrong for as long as the schedule says, then ends all faults and looks.
    pub async fn direct(mut self) {
        let lasts = self.world.with(|state| state.plan.lasts);
        let producer = tokio::spawn(produce(Arc::clone(&self.world), lasts));
        let mut left = lasts;
        while !left.is_zero() && !self.is_over() {
            let pause =
                Duration::from_millis(self.world.with(|state| state.rng.u64(50..state.plan.pause_ms))).min(left);
            sleep(pause).await;
            left -= pause;
            self.act().await;
            self.keep_up();
        }
        producer.abort();
        self.end().await;
    }

    /// Starts an instance in the place of one that is dead, sooner or later.
    fn keep_up(&mut self) {
        self.instances.retain(|process| process.life() != Life::Dead);
        let wanted = self.world.with(|state| {
            let missing = state.plan.instances.saturating_sub(self.instances.len());
            missing > 0 && state.rng.u8(..3) > 0
        });
        if wanted {
            self.start();
        }
    }

    fn any(&self) -> Option<Arc<Process>> {
        let at = self.world.with(|state| state.rng.usize(..self.instances.len().max(1)));
        self.instances.get(at).cloned()
    }

    async fn act(&mut self) {
        let act = self.world.with(|state| state.rng.u8(..23));
        match act {
            0..=8 => self.world.with(State::plan_strike),
            9 => self.deal(Blow::Kill),
            10 => {
                let pause = self.world.with(State::draw_stop);
                self.deal(Blow::Stop(pause));
            }
            11 => {
                let pause = Duration::from_millis(self.world.with(|state| state.rng.u64(..500)));
                self.deal(Blow::TermThenKill(pause));
            }
            12 => self.deal(Blow::Term),
            13 | 14 => self.deal(Blow::Rebalance),
            15 => self.cut_off(),
            16 => self.intruder(),
            17 | 18 => self.world.with(State::worsen),
            19 => self.world.with(|state| {
                state.store_clock = TimeDelta::hours(i64::from(state.rng.i32(-1..=1)));
                let clock = state.store_clock;
                state.say(|| format!("the store's clock is off by {clock}"));
            }),
            20 => self.world.with(State::lose_records),
            21 => self.verify_meanwhile(),
            _ => self.start_another(),
        }
        self.quiet_hours().await;
        self.world.records.notify_waiters();
    }

    fn deal(&self, blow: Blow) {
        if let Some(process) = self.any() {
            self.world.deal(&process, blow);
        }
    }

    fn start_another(&mut self) {
        if self.instances.len() < 5 {
            self.start();
        }
    }

    /// The brokers can't be reached from an instance, which goes on with what it has.
    fn cut_off(&self) {
        let Some(process) = self.any() else { return };
        let pause = Duration::from_millis(self.world.with(|state| state.rng.u64(1000..40_000)));
        self.world.say(|| format!("p{} is cut off from Kafka for {pause:?}", process.id));
        process.set_cut(true);
        self.world.expire(&process, "it was cut off");
        tokio::spawn(async move {
            sleep(pause).await;
            process.set_cut(false);
            process.mail.notify_one();
        });
    }

    fn intruder(&self) {
        let process = self.world.start_process();
        let (partition, lasts) = self.world.with(|state| {
            let tasks = state.plan.tasks();
            (tasks[state.rng.i32(0..tasks.len() as i32) as usize], Duration::from_millis(state.rng.u64(..10_000)))
        });
        self.world.say(|| format!("p{} intrudes upon partition {partition}", process.id));
        tokio::spawn(intrude(Arc::clone(&self.world), process, partition, lasts));
    }

    /// Hours pass, now and then: what is stopped stays so, what runs has nothing to do. Or a process is stopped for longer
    /// than the log is kept, before it writes an entry.
    async fn quiet_hours(&self) {
        let pause = self.world.with(|state| {
            if !state.plan.has_quiet_hours || state.rng.u8(..5) > 0 {
                return None;
            }
            if state.rng.bool() {
                let blow = Blow::Stop(Duration::from_secs(3600 * state.rng.u64(6..30)));
                let doing = if state.rng.bool() { Doing::Deciding } else { Doing::Claiming };
                state.strikes.push(Strike { doing, after: false, blow });
                return None;
            }
            Some(Duration::from_secs(60 * state.rng.u64(120..480)))
        });
        if let Some(pause) = pause {
            self.world.say(|| format!("{} quiet minutes", pause.as_secs() / 60));
            sleep(pause).await;
        }
    }

    fn verify_meanwhile(&self) {
        let (world, process) = (Arc::clone(&self.world), self.world.start_process());
        tokio::spawn(async move {
            if let Some(problems) = verified(&world, &process).await {
                world.with(|state| {
                    state.figures.reach(Point::VerifiedMeanwhile);
                    problems.into_iter().for_each(|problem| state.is_wrong(format!("verify, meanwhile: {problem}")));
                });
            }
            process.becomes(Life::Dead);
        });
    }

    /// All faults end. Everything must be decided soon, everyone leave when told to, and the proof hold.
    async fn end(&mut self) {
        let began = Instant::now();
        self.calm();
        self.instances.retain(|process| process.life() != Life::Dead && !process.is_terminating());
        if self.instances.is_empty() {
            self.start();
        }
        while !self.is_over() && self.world.with(|state| !state.is_caught_up()) {
            if began.elapsed() > RECOVERY {
                let left = self.world.with(|state| state.what_is_left());
                return self.world.with(|state| state.is_wrong(format!("after {RECOVERY:?} without faults: {left}")));
            }
            self.world.records.notify_waiters();
            sleep(Duration::from_millis(100)).await;
        }
        self.world.with(|state| state.figures.longest_recovery_ms = began.elapsed().as_millis() as u64);
        for process in &self.instances {
            self.world.deal(process, Blow::Term);
        }
        let all_gone = async {
            while self.instances.iter().any(|process| process.life() != Life::Dead) {
                sleep(Duration::from_millis(100)).await;
            }
        };
        if timeout(LEAVING, all_gone).await.is_err() {
            return self.world.with(|state| state.is_wrong(format!("an instance didn't leave within {LEAVING:?}")));
        }
        sleep(LATEST).await;
        if !self.is_over() {
            self.prove().await;
        }
    }

    fn calm(&self) {
        let processes = self.world.with(|state| {
            state.say(|| "all faults end".to_owned());
            state.is_calm = true;
            state.weather = Weather { latency_ms: 20, ..Weather::default() };
            state.strikes.clear();
            state.store_clock = TimeDelta::zero();
            for partition in 0..state.plan.partitions {
                while state.produce(partition) {}
            }
            state.processes.values().cloned().collect::<Vec<_>>()
        });
        for process in processes {
            process.set_cut(false);
            self.world.wake(&process);
            process.mail.notify_one();
        }
        self.world.records.notify_waiters();
    }

    /// A last claim of each task, which publishes and removes whatever is left; then nothing may be.
    async fn prove(&self) {
        let process = self.world.start_process();
        for partition in self.world.with(|state| state.plan.tasks()) {
            if let Err(error) = claim(&self.world, &process, partition).await {
                self.world.with(|state| state.is_wrong(format!("the last claim of {partition}: {error:?}")));
            }
        }
        let problems = verified(&self.world, &process).await;
        self.world.with(|state| {
            match problems {
                Some(problems) => {
                    problems.into_iter().for_each(|problem| state.is_wrong(format!("verify: {problem}")));
                }
                None => state.is_wrong("verify could not read the store".to_owned()),
            }
            state.compare();
        });
    }
}

/// What `verify` says; `None` where the store did not let it read.
async fn verified(world: &Arc<World>, process: &Arc<Process>) -> Option<Vec<String>> {
    let view = View { world: Arc::clone(world), process: Arc::clone(process), attempt: "verify".to_owned() };
    let store = view.store(world.with(|state| state.plan.is_apart));
    let mut tables: Vec<String> = vec!["city/rides".into(), "_dead/rides".into()];
    tables.extend(world.with(|state| state.plan.exchange.is_some()).then(|| "city/counts".into()));
    let subject = Subject { pipeline: "rides".to_owned(), tables };
    match verify(&store, &subject).await {
        Ok(report) => Some(report.problems),
        Err(LogError::Store(object_store::Error::Generic { .. })) => None,
        Err(error) => Some(vec![error.to_string()]),
    }
}

/// Sends records, at uneven times: many at once, or, where partitions are to be idle by turns, one after another.
async fn produce(world: Arc<World>, lasts: Duration) {
    let pause = world.with(|state| lasts.as_millis() as u64 / state.plan.records as u64);
    loop {
        let (pause, count) = world.with(|state| {
            let takes_turns = state.plan.exchange.as_ref().is_some_and(|exchange| exchange.idle_after.is_some());
            let most = if takes_turns { 1 } else { 8 };
            (state.rng.u64(..=pause * most as u64), state.rng.usize(..=most))
        });
        sleep(Duration::from_millis(pause)).await;
        world.with(|state| {
            for _ in 0..count {
                let partition = state.rng.i32(0..state.plan.partitions);
                state.produce(partition);
            }
        });
        world.records.notify_waiters();
    }
}
