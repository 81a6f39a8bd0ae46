//! All transforms of a pipeline, one after another, on one thread; and the search for the messages that break them.
//!
//! A message is done whole or not at all. What fails as a whole (a trap, a time-out, a bad answer, a row that a later
//! transform or the sink won't take) can't be pinned on a row, so the messages are halved and done again from the
//! first transform, until those that fail alone are found. What a failed range gave is thrown away: nothing comes out
//! twice, and nothing of a dead message comes out at all.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::BooleanArray;
use arrow::compute::filter_record_batch;

use super::failed::FailedCall;
use super::instance::BatchTime;
use super::returned::Applied;
use super::tables::{MAIN, Table};
use super::transform::Transform;
use super::{ApplyError, ChainError, Limits, Plugin, PluginError};
use crate::batch::{RecordBatch, Rejection, Rows, SchemaRef};

/// Messages that may fail alone one after another, with no message in between that a plugin can do something with. One
/// more, and it is the plugin that is broken, not the messages.
const MAX_FAILURES: usize = 32;
/// How long messages of one batch are looked for that fail, from the first failure on: meanwhile the worker's other tasks stand still. A call
/// that goes on by then goes on, up to its plugin's own limit.
const SEARCH: Duration = Duration::from_secs(600);

/// One transform of a pipeline as it is configured.
#[derive(Debug, Clone)]
pub struct Step {
    /// The plugin.
    pub plugin: Arc<Plugin>,
    /// What it may use.
    pub limits: Limits,
    /// Its settings: names and values.
    pub settings: Vec<(String, String)>,
}

/// A message that can't be processed, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dead {
    /// Index of the message among those of the batch.
    pub message: u32,
    /// Where it failed: `transform`, `aggregate` or `sink`.
    pub stage: String,
    /// What is wrong, in words for the person who looks at the dead letters.
    pub reason: String,
    /// Digest of the plugin that it failed in.
    pub plugin: Option<String>,
    /// It breaks the plugin, by a trap or a time-out say, where other messages are refused.
    pub broke: bool,
}

/// The transforms of a pipeline on one worker thread.
pub struct Chain {
    transforms: Vec<Transform>,
    tables: Vec<Table>,
    /// For each table of each transform: the index in `tables`, or `None` for what the next transform gets.
    routes: Vec<Vec<Option<usize>>>,
    /// Messages that failed alone since a plugin last gave a good answer, over all batches.
    failures: usize,
    /// When to look no longer for the messages that fail; `None`: by `search`.
    deadline: Option<Instant>,
    /// [`SEARCH`].
    pub(super) search: Duration,
    /// Whether a plugin broke on a message alone since the failed calls were last taken.
    broke: bool,
}

/// Takes rows, or refuses all of them: the index of the table in [`Chain::tables`], and rows of it. Those of `main` come last, after all
/// other tables have taken theirs: only there may taking have an effect.
pub type Take<'a> = &'a mut dyn FnMut(usize, &RecordBatch) -> Result<(), Refusal>;

/// Why rows that went through all transforms are not taken.
#[derive(Debug)]
pub enum Refusal {
    /// One of them is bad, in this stage, for this reason; and the plugin that says so.
    Row {
        /// `aggregate` or `sink`.
        stage: &'static str,
        /// In words for the person who looks at the dead letters.
        reason: String,
        /// Whose word it is.
        plugin: Option<Arc<Plugin>>,
    },
    /// A plugin after the transforms failed.
    Broke(Arc<Plugin>, ApplyError),
}

/// What came of a range of messages.
struct Done {
    /// Batches for each table.
    out: Vec<RecordBatch>,
    /// Reasons for which the first transform rejected messages.
    rejected: BTreeMap<u32, String>,
}

/// Why a range of messages failed as a whole.
enum Failure {
    /// A transform trapped, timed out, or gave no good answer.
    Broke(usize, ApplyError),
    /// A later transform than the first rejected a row.
    Rejected(usize, String),
    /// What comes after the transforms won't take the rows.
    Refused(Refusal),
}

