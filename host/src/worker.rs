//! As many threads as there are cores; each owns a set of tasks and does their work from decode to encode.
//!
//! Plugin instances belong to a worker and a pipeline: two hundred partitions of a Python plugin are not two hundred Pythons.
//! What never happens: a task moves from one worker to another; a worker waits while one of its tasks has work.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, Thread};
use std::time::Instant;

use crate::plugin::{PluginError, Plugins};
use crate::source::TopicPartition;
use crate::task::{Plan, Side, Stepped, Task, TaskError};

/// Told when a task has ended: by itself with an error, or finished as asked.
pub type Ended = Box<dyn FnOnce(Result<(), TaskError>) + Send>;
/// Makes the plugin instances of a pipeline.
pub type OpenPlugins = Arc<dyn Fn() -> Result<Plugins, PluginError> + Send + Sync>;

enum Command {
    Add { task: Box<Task>, open: OpenPlugins, ended: Ended },
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
    pub fn add(&self, task: Task, open: OpenPlugins, ended: Ended) {
        self.tell(Command::Add { task: Box::new(task), open, ended });
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
    /// Those of each part of each pipeline.
    plugins: HashMap<(String, Option<Side>), Plugins>,
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
            Command::Add { mut task, open, ended } => {
                if let Entry::Vacant(place) = self.plugins.entry(part(task.plan())) {
                    match open() {
                        Ok(plugins) => drop(place.insert(plugins)),
                        Err(error) => return ended(Err(TaskError::Fatal(error.to_string()))),
                    }
                }
                task.wake(std::thread::current());
                self.tasks.push((*task, ended));
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

    /// One step of each task. `None`: there is more to do at once; otherwise nothing before that time.
    fn step_all(&mut self) -> Option<Option<Instant>> {
        let (mut worked, mut until) = (false, None::<Instant>);
        let mut index = 0;
        while index < self.tasks.len() {
            let task = &mut self.tasks[index].0;
            let stepped = match self.plugins.get_mut(&part(task.plan())) {
                Some(plugins) => task.step(plugins),
                // Opened before the pipeline's first task was taken in, dropped after its last has gone.
                None => Err(TaskError::Fatal("no plugins".to_owned())),
            };
            match stepped {
                Ok(Stepped::Worked) => worked = true,
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
        let ended_part = part(task.plan());
        // The queue goes before the owner hears of it: the partition may come back at once.
        drop(task);
        if !self.tasks.iter().any(|(task, _)| part(task.plan()) == ended_part) {
            self.plugins.remove(&ended_part);
        }
        ended(result);
    }

    fn find(&self, pipeline: &str, partition: &TopicPartition) -> Option<usize> {
        self.tasks.iter().position(|(task, _)| task.plan().pipeline == pipeline && task.partition() == partition)
    }
}

/// Which part of which pipeline.
fn part(plan: &Plan) -> (String, Option<Side>) {
    (plan.pipeline.clone(), plan.side())
}
