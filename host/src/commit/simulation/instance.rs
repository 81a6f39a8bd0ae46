//! An instance: a member of the group, as `source::consumer` and `supervisor::running` make it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use futures::future::join_all;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::exchange::BEHIND;
use super::group::News;
use super::points::Point;
use super::process::{Life, Process};
use super::task::{Task, TaskError, claim};
use super::world::World;

/// A member that doesn't poll for so long is given up.
const POLL_INTERVAL: Duration = Duration::from_secs(40);
/// How long a partition that goes may take to commit what it has.
const GRACE: Duration = Duration::from_secs(15);
/// Before a task that could not go on begins anew.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// A partition that this instance holds.
struct Held {
    /// The task, while there is one: its number, and how to talk to it.
    task: Option<(u64, Running)>,
    committed: Arc<AtomicI64>,
    began_at: i64,
    again: Option<Instant>,
    pause: Duration,
}

struct Running {
    attempt: String,
    finish: Arc<Notify>,
    handle: JoinHandle<()>,
}

struct Instance {
    world: Arc<World>,
    process: Arc<Process>,
    held: BTreeMap<i32, Held>,
    tasks: u64,
    tell: mpsc::UnboundedSender<(i32, u64, Result<(), TaskError>)>,
    ended: mpsc::UnboundedReceiver<(i32, u64, Result<(), TaskError>)>,
}

/// Runs an instance until it has left as asked; killed, it never returns.
pub async fn run(world: Arc<World>, process: Arc<Process>) {
    let (tell, ended) = mpsc::unbounded_channel();
    let held = BTreeMap::new();
    let mut instance = Instance { world, process, held, tasks: 0, tell, ended };
    instance.process.alive().await;
    instance.world.with(|state| state.join(&instance.process));
    while !instance.process.is_terminating() {
        instance.turn().await;
        instance.process.alive().await;
    }
    let all: Vec<i32> = instance.held.keys().copied().collect();
    instance.revoked(&all, false).await;
    instance.world.with(|state| state.leave(instance.process.id));
    instance.process.becomes(Life::Dead);
}

impl Instance {
    async fn turn(&mut self) {
        let (world, process) = (Arc::clone(&self.world), Arc::clone(&self.process));
        let again = self.held.values().filter_map(|held| held.again).min();
        tokio::select! {
            biased;
            () = process.told_to_leave() => {}
            Some((partition, task, result)) = self.ended.recv() => self.task_ended(partition, task, result),
            news = world.news(&process) => match news {
                News::Assigned(partitions) => self.assigned_in_time(partitions).await,
                News::Revoked(partitions) => {
                    self.revoked(&partitions, false).await;
                    world.with(|state| state.give_back(process.id, &partitions));
                }
                News::Lost => {
                    let all: Vec<i32> = self.held.keys().copied().collect();
                    self.revoked(&all, true).await;
                    world.with(|state| state.join(&process));
                }
            },
            () = sleep_until(again.unwrap_or_else(Instant::now)), if again.is_some() => {
                let now = Instant::now();
                let due = self.held.iter_mut().filter(|(_, held)| held.again.is_some_and(|again| again <= now));
                let wanted = due.map(|(partition, held)| { held.again = None; *partition }).collect();
                process.alive().await;
                self.assigned_in_time(wanted).await;
            }
        }
    }

    /// Claims on the thread that polls: where that takes too long the group gives the member up.
    async fn assigned_in_time(&mut self, partitions: Vec<i32>) {
        let (world, process) = (Arc::clone(&self.world), Arc::clone(&self.process));
        let claims = self.assigned(partitions);
        tokio::pin!(claims);
        if timeout(POLL_INTERVAL, &mut claims).await.is_err() {
            process.alive().await;
            world.with(|state| {
                state.figures.reach(Point::PollIntervalExceeded);
                state.evict(process.id, "poll interval exceeded");
            });
            claims.await;
        }
    }

    async fn assigned(&mut self, partitions: Vec<i32>) {
        let (world, process) = (&self.world, &self.process);
        let claims =
            partitions.iter().map(|partition| async move { (*partition, claim(world, process, *partition).await) });
        for (partition, claimed) in join_all(claims).await {
            match claimed {
                Ok(task) => self.start(partition, task),
                Err(error) => self.not_claimed(partition, error),
            }
        }
    }