impl Failure {
    fn reason(&self) -> String {
        match self {
            Self::Broke(_, error) | Self::Refused(Refusal::Broke(_, error)) => error.to_string(),
            Self::Rejected(_, reason) | Self::Refused(Refusal::Row { reason, .. }) => reason.clone(),
        }
    }
}

impl Chain {
    /// Opens the transforms, each for the `main` output of the one before it.
    ///
    /// Without any, rows pass through to the one table `main`.
    ///
    /// # Errors
    /// As [`Transform::open`], and when two transforms write to an output of the same name.
    pub fn open(steps: &[Step], input: &SchemaRef) -> Result<Self, PluginError> {
        let mut main = Arc::clone(input);
        let mut transforms = Vec::new();
        let mut named: Vec<(Table, PathBuf)> = Vec::new();
        let mut routes = Vec::new();
        for (index, step) in steps.iter().enumerate() {
            let transform = Transform::open(&step.plugin, &step.limits, &step.settings, &main)?;
            let mut route = Vec::new();
            for table in transform.tables() {
                if table.name == MAIN {
                    main = Arc::clone(&table.schema);
                    route.push((index + 1 == steps.len()).then_some(0));
                    continue;
                }
                if let Some((_, first)) = named.iter().find(|(other, _)| other.name == table.name) {
                    return Err(PluginError::TableTwice {
                        first: first.clone(),
                        second: step.plugin.path.clone(),
                        table: table.name.clone(),
                    });
                }
                named.push((table.clone(), step.plugin.path.clone()));
                route.push(Some(named.len()));
            }
            routes.push(route);
            transforms.push(transform);
        }
        let mut tables = vec![Table { name: MAIN.to_owned(), schema: main }];
        tables.extend(named.into_iter().map(|(table, _)| table));
        Ok(Self { transforms, tables, routes, failures: 0, deadline: None, search: SEARCH, broke: false })
    }

    /// `main` of the last transform, then the named outputs of all of them.
    pub fn tables(&self) -> &[Table] {
        &self.tables
    }

    /// Looks no longer than this for the messages that fail: [`ChainError::OutOfTime`] then. A call that goes on by then goes on, up to its
    /// plugin's own limit.
    pub fn stop_at(&mut self, deadline: Instant) {
        self.deadline = Some(deadline);
    }

    /// Takes rows through all transforms. The batches for table `i` are in element `i` of the answer, in the order of
    /// their messages; none is empty.
    ///
    /// `take` has the last word on rows: the messages of those that it refuses become dead, too.
    ///
    /// # Errors
    /// When a plugin can't go on. `dead` is then as it was.
    pub fn apply(
        &mut self,
        rows: &Rows,
        now: BatchTime,
        take: Take,
        dead: &mut Vec<Dead>,
    ) -> Result<Vec<Vec<RecordBatch>>, ChainError> {
        let mut out = vec![Vec::new(); self.tables.len()];
        let (dead_before, mut deadline) = (dead.len(), self.deadline);
        // Ranges of rows that begin and end where messages do; the first is last.
        let mut ranges = Vec::new();
        ranges.push(0..rows.batch.num_rows());
        while let Some(range) = ranges.pop() {
            if range.is_empty() {
                continue;
            }
            let failure = match self.run(rows, &range, now, take) {
                Ok(done) => {
                    self.take_in(done, &mut out, dead);
                    continue;
                }
                Err(failure) => failure,
            };
            if let Some((plugin, ApplyError::Reopen(reason))) = self.broken(&failure) {
                dead.truncate(dead_before);
                return Err(ChainError::Reopen { plugin, reason: reason.clone() });
            }
            let at = Instant::now();
            if at >= *deadline.get_or_insert(at + self.search) {
                dead.truncate(dead_before);
                return Err(ChainError::OutOfTime { reason: failure.reason() });
            }
            match halves(&rows.origin, &range) {
                Some((first, second)) => ranges.extend([second, first]),
                None => {
                    let message = rows.origin[range.start];
                    self.fail_alone(message, failure, dead).inspect_err(|_| dead.truncate(dead_before))?;
                }
            }
        }
        Ok(out)
    }

