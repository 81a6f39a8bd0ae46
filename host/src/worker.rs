//! As many threads as there are cores; each owns a set of tasks and does their work from decode to encode.
//!
//! Plugin instances belong to a worker and a pipeline: two hundred partitions of a Python plugin are not two hundred Pythons.
//! What never happens: a task moves from one worker to another; a worker waits while one of its tasks has work; a panic in one task
//! ends another pipeline's.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, Thread};
use std::time::Instant;

use crate::plugin::Plugins;
use crate::source::TopicPartition;
use crate::task::{Stepped, Task, TaskError, Version};

/// Told when a task has ended: by itself with an error, or finished as asked.
pub type Ended = Box<dyn FnOnce(Result<(), TaskError>) + Send>;

enum Command {
    Add { task: Box<Task>, ended: Ended },
    Swap { partitions: Vec<TopicPartition>, version: Arc<Version>, plugins: Option<Box<Plugins>> },
    Finish { pipeline: String, partition: TopicPartition },
    Drop { pipeline: String, partition: TopicPartition },
    Stop,
}

/// A handle to a worker thread.
pub struct Worker {
    commands: Sender<Command>,
    thread: Thread,
    handle: Mutex<Option<JoinHandle<()>>>,
}

impl Worker {
    /// Starts a thread.
    pub fn start(name: String) -> std::io::Result<Self> {
        let (commands, inbox) = channel();
        let handle = std::thread::Builder::new().name(name).spawn(move || Floor::default().run(&inbox))?;
        Ok(Self { commands, thread: handle.thread().clone(), handle: Mutex::new(Some(handle)) })
    }

    /// Gives it a task.
    pub fn add(&self, task: Task, ended: Ended) {
        self.tell(Command::Add { task: Box::new(task), ended });
    }

    /// Asks its tasks of these partitions to go on with another version of their pipeline. `plugins` are instances of it, made
    /// beforehand so that no task has to wait for them.
    pub fn swap(&self, partitions: Vec<TopicPartition>, version: Arc<Version>, plugins: Option<Plugins>) {
        self.tell(Command::Swap { partitions, version, plugins: plugins.map(Box::new) });
    }

    /// Asks for a task to commit what it has and end.
    pub fn finish(&self, pipeline: &str, partition: &TopicPartition) {
        self.tell(Command::Finish { pipeline: pipeline.to_owned(), partition: partition.clone() });
    }

    /// Asks for a task to be dropped, with all that isn't decided.
    pub fn drop_task(&self, pipeline: &str, partition: &TopicPartition) {
        self.tell(Command::Drop { pipeline: pipeline.to_owned(), partition: partition.clone() });
    }

    /// Drops all tasks and ends the thread.
    pub fn stop(&self) {
        self.tell(Command::Stop);
        let handle = self.handle.lock().unwrap_or_else(PoisonError::into_inner).take();
        if handle.is_some_and(|handle| handle.join().is_err()) {
            tracing::error!("a worker panicked");
        }
    }

    fn tell(&self, command: Command) {
        // A worker that has stopped has no tasks, and nobody waits for it.
        let _ = self.commands.send(command);
        self.thread.unpark();
    }
}

/// What a worker has on its floor.
#[derive(Default)]
struct Floor {
    tasks: Vec<(Task, Ended)>,
    /// Those of each version that has tasks here, or is about to have some.
    plugins: HashMap<u64, Plugins>,
}

impl Floor {
    fn run(mut self, inbox: &Receiver<Command>) {
        loop {
            while let Ok(command) = inbox.try_recv() {
                if matches!(command, Command::Stop) {
                    return;
                }
                self.obey(command);
            }
            match self.step_all() {
                Some(Some(until)) => std::thread::park_timeout(until.saturating_duration_since(Instant::now())),
                Some(None) => std::thread::park(),
                None => {}
            }
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Add { mut task, ended } => {
                if let Err(error) = open(&mut self.plugins, &mut task) {
                    return ended(Err(error));
                }
                task.wake(std::thread::current());
                self.tasks.push((*task, ended));
            }
            Command::Swap { partitions, version, plugins } => {
                if let Some(plugins) = plugins {
                    self.plugins.insert(version.id(), *plugins);
                }
                let pipeline = &version.plan.pipeline;
                for (task, _) in &mut self.tasks {
                    if task.version().plan.pipeline == *pipeline && partitions.contains(task.partition()) {
                        task.swap(Arc::clone(&version));
                    }
                }
                self.tidy();
            }
            Command::Finish { pipeline, partition } => {
                if let Some(index) = self.find(&pipeline, &partition) {
                    self.tasks[index].0.finish();
                }
            }
            Command::Drop { pipeline, partition } => {
                if let Some(index) = self.find(&pipeline, &partition) {
                    self.end(index, Ok(()));
                }
            }
            Command::Stop => {}
        }
    }