    fn start(&mut self, partition: i32, task: Task) {
        self.tasks += 1;
        let (number, tell) = (self.tasks, self.tell.clone());
        let (finish, committed, attempt) =
            (Arc::clone(&task.finish), Arc::clone(&task.committed), task.attempt().to_owned());
        let handle = tokio::spawn(async move {
            let result = task.run().await;
            let _ = tell.send((partition, number, result));
        });
        let pause = self.held.get(&partition).map_or(FIRST_PAUSE, |held| held.pause);
        let began_at = committed.load(Ordering::SeqCst);
        let task = Some((number, Running { attempt, finish, handle }));
        self.held.insert(partition, Held { task, committed, began_at, again: None, pause });
    }

    fn not_claimed(&mut self, partition: i32, error: TaskError) {
        let held = self.held.entry(partition).or_insert_with(|| Held {
            task: None,
            committed: Arc::default(),
            began_at: i64::MAX,
            again: None,
            pause: FIRST_PAUSE,
        });
        held.again = Some(Instant::now() + held.pause);
        held.pause = (held.pause * 2).min(LONGEST_PAUSE);
        self.is_fatal(partition, &error);
    }

    fn task_ended(&mut self, partition: i32, task: u64, result: Result<(), TaskError>) {
        let Some(held) = self.held.get_mut(&partition) else { return };
        if held.task.as_ref().is_none_or(|(number, _)| *number != task) {
            return;
        }
        if let Some((_, running)) = held.task.take() {
            self.world.dropped(&running.attempt);
        }
        let Err(error) = result else { return };
        if held.committed.load(Ordering::SeqCst) > held.began_at {
            held.pause = FIRST_PAUSE;
        }
        held.again = Some(Instant::now() + held.pause);
        held.pause = (held.pause * 2).min(LONGEST_PAUSE);
        self.is_fatal(partition, &error);
    }

    /// Nothing that the simulation does may stop a pipeline for good.
    fn is_fatal(&self, partition: i32, error: &TaskError) {
        self.world.with(|state| match error {
            TaskError::Again(reason) => state.say(|| format!("p{} begins {partition} anew: {reason}", self.process.id)),
            TaskError::Fatal(reason) => state.is_wrong(format!("the pipeline stops: {reason}")),
        });
    }

    /// Partitions go: their tasks commit, or, where they are lost, drop everything.
    async fn revoked(&mut self, partitions: &[i32], lost: bool) {
        for partition in partitions {
            let Some(held) = self.held.get_mut(partition) else { continue };
            held.again = None;
            let Some((_, running)) = &held.task else { continue };
            if self.world.is_flushing(&running.attempt) && !lost {
                self.world.with(|state| state.figures.reach(Point::RevokedMidFlush));
                if *partition >= BEHIND {
                    self.world.with(|state| state.figures.reach(Point::BehindRevokedMidFlush));
                }
            }
            if lost {
                drop_task(&self.world, running);
                held.task = None;
            } else {
                running.finish.notify_one();
            }
        }
        let grace = Instant::now() + GRACE;
        while partitions.iter().any(|partition| self.held.get(partition).is_some_and(|held| held.task.is_some())) {
            tokio::select! {
                biased;
                Some((partition, task, result)) = self.ended.recv() => self.task_ended(partition, task, result),
                () = sleep_until(grace) => {
                    self.process.alive().await;
                    for (_, held) in self.held.iter_mut().filter(|(partition, _)| partitions.contains(partition)) {
                        if let Some((_, running)) = held.task.take() {
                            drop_task(&self.world, &running);
                        }
                    }
                }
            }
        }
        self.held.retain(|partition, _| !partitions.contains(partition));
    }
}

fn drop_task(world: &World, running: &Running) {
    running.handle.abort();
    world.dropped(&running.attempt);
}

/// An attempt that nobody asked for: another instance of the same pipeline, that isn't in the group.
pub async fn intrude(world: Arc<World>, process: Arc<Process>, partition: i32, lasts: Duration) {
    if let Ok(task) = claim(&world, &process, partition).await {
        let finish = Arc::clone(&task.finish);
        let running = tokio::spawn(task.run());
        sleep(lasts).await;
        process.alive().await;
        finish.notify_one();
        let _ = timeout(GRACE, running).await;
    }
    process.becomes(Life::Dead);
}
