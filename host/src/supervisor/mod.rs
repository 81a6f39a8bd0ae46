//! Runs pipelines side by side: workers, one consumer each, and what happens when one of them fails.
//!
//! What never happens: a pipeline that fails takes another with it; anything is started before all of them are found good.

mod connect;
mod plan;
mod running;
mod status;
mod swap;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;

use crate::commit::{OpenError, Store};
use crate::config::Config;
use crate::pipeline::Pipeline;
use crate::registry::{Registry, RegistryError};
use crate::sink::SinkError;
use crate::source::SourceError;
use crate::worker::Worker;

pub use plan::{Way, way};
pub use running::Running;
pub use status::{PipelineStatus, State, TaskStatus};
pub use swap::SwapError;

/// How often the supervisor looks at what has no event.
const TICK: Duration = Duration::from_millis(50);

/// How to run.
#[derive(Debug, Clone, Default)]
pub struct RunOptions {
    /// End when everything that was there at the start has been committed.
    pub until_caught_up: bool,
    /// Worker threads; as many as there are cores unless given.
    pub workers: Option<usize>,
}

/// Why nothing was started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Kafka, for this pipeline.
    #[error("pipeline {pipeline}: {source}")]
    Source {
        /// The pipeline.
        pipeline: String,
        /// What is wrong.
        source: SourceError,
    },
    /// The topics that it sends to.
    #[error("pipeline {pipeline}: {source}")]
    Sink {
        /// The pipeline.
        pipeline: String,
        /// What is wrong.
        source: SinkError,
    },
    /// The object store.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The schema registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The machine.
    #[error("can't start: {0}")]
    Machine(std::io::Error),
}

impl StartError {
    /// Whether it stays as it is until someone changes the configuration.
    pub fn is_lasting(&self) -> bool {
        matches!(
            self,
            Self::Source { source: SourceError::Property(_), .. }
                | Self::Sink { source: SinkError::Property(_) | SinkError::Differs(_), .. }
                | Self::Store(OpenError::Invalid { .. })
        )
    }
}

/// What all pipelines have in common.
#[derive(Clone)]
struct Surroundings {
    store: Store,
    workers: Arc<Vec<Worker>>,
    /// Where uploads and commits run.
    runtime: Handle,
    registry: Option<Arc<Registry>>,
    until_caught_up: bool,
}

/// Pipelines that run.
pub struct Supervisor {
    pipelines: Mutex<Pipelines>,
    around: Surroundings,
    stopping: AtomicBool,
}

/// What runs, and what is to.
#[derive(Default)]
struct Pipelines {
    /// Parts of one pipeline follow one another, as rows do.
    running: Vec<Arc<Running>>,
    /// Names of those that begin again: they have ended, and run as soon as they can be started.
    coming: BTreeSet<String>,
}