    /// Drops the instances that no task works with, or is about to.
    fn tidy(&mut self) {
        let versions: Vec<u64> = self.tasks.iter().flat_map(|(task, _)| task.versions()).collect();
        self.plugins.retain(|version, _| versions.contains(version));
    }

    /// One step of each task. `None`: there is more to do at once; otherwise nothing before that time.
    fn step_all(&mut self) -> Option<Option<Instant>> {
        let (mut worked, mut until) = (false, None::<Instant>);
        let mut index = 0;
        while index < self.tasks.len() {
            let task = &mut self.tasks[index].0;
            let stepped = match self.plugins.get_mut(&task.version().id()) {
                Some(plugins) => contained(task, |task| task.step(plugins)),
                // Opened when the task came or its version changed, dropped after the last of its kind has gone.
                None => Err(TaskError::Fatal("no plugins".to_owned())),
            };
            match stepped {
                Ok(Stepped::Worked) => worked = true,
                Ok(Stepped::Swapped) => {
                    worked = true;
                    // They are here, unless the task came to this worker while its pipeline was being swapped.
                    if let Err(error) = open(&mut self.plugins, task) {
                        self.end(index, Err(error));
                        continue;
                    }
                    self.tidy();
                }
                Ok(Stepped::Idle(time)) => until = until.into_iter().chain(time).min(),
                Ok(Stepped::Finished) => {
                    self.end(index, Ok(()));
                    continue;
                }
                Err(error) => {
                    self.end(index, Err(error));
                    continue;
                }
            }
            index += 1;
        }
        if worked { None } else { Some(until) }
    }

    fn end(&mut self, index: usize, result: Result<(), TaskError>) {
        let (task, ended) = self.tasks.swap_remove(index);
        // The queue goes before the owner hears of it: the partition may come back at once.
        drop(task);
        self.tidy();
        ended(result);
    }

    fn find(&self, pipeline: &str, partition: &TopicPartition) -> Option<usize> {
        let is_it = |task: &Task| task.version().plan.pipeline == pipeline && task.partition() == partition;
        self.tasks.iter().position(|(task, _)| is_it(task))
    }
}

/// Makes instances of the plugins that a task works with.
fn open(plugins: &mut HashMap<u64, Plugins>, task: &mut Task) -> Result<(), TaskError> {
    contained(task, |task| open_plugins(plugins, task.version()))
}

/// Makes instances of a version's plugins, unless they are here. On probation one that can't be opened is at fault itself.
fn open_plugins(plugins: &mut HashMap<u64, Plugins>, version: &Version) -> Result<(), TaskError> {
    if let Entry::Vacant(place) = plugins.entry(version.id()) {
        place.insert((version.open)().map_err(|error| version.ends(error.to_string()))?);
    }
    Ok(())
}

/// Does what is one task's. A panic in it ends that task, and its pipeline with it: the task is dropped as it is, and used no more.
fn contained<T>(task: &mut Task, work: impl FnOnce(&mut Task) -> Result<T, TaskError>) -> Result<T, TaskError> {
    catch_unwind(AssertUnwindSafe(|| work(task))).unwrap_or_else(|panic| {
        let words = panic.downcast_ref::<String>().map(String::as_str);
        let words = words.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without words");
        Err(TaskError::Fatal(format!("{}: a panic, which is a fault of rillgate's: {words}", task.partition())))
    })
}

#[cfg(test)]
mod tests;