    /// The same, but for this: a batch that breaks a plugin is not taken apart. Nothing of it is taken then.
    ///
    /// # Errors
    /// When a plugin breaks, or can't go on. `dead` is then as it was.
    pub fn apply_whole(
        &mut self,
        rows: &Rows,
        now: BatchTime,
        take: Take,
        dead: &mut Vec<Dead>,
    ) -> Result<Vec<Vec<RecordBatch>>, ChainError> {
        let all = 0..rows.batch.num_rows();
        let failure = match self.run(rows, &all, now, take) {
            Ok(done) => {
                let mut out = vec![Vec::new(); self.tables.len()];
                self.take_in(done, &mut out, dead);
                return Ok(out);
            }
            Err(failure) => failure,
        };
        match self.broken(&failure) {
            Some((plugin, error)) => Err(ChainError::Broke { plugin, reason: error.to_string() }),
            // It is the messages that are bad.
            None => self.apply(rows, now, take, dead),
        }
    }

    /// The plugin that broke, and how, if it is one that did.
    fn broken<'a>(&self, failure: &'a Failure) -> Option<(String, &'a ApplyError)> {
        match failure {
            Failure::Broke(index, error) => Some((self.path(*index), error)),
            Failure::Refused(Refusal::Broke(plugin, error)) => Some((path(plugin), error)),
            Failure::Rejected(..) | Failure::Refused(Refusal::Row { .. }) => None,
        }
    }

    /// How many instances had to be replaced because their memory had grown.
    pub fn grown(&self) -> u64 {
        self.transforms.iter().map(Transform::grown).sum()
    }

    /// Takes in what came of a range.
    fn take_in(&mut self, done: Done, out: &mut [Vec<RecordBatch>], dead: &mut Vec<Dead>) {
        self.failures = 0;
        let batches = out.iter_mut().zip(done.out).filter(|(_, batch)| batch.num_rows() > 0);
        batches.for_each(|(out, batch)| out.push(batch));
        let digest = self.transforms.first().map(|transform| transform.plugin().digest.clone());
        dead.extend(done.rejected.into_iter().map(|(message, reason)| Dead {
            message,
            stage: "transform".to_owned(),
            reason,
            plugin: digest.clone(),
            broke: false,
        }));
    }

    /// Takes note of a message that fails alone.
    fn fail_alone(&mut self, message: u32, failure: Failure, dead: &mut Vec<Dead>) -> Result<(), ChainError> {
        let at = |index: usize| Arc::clone(self.transforms[index].plugin());
        let (stage, reason, plugin, broke) = match failure {
            Failure::Broke(index, error) => ("transform", error.to_string(), Some(at(index)), true),
            Failure::Rejected(index, reason) => ("transform", reason, Some(at(index)), false),
            Failure::Refused(Refusal::Row { stage, reason, plugin }) => (stage, reason, plugin, false),
            Failure::Refused(Refusal::Broke(plugin, error)) => ("aggregate", error.to_string(), Some(plugin), true),
        };
        // Otherwise the plugins work, and it is the message that is bad.
        self.failures = if broke { self.failures + 1 } else { 0 };
        self.broke |= broke;
        if let (Some(plugin), true) = (&plugin, self.failures > MAX_FAILURES) {
            return Err(ChainError::Failing { plugin: path(plugin), failures: self.failures, reason });
        }
        let plugin = plugin.map(|plugin| plugin.digest.clone());
        dead.push(Dead { message, stage: stage.to_owned(), reason, plugin, broke });
        Ok(())
    }

    /// Whether a plugin broke on a message alone since this was last asked, and what it was asked.
    pub(super) fn take_failed(&mut self) -> (bool, Vec<FailedCall>) {
        let failed = self.transforms.iter_mut().filter_map(Transform::take_failed).collect();
        (std::mem::take(&mut self.broke), failed)
    }

    fn path(&self, index: usize) -> String {
        path(self.transforms[index].plugin())
    }

    /// Takes a range of rows through all transforms.
    fn run(&mut self, rows: &Rows, range: &Range<usize>, now: BatchTime, take: Take) -> Result<Done, Failure> {
        let mut main = rows.batch.slice(range.start, range.len());
        let origin = &rows.origin[range.clone()];
        let mut rejected = BTreeMap::new();
        let mut out: Vec<Option<RecordBatch>> = vec![None; self.tables.len()];
        for index in 0..self.transforms.len() {
            let applied = match index {
                0 => self.first(&main, origin, now, &mut rejected)?,
                _ => self.later(index, &main, now)?,
            };
            for (batch, route) in applied.batches.into_iter().zip(&self.routes[index]) {
                match route {
                    Some(table) => out[*table] = Some(batch),
                    None => main = batch,
                }
            }
        }
        if self.transforms.is_empty() {
            out[0] = Some(main);
        }
        // Each table is an output of exactly one transform, so none is missing.
        let out: Vec<RecordBatch> = out.into_iter().flatten().collect();
        for (table, batch) in out.iter().enumerate().rev().filter(|(_, batch)| batch.num_rows() > 0) {
            take(table, batch).map_err(Failure::Refused)?;
        }
        Ok(Done { out, rejected })
    }

    /// The first transform, whose rows are those of messages: a message of which it rejects a row is left out whole.
    fn first(
        &mut self,
        batch: &RecordBatch,
        origin: &[u32],
        now: BatchTime,
        rejected: &mut BTreeMap<u32, String>,
    ) -> Result<Applied, Failure> {
        let transform = &mut self.transforms[0];
        let broke = |error| Failure::Broke(0, error);
        let applied = transform.apply(batch, now).map_err(broke)?;
        if applied.rejected.is_empty() {
            return Ok(applied);
        }
        for Rejection { row, reason } in &applied.rejected {
            rejected.entry(origin[*row as usize]).or_insert_with(|| reason.clone());
        }
        // Rows that belong to rejected messages but were not rejected themselves are in the output: do it again without.
        let kept: BooleanArray = origin.iter().map(|message| Some(!rejected.contains_key(message))).collect();
        if kept.false_count() == applied.rejected.len() {
            return Ok(applied);
        }
        let batch = filter_record_batch(batch, &kept)
            .map_err(|error| broke(ApplyError::Failed(format!("leaving out rejected messages: {error}"))))?;
        let applied = transform.apply(&batch, now).map_err(broke)?;
        match applied.rejected.first() {
            None => Ok(applied),
            // It depends on the other rows what it rejects: the messages must be told apart one by one.
            Some(rejection) => Err(Failure::Rejected(0, rejection.reason.clone())),
        }
    }

    /// A later transform, whose rows can't be traced to messages.
    fn later(&mut self, index: usize, batch: &RecordBatch, now: BatchTime) -> Result<Applied, Failure> {
        let applied = self.transforms[index].apply(batch, now).map_err(|error| Failure::Broke(index, error))?;
        match applied.rejected.first() {
            None => Ok(applied),
            Some(rejection) => Err(Failure::Rejected(index, rejection.reason.clone())),
        }
    }
}

fn path(plugin: &Plugin) -> String {
    plugin.path.display().to_string()
}

/// A range cut in two near its middle, where a message begins; `None` if it is all one message.
fn halves(origin: &[u32], range: &Range<usize>) -> Option<(Range<usize>, Range<usize>)> {
    let messages = &origin[range.clone()];
    let middle = messages[messages.len() / 2];
    let first_of = messages.partition_point(|&message| message < middle);
    let cut = match first_of {
        0 => messages.partition_point(|&message| message <= middle),
        _ => first_of,
    };
    let cut = range.start + cut;
    (cut < range.end).then_some((range.start..cut, cut..range.end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_between_messages_until_one_is_left() {
        let origin = [0, 1, 1, 1, 1, 4, 5];
        assert_eq!(halves(&origin, &(0..7)), Some((0..1, 1..7)));
        assert_eq!(halves(&origin, &(1..7)), Some((1..5, 5..7)));
        assert_eq!(halves(&origin, &(1..5)), None);
        assert_eq!(halves(&origin, &(5..7)), Some((5..6, 6..7)));
        assert_eq!(halves(&origin, &(6..7)), None);
    }
}
