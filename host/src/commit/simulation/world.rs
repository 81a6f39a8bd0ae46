//! Everything that outlives a process: the store, Kafka, clocks, the faults to come, and what was found wrong.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::TimeDelta;
use fastrand::Rng;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::attempts::Attempt;
use super::exchange::ExchangeTopic;
use super::group::Group;
use super::kafka::Topic;
use super::objects::Objects;
use super::plan::{Blow, Plan, Strike, Weather, set_writers_clock};
use super::points::{Doing, Figures, Point};
use super::process::{Life, Process};
use super::topic::Coordinators;

/// A member that isn't heard of for so long is taken for dead.
pub const SESSION: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub struct State {
    pub rng: Rng,
    pub plan: Plan,
    pub weather: Weather,
    pub strikes: Vec<Strike>,
    pub objects: Objects,
    pub topic: Topic,
    pub group: Group,
    /// Of the topic that takes transactions.
    pub coordinators: Coordinators,
    pub exchange: ExchangeTopic,
    pub records: Arc<Notify>,
    pub processes: BTreeMap<u32, Arc<Process>>,
    pub attempts: BTreeMap<String, Attempt>,
    pub figures: Figures,
    /// By how much the store's clock is off.
    pub store_clock: TimeDelta,
    pub started: Instant,
    /// What is wrong. The schedule has failed with the first.
    pub wrong: Vec<String>,
    pub trace: Option<Vec<String>>,
    pub prints: bool,
    /// All faults have ended.
    pub is_calm: bool,
}

#[derive(Debug)]
pub struct World {
    state: Mutex<State>,
    /// Records came, or went.
    pub records: Arc<Notify>,
}

impl World {
    pub fn new(seed: u64, trace: bool, prints: bool) -> Arc<Self> {
        let mut rng = Rng::with_seed(seed);
        let plan = Plan::draw(&mut rng, seed);
        let (tasks, records) = (plan.tasks(), Arc::new(Notify::new()));
        let weather = Weather::draw(&mut rng);
        let state = State {
            topic: Topic::new(&tasks),
            group: Group::new(&tasks),
            coordinators: Coordinators::new(),
            exchange: ExchangeTopic::default(),
            records: Arc::clone(&records),
            objects: Objects::new(&tasks),
            rng,
            plan,
            weather,
            strikes: Vec::new(),
            processes: BTreeMap::new(),
            attempts: BTreeMap::new(),
            figures: Figures::default(),
            store_clock: TimeDelta::zero(),
            started: Instant::now(),
            wrong: Vec::new(),
            trace: trace.then(Vec::new),
            prints,
            is_calm: false,
        };
        Arc::new(Self { state: Mutex::new(state), records })
    }

    /// Looks at everything, or changes it. Never waits, and is never called from within.
    pub fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.state.lock().unwrap())
    }

    pub fn say(&self, what: impl FnOnce() -> String) {
        self.with(|state| state.say(what));
    }

    /// The time that a request takes in one direction.
    pub async fn latency(&self) {
        let pause = self.with(|state| {
            let slow = state.weather.slow_until.is_some_and(|until| Instant::now() < until);
            let most = if slow { 20_000 } else { state.weather.latency_ms };
            Duration::from_millis(state.rng.u64(0..=most))
        });
        sleep(pause).await;
    }

    pub fn start_process(&self) -> Arc<Process> {
        self.with(|state| {
            let id = state.processes.len() as u32;
            let process = Process::new(id);
            state.processes.insert(id, Arc::clone(&process));
            state.say(|| format!("p{id} starts"));
            process
        })
    }

    /// Deals a blow to a process.
    pub fn deal(self: &Arc<Self>, process: &Arc<Process>, blow: Blow) {
        match blow {
            Blow::Kill => self.kill(process),
            Blow::Stop(pause) => {
                if self.stop(process) {
                    let (world, process) = (Arc::clone(self), Arc::clone(process));
                    tokio::spawn(async move {
                        sleep(pause).await;
                        world.wake(&process);
                    });
                }
            }
            Blow::Term => self.terminate(process),
            Blow::TermThenKill(pause) => {
                self.terminate(process);
                let (world, process) = (Arc::clone(self), Arc::clone(process));
                tokio::spawn(async move {
                    sleep(pause).await;
                    if !world.with(|state| state.is_calm) {
                        world.kill(&process);
                    }
                });
            }
            Blow::Rebalance => self.with(State::turn_group),
        }
    }

    fn terminate(&self, process: &Arc<Process>) {
        if process.life() == Life::Running && process.terminate() {
            self.with(|state| {
                state.say(|| format!("p{} SIGTERM", process.id));
                state.count_doing(process.id, Point::Term);
            });
        }
    }

    /// SIGKILL. What the process has sent is on its way all the same.
    pub fn kill(self: &Arc<Self>, process: &Arc<Process>) {
        if !process.becomes(Life::Dead) {
            return;
        }
        self.with(|state| {
            state.say(|| format!("p{} SIGKILL", process.id));
            state.figures.kills += 1;
            if process.is_terminating() {
                state.count_doing(process.id, Point::KillAfterTerm);
            }
            state.count_kill(process.id);
        });
        self.expire(process, "it died");
    }

    fn stop(self: &Arc<Self>, process: &Arc<Process>) -> bool {
        if !process.becomes(Life::Stopped) {
            return false;
        }
        self.with(|state| {
            state.say(|| format!("p{} SIGSTOP", process.id));
            state.note_stop(process.id);
            state.figures.stops += 1;
        });
        self.expire(process, "it was stopped");
        true
    }

    pub fn wake(&self, process: &Arc<Process>) {
        // What it was doing is told before it does anything more.
        self.with(|state| {
            if process.life() == Life::Stopped {
                state.say(|| format!("p{} SIGCONT", process.id));
                state.count_zombie(process.id);
            }
        });
        if process.life() == Life::Stopped {
            process.becomes(Life::Running);
        }
    }

    /// The group gives a member up which isn't heard of for a session.
    pub fn expire(self: &Arc<Self>, process: &Arc<Process>, why: &'static str) {
        let (world, process, absences) = (Arc::clone(self), Arc::clone(process), process.absences());
        tokio::spawn(async move {
            sleep(SESSION).await;
            if process.life() == Life::Dead || process.absences() == absences {
                world.with(|state| state.evict(process.id, why));
            }
        });
    }

    /// Lets writers' clocks be right, or off by an hour.
    pub fn set_writers_clock(&self) {
        self.with(|state| {
            let skew = i64::from(state.rng.i32(-1..=1)) * 3_600_000;
            set_writers_clock(state.now_ms() as i64 + skew);
        });
    }
}

impl State {
    pub fn now_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    pub fn say(&mut self, what: impl FnOnce() -> String) {
        let ms = self.now_ms();
        if let Some(trace) = &mut self.trace {
            let line = format!("{:>10}.{:03}  {}", ms / 1000, ms % 1000, what());
            if self.prints {
                println!("{line}");
            }
            trace.push(line);
        }
    }

    /// Something that must not be.
    pub fn is_wrong(&mut self, what: String) {
        self.say(|| format!("WRONG: {what}"));
        self.wrong.push(what);
    }

    pub fn chance(&mut self, of_a_thousand: u32) -> bool {
        of_a_thousand > 0 && self.rng.u32(..1000) < of_a_thousand
    }

    /// What shall befall a process at this moment, taken out of the plan.
    pub fn strike(&mut self, doing: Doing, after: bool) -> Option<Blow> {
        let found = self.strikes.iter().position(|strike| strike.doing == doing && strike.after == after)?;
        Some(self.strikes.remove(found).blow)
    }
}