impl Supervisor {
    /// Connects every pipeline to Kafka and to the store, and when all of that works starts them. Blocks meanwhile; `runtime`
    /// is where uploads and commits run.
    pub fn start(
        config: &Config,
        pipelines: &[Arc<Pipeline>],
        options: &RunOptions,
        runtime: &Handle,
    ) -> Result<Self, StartError> {
        let store = Store::open(&config.store.for_commit())?;
        if pipelines.iter().any(|pipeline| plan::is_exactly_once(pipeline.options())) {
            runtime.block_on(store.probe())?;
        }
        let registry = registry(config, pipelines, runtime)?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = (0..options.workers.unwrap_or(cores))
            .map(|index| Worker::start(format!("worker-{index}")))
            .collect::<Result<Vec<_>, _>>()
            .map_err(StartError::Machine)?;
        let around = Surroundings {
            store,
            workers: Arc::new(workers),
            runtime: runtime.clone(),
            registry,
            until_caught_up: options.until_caught_up,
        };
        // Side by side: each waits for Kafka's answers.
        let connected: Result<Vec<_>, StartError> = std::thread::scope(|scope| {
            let around = &around;
            let connect = |pipeline| scope.spawn(move || connect::connect(pipeline, around));
            let all: Vec<_> = pipelines.iter().map(connect).collect();
            all.into_iter().map(|one| one.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
        });
        let running: Vec<Arc<Running>> = connected?.into_iter().flatten().collect();
        for pipeline in &running {
            let joined = pipeline.join();
            joined.map_err(|source| StartError::Source { pipeline: pipeline.name().to_owned(), source })?;
        }
        let pipelines = Mutex::new(Pipelines { running, ..Pipelines::default() });
        Ok(Self { pipelines, around, stopping: AtomicBool::new(false) })
    }

    /// What each pipeline is at.
    pub fn status(&self) -> Vec<PipelineStatus> {
        let mut all: Vec<PipelineStatus> = Vec::new();
        for mut status in self.pipelines().running.iter().map(|part| part.status()) {
            // Where there are several parts, the last one says what the pipeline has come to.
            if let Some(before) = all.pop_if(|last| last.pipeline == status.pipeline) {
                status.tasks.splice(0..0, before.tasks);
                status.on_probation |= before.on_probation;
            }
            all.push(status);
        }
        all
    }

    /// Asks [`Supervisor::wait`] to end: every pipeline stops taking, commits what it has, and leaves its group.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Blocks until all pipelines have caught up or failed, and none begins again, or it is asked to stop; then stops them all, and says
    /// what each came to. `tick` is called now and then meanwhile.
    pub fn wait(&self, mut tick: impl FnMut(&[PipelineStatus])) -> Vec<PipelineStatus> {
        while !self.stopping.load(Ordering::Relaxed) {
            // Together: one that begins again is among the one or the other.
            let (running, mut going) = {
                let pipelines = self.pipelines();
                (pipelines.running.clone(), !pipelines.coming.is_empty())
            };
            for pipeline in &running {
                if pipeline.is_over() {
                    pipeline.stop();
                } else {
                    going = true;
                }
            }
            // One that has no pipelines may be given some.
            going |= running.is_empty() && !self.around.until_caught_up;
            tick(&self.status());
            if !going {
                break;
            }
            std::thread::sleep(TICK);
        }
        // Whoever starts pipelines stops doing so.
        self.stop();
        std::thread::scope(|scope| {
            let running = self.pipelines().running.clone();
            for pipeline in running {
                scope.spawn(move || pipeline.stop());
            }
        });
        self.around.workers.iter().for_each(Worker::stop);
        self.status()
    }
}

impl Supervisor {
    /// Whether it was asked to stop.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Where control files go, and what asks the store.
    pub fn store(&self) -> (&Store, &Handle) {
        (&self.around.store, &self.around.runtime)
    }

    fn pipelines(&self) -> MutexGuard<'_, Pipelines> {
        self.pipelines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The schema registry, where a pipeline reads or writes Avro. One that refuses us is an error now; one that is away is
/// waited for, by those that read.
fn registry(
    config: &Config,
    pipelines: &[Arc<Pipeline>],
    runtime: &Handle,
) -> Result<Option<Arc<Registry>>, RegistryError> {
    let reader = pipelines.iter().find(|pipeline| pipeline.options().decode.avro().is_some());
    let Some(options) = &config.schema_registry else { return Ok(None) };
    let registry = Registry::new(options)?;
    let Some(reader) = reader else { return Ok(Some(Arc::new(registry))) };
    let topic = reader.options().topics.first().map_or("", String::as_str);
    match runtime.block_on(registry.knock(&format!("{topic}-value"))) {
        Err(error @ RegistryError::Refused { .. }) => return Err(error),
        Err(error) => tracing::warn!(%error, "messages wait until their schemas can be asked for"),
        Ok(()) => {}
    }
    Ok(Some(Arc::new(registry)))
}
