//! A seeded simulation of the commit protocol: the real machine, log, stage and verify, in virtual time, among processes
//! that die, stop and wake, a store and a Kafka that fail in every way they are known to, and clocks that are wrong.
//!
//! Everything that happens follows from the seed: the same seed does the same again, step by step. A schedule is what one
//! seed makes. `make simulation` runs many and says what they came through; `make simulation SEED=7` runs one and prints
//! each of its steps.
//!
//! - [`director`], [`acts`]: what goes wrong when, and what must be true in the end
//! - [`instance`], [`task`], [`attempts`]: an instance and its tasks, as the supervisor and `crate::task` make them
//! - [`kafka`], [`group`], [`topic`], [`objects`], [`view`], [`request`]: the surroundings; `topic` and `objects` are also the readers
//!   who look at every change
//! - [`sides`], [`counting`], [`exchange`]: tasks before and behind an exchange, what goes through it, and its topic
//! - [`plan`]: what is drawn from the seed; [`points`]: what the schedules must come through; [`world`]: what they share

mod acts;
mod attempts;
mod counting;
mod director;
mod exchange;
mod group;
mod instance;
mod kafka;
mod objects;
mod plan;
mod points;
mod process;
mod request;
mod sides;
mod task;
mod topic;
mod view;
mod world;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::entry::{self, Commit, Entry, StateFile};
use super::faults::Answer;
use super::send::{Outgoing, Topics, TopicsError};
use super::stage::Stage;
use super::state::StateChange;
use super::store::{Location, Store};
use super::task_log::{LogError, LogOptions, TaskLog, folder};
use super::verify::{Subject, verify};

use director::Director;
use points::Figures;
use world::World;

/// Threads that run schedules.
const THREADS: usize = 2;
/// A schedule that takes longer than this, by a real clock, goes round in circles without end.
const STUCK: Duration = Duration::from_secs(60);

/// What a schedule came to.
struct Outcome {
    wrong: Vec<String>,
    figures: Figures,
    trace: Vec<String>,
}

/// Runs the schedule of a seed.
fn schedule(seed: u64, trace: bool, prints: bool) -> Outcome {
    // Pauses between retries are drawn from this thread's generator.
    fastrand::seed(seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let world = runtime.block_on(async {
        let world = World::new(seed, trace, prints);
        world.set_writers_clock();
        Director::new(std::sync::Arc::clone(&world)).direct().await;
        world.with(|state| state.figures.virtual_ms = state.now_ms());
        world
    });
    // What still runs lets go of the world before it is looked at.
    drop(runtime);
    world.with(|state| {
        state.figures.schedules = 1;
        Outcome {
            wrong: std::mem::take(&mut state.wrong),
            figures: std::mem::take(&mut state.figures),
            trace: state.trace.take().unwrap_or_default(),
        }
    })
}

fn asked(name: &str) -> Option<u64> {
    std::env::var(name).ok().filter(|text| !text.is_empty()).map(|text| text.parse().unwrap())
}

/// Runs schedules until one goes wrong; what they came to, and the seed that went wrong, with what.
fn schedules(count: u64) -> (Figures, Option<(u64, Vec<String>)>) {
    let (next, over) = (AtomicU64::new(1), AtomicBool::new(false));
    let (all, failed) = (Mutex::new(Figures::default()), Mutex::new(BTreeMap::new()));
    let running: [Mutex<Option<(u64, Instant)>>; THREADS] = [const { Mutex::new(None) }; THREADS];
    std::thread::scope(|scope| {
        let threads = running.each_ref().map(|running| {
            let (next, over, all, failed) = (&next, &over, &all, &failed);
            scope.spawn(move || {
                while !over.load(Ordering::SeqCst) {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed > count {
                        return;
                    }
                    *running.lock().unwrap() = Some((seed, Instant::now()));
                    let outcome = schedule(seed, false, false);
                    *running.lock().unwrap() = None;
                    all.lock().unwrap().add(&outcome.figures);
                    if !outcome.wrong.is_empty() {
                        failed.lock().unwrap().insert(seed, outcome.wrong);
                        over.store(true, Ordering::SeqCst);
                    }
                }
            })
        });
        while threads.iter().any(|thread| !thread.is_finished()) {
            std::thread::sleep(Duration::from_millis(20));
            for (seed, began) in running.iter().filter_map(|running| *running.lock().unwrap()) {
                if began.elapsed() > STUCK {
                    println!("seed {seed} never ends: make simulation SEED={seed}");
                    // A thread that never ends can't be waited for.
                    std::process::exit(101);
                }
            }
        }
    });
    (all.into_inner().unwrap(), failed.into_inner().unwrap().pop_first())
}

#[test]
fn simulation() {
    if let Some(seed) = asked("SEED") {
        let outcome = schedule(seed, true, true);
        println!("{:#?}", outcome.wrong);
        assert!(outcome.wrong.is_empty(), "seed {seed} goes wrong");
        return;
    }
    let began = Instant::now();
    let count = asked("SCHEDULES").unwrap_or(10_000);
    let (figures, failed) = schedules(count);
    println!("{figures}");
    println!("in {:.1} s", began.elapsed().as_secs_f64());
    if let Some((seed, wrong)) = failed {
        panic!("seed {seed} goes wrong: {wrong:#?}\nmake simulation SEED={seed}");
    }
    let missing = figures.never_reached();
    assert!(missing.is_empty(), "never reached in {count} schedules: {missing:?}");
}

#[test]
fn the_same_seed_does_the_same_again_step_by_step() {
    for seed in 1..=30 {
        let (first, second) = (schedule(seed, true, false), schedule(seed, true, false));
        assert!(first.trace.len() > 100, "seed {seed} has {} steps", first.trace.len());
        let differs = first.trace.iter().zip(&second.trace).position(|(a, b)| a != b);
        if let Some(at) = differs {
            panic!("seed {seed}, step {at}: {} and then {}", first.trace[at], second.trace[at]);
        }
        assert_eq!(first.trace.len(), second.trace.len(), "seed {seed}");
    }
}
