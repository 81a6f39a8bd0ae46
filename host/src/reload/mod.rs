//! What changes while the pipelines run: plugins and pipelines.toml, and how a new version of a pipeline goes live.
//!
//! A thread of its own watches the files, hears what operators ask for, and has one candidate after another compiled, checked and tried
//! before the tasks get to know of it.
//!
//! What never happens: anything here stands in the way of data; a configuration with a mistake in it changes anything; a version
//! goes live that was not checked; one that was found to be no good is taken again without being told.
//!
//! - [`keeper`]: what is live, what waits, what is on probation
//! - [`candidate`]: whether a version may take over
//! - [`golden`], [`shadow`], [`report`]: its own cases, and how it does beside what is live
//! - [`start`]: what a pipeline begins with
//! - [`history`]: what became of each version
//! - [`watch`]: that files have changed

pub mod candidate;
pub mod change;
mod compare;
pub mod golden;
mod groups;
pub mod history;
mod json;
mod keeper;
mod live;
mod plan;
pub mod report;
pub mod sample;
pub mod shadow;
mod start;
#[cfg(test)]
mod tests;
pub mod watch;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::oneshot;

use crate::config::Config;
use crate::pipeline::Pipeline;
use crate::plugin::Engine;
use crate::supervisor::Supervisor;

pub use change::Change;
pub use history::{Event, History, Outcome};
pub use start::at_start;

/// How often what is on probation is looked at.
const TICK: Duration = Duration::from_millis(100);

/// Where a configuration comes from, so that it can be read again.
#[derive(Debug, Clone)]
pub struct Source {
    /// The file.
    pub path: PathBuf,
    /// What was said on the command line.
    pub overrides: Vec<String>,
    /// Whether a pipeline of this name is asked for.
    pub is_asked_for: fn(&str, &[String]) -> bool,
    /// What pipelines are asked for.
    pub only: Vec<String>,
}

/// What an operator asks for.
#[derive(Debug)]
pub enum Command {
    /// Look at all files now.
    Reload,
    /// Say what this configuration would do in the place of that in the file, and do nothing.
    Plan(String),
    /// Have the version go live that waits, or that did not pass.
    Promote(String),
    /// Have a version be live again that was live before: the one before, or that of a plugin whose digest begins so.
    Rollback(String, Option<String>),
    /// Put a plugin in the place of one of a pipeline's: of this one, counted from 0, the aggregate coming last.
    Push(String, usize, Vec<u8>),
    /// Say which versions there are.
    Show(String),
    /// Say what the version that is live makes of the newest rows, and what the one before it does.
    Sample(String),
}

/// What becomes of it: words for people, and what there is beside.
pub type Answer = Result<serde_json::Value, String>;

/// It, and who is told of it.
type Asked = (Command, oneshot::Sender<Answer>);

/// What there is of a pipeline.
#[derive(Debug, Clone, Serialize)]
pub struct Shown {
    /// SHA-256 of the plugins that are live, in order.
    pub live: Vec<String>,
    /// Their files.
    pub files: Vec<PathBuf>,
    /// What they go back to if they don't prove themselves; `None` once they have.
    pub goes_back_to: Option<Vec<String>>,
    /// The plugins that wait to be promoted.
    pub waiting: Option<Vec<String>>,
    /// What became of all versions, oldest first.
    pub events: Vec<Event>,
}

/// The thread that keeps the pipelines what the files say. Ends when the supervisor stops.
pub struct Reload {
    commands: Sender<Asked>,
    waker: watch::Waker,
    thread: std::sync::Mutex<Option<JoinHandle<()>>>,
}

impl Reload {
    /// Keeps pipelines that run what files say. `watcher` has watched the configuration since before it was read.
    ///
    /// # Errors
    /// Of the machine: there is no thread.
    pub fn start(
        watcher: watch::Watcher,
        source: Source,
        config: Config,
        pipelines: Vec<Arc<Pipeline>>,
        engine: Engine,
        supervisor: Arc<Supervisor>,
    ) -> std::io::Result<Self> {
        let (commands, inbox) = channel();
        let waker = watcher.waker();
        let run = move || {
            let mut keeper = keeper::Keeper::new(source, config, pipelines, engine, supervisor);
            run(&mut keeper, watcher, &inbox);
        };
        let thread = std::thread::Builder::new().name("reload".to_owned()).spawn(run)?;
        Ok(Self { commands, waker, thread: std::sync::Mutex::new(Some(thread)) })
    }

    /// Has something done, once all that was asked for before is.
    ///
    /// # Errors
    /// Why it isn't done.
    pub async fn ask(&self, command: Command) -> Answer {
        let ended = || "the host is stopping".to_owned();
        let (tell, answer) = oneshot::channel();
        self.commands.send((command, tell)).map_err(|_| ended())?;
        self.waker.wake();
        answer.await.map_err(|_| ended())?
    }

    /// One without a thread, whose commands come out elsewhere.
    #[cfg(test)]
    pub(crate) fn without_thread() -> (Self, Receiver<Asked>) {
        let (commands, inbox) = channel();
        (Self { commands, waker: watch::Watcher::new([]).waker(), thread: std::sync::Mutex::new(None) }, inbox)
    }

    /// Waits for the thread to end, which it does once the supervisor stops.
    pub fn end(&self) {
        self.waker.wake();
        let thread = self.thread.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that watches files panicked");
        }
    }
}

fn run(keeper: &mut keeper::Keeper, mut watcher: watch::Watcher, inbox: &Receiver<Asked>) {
    watcher.set(keeper.watched());
    keeper.look_again();
    while !keeper.is_over() {
        let changed = watcher.wait(TICK);
        let mut is_new = !changed.is_empty();
        while !keeper.is_over()
            && let Ok((command, tell)) = inbox.try_recv()
        {
            // Who asked may have gone.
            let _ = tell.send(keeper.obey(command));
            is_new = true;
            // However much is asked, a version that fails goes back.
            keeper.look_after();
        }
        if !changed.is_empty() {
            keeper.files_changed(&changed);
        }
        if is_new {
            watcher.set(keeper.watched());
        }
        keeper.look_after();
    }
}
