//! How a task goes on with another version of its pipeline.

use std::sync::Arc;
use std::time::Instant;

use super::version::Stopped;
use super::{AggregatePlan, LogAt, Plan, Task, TaskError, Version};
use crate::batch::SchemaRef;
use crate::decode::Decoder;
use crate::encode::{DeadLetters, EncodeError, Target, TargetWriter};
use crate::plugin::Plugins;

/// What a task works with, as the version of its pipeline says.
pub(super) struct Tools {
    pub(super) decoder: Decoder,
    /// One for each table of the chain.
    pub(super) writers: Vec<Option<TargetWriter>>,
    pub(super) dead: DeadLetters,
    pub(super) dead_writer: TargetWriter,
}

impl Tools {
    pub(super) fn new(plan: &Plan) -> Result<Self, TaskError> {
        let fatal = |error: EncodeError| TaskError::Fatal(error.to_string());
        let footer = plan.footer();
        let open = |(target, schema): &(Target, SchemaRef)| {
            let mut writer = TargetWriter::new(target, schema)?;
            // For files that are closed before their epoch ends.
            writer.set_metadata(&footer);
            Ok(writer)
        };
        let writers = plan.tables.iter().map(|table| table.as_ref().map(open).transpose());
        let dead = DeadLetters::new(plan.dead_letters);
        let dead_target = Target::Table(dead.table_options(&plan.pipeline));
        let decoder = Decoder::new(&plan.decode, &plan.columns);
        let mut decoder = decoder.map_err(|error| TaskError::Fatal(error.to_string()))?;
        if let Some(registry) = &plan.registry {
            decoder.look_up_in(Arc::clone(registry.schemas()));
        }
        Ok(Self {
            decoder,
            writers: writers.collect::<Result<_, _>>().map_err(fatal)?,
            dead_writer: TargetWriter::new(&dead_target, &dead.schema()).map_err(fatal)?,
            dead,
        })
    }
}

/// Whether a task goes on with another version.
#[derive(Debug, PartialEq)]
pub(super) enum Turn {
    /// Not now: it goes on as before.
    No,
    /// It does.
    Done,
    /// Once the epoch before is decided.
    Waits,
}

impl Task {
    /// Asks it to go on with this version after the epoch at hand, which ends with the batch at hand.
    pub fn swap(&mut self, next: Arc<Version>) {
        self.next = Some(next);
    }

    /// The versions that it works by and goes on with.
    pub fn versions(&self) -> impl Iterator<Item = u64> {
        [Some(&self.version), self.next.as_ref()].into_iter().flatten().map(|version| version.id())
    }

    /// Goes on with the next version, if there is one and an epoch can end. While the epoch before is being decided that can't be, and
    /// the task goes on with what it has.
    pub(super) fn turn(&mut self, plugins: &mut Plugins) -> Result<Turn, TaskError> {
        if let Some(reason) = self.version.failure() {
            return Err(goes_back(reason));
        }
        let Some(next) = self.next.clone().filter(|_| !self.finishing) else { return Ok(Turn::No) };
        let is_between = self.epoch.is_empty() && self.epoch.since.is_none();
        if !matches!(self.log, LogAt::Here(_)) {
            return Ok(if is_between && !carries_over(&self.plan, &next.plan) { Turn::Waits } else { Turn::No });
        }
        let began = Instant::now();
        if !is_between {
            self.commit(plugins)?;
        }
        if !carries_over(&self.plan, &next.plan) {
            return match self.log {
                LogAt::Here(_) => Err(TaskError::Swapped("its state is read by the next version".to_owned())),
                _ => Ok(Turn::Waits),
            };
        }
        self.tools = Tools::new(&next.plan).map_err(|error| next.at_fault(error))?;
        if let (Some(folding), Some(plan)) = (&mut self.folding, &next.plan.aggregate) {
            folding.adopt(plan);
        }
        self.schemas = None;
        self.plan = Arc::clone(&next.plan);
        self.version = next;
        self.next = None;
        metrics::histogram!(crate::metrics::SWAP_PAUSE_SECONDS, "pipeline" => self.plan.pipeline.clone())
            .record(began.elapsed());
        Ok(Turn::Done)
    }

    /// What becomes of the task when a batch did not go through.
    pub(super) fn stopped(&self, stopped: Stopped) -> TaskError {
        stopped.ends(format_args!("{} from offset {}", self.queue.partition, self.epoch.end))
    }
}

impl Stopped {
    /// How a task ends by it, at this place.
    pub(super) fn ends(self, place: std::fmt::Arguments) -> TaskError {
        match self {
            Self::GoesBack(reason) => goes_back(&reason),
            Self::Chain(error) => TaskError::Fatal(format!("{place}: {error}")),
        }
    }
}

/// How a task ends whose version has failed.
fn goes_back(reason: &str) -> TaskError {
    TaskError::Swapped(format!("it goes back to the version before: {reason}"))
}

impl Version {
    /// Before an epoch of it is decided.
    ///
    /// # Errors
    /// It must not be: it has failed, and its tasks go back.
    pub(super) fn commits(&self) -> Result<(), TaskError> {
        match &self.probation {
            Some(probation) if !probation.commits() => Err(goes_back(self.failure().unwrap_or_default())),
            _ => Ok(()),
        }
    }

    /// How a task ends by what is not a matter of one batch: on probation the version is at fault.
    pub(crate) fn ends(&self, reason: String) -> TaskError {
        match self.fail(reason.clone()) {
            Some(reason) => goes_back(&reason),
            None => TaskError::Fatal(reason),
        }
    }

    /// The same where a task can't begin with it.
    pub(super) fn at_fault(&self, error: TaskError) -> TaskError {
        match error {
            TaskError::Fatal(reason) => self.ends(reason),
            other => other,
        }
    }
}

/// Whether what is in memory of groups is good for another version, too.
fn carries_over(from: &Plan, to: &Plan) -> bool {
    let same = |from: &AggregatePlan, to: &AggregatePlan| {
        let rules = |plan: &AggregatePlan| {
            plan.exchange.as_ref().map(|(side, exchange)| {
                (*side, exchange.placing.rule().to_owned(), exchange.placing.partitions(), exchange.sends_states)
            })
        };
        from.window == to.window && from.rows == to.rows && from.state == to.state && rules(from) == rules(to)
    };
    match (&from.aggregate, &to.aggregate) {
        (None, None) => true,
        (Some(from), Some(to)) => same(from, to),
        _ => false,
    }
}
