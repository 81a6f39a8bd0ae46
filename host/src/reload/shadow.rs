//! A shadow run: the running version of a pipeline and the one that is to take over, over the same newest batches, batch by batch in
//! turns.
//!
//! What never happens: anything of it goes anywhere, or a plugin of the pipeline's workers is touched. Both versions have instances of
//! their own here, and groups of their own that hold the rows of these batches and no others.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::compare::TableComparison;
use super::groups::Groups;
use super::report::{Ran, Report};
use crate::batch::{RecordBatch, Rows, Schema, SchemaRef};
use crate::encode::TargetWriter;
use crate::metrics::cpu_time;
use crate::pipeline::{Pipeline, PipelineTable};
use crate::plugin::{BatchTime, Plugins};
use crate::task::check;

/// How long a shadow run may take. What a plugin is doing by then it may end, within its own limit.
pub const TIME_LIMIT: Duration = Duration::from_secs(30);

/// Runs both versions over the same batches, of the old one's columns, and compares what comes out.
///
/// # Errors
/// A plugin fails in `open` that didn't before.
pub fn run(
    old: &Pipeline,
    new: &Pipeline,
    recent: &[(Rows, BatchTime)],
    time_limit: Duration,
) -> Result<Report, String> {
    if old.input() != new.input() {
        return Ok(Report::skip(
            "the new version has other columns to decode, and what came was decoded for the old one",
        ));
    }
    // Before the old version there may have been one with other columns.
    let batches: Vec<_> = recent.iter().filter(|(rows, _)| rows.batch.schema_ref() == old.input()).collect();
    if batches.is_empty() {
        return Ok(Report::skip("no rows have come yet"));
    }
    // Plugins log within it.
    let _named = tracing::info_span!("shadow", pipeline = old.name()).entered();
    let (mut old, mut new) = (Version::open(old)?, Version::open(new)?);
    let deadline = Instant::now() + time_limit;
    old.plugins.chain.stop_at(deadline);
    new.plugins.chain.stop_at(deadline);
    let odd = |error: arrow::error::ArrowError| error.to_string();
    let mut tables = tables(&old, &new).map_err(odd)?;
    let mut report = Report::default();
    for (index, (rows, now)) in batches.iter().enumerate() {
        if Instant::now() >= deadline {
            let (done, all) = (report.batches, batches.len());
            report.stopped = Some(format!("time was up after {done} of {all} batches"));
            break;
        }
        // The first finds no cache warm, and who comes second finds the rows there.
        let timed = index > 0 || batches.len() == 1;
        let (of_old, of_new) = if index % 2 == 0 {
            let of_old = old.apply(index, rows, *now, timed);
            (of_old, new.apply(index, rows, *now, timed))
        } else {
            let of_new = new.apply(index, rows, *now, timed);
            (old.apply(index, rows, *now, timed), of_new)
        };
        let (Some(of_old), Some(of_new)) = (of_old, of_new) else { break };
        for table in &mut tables {
            table.add(&of_old, &of_new).map_err(odd)?;
        }
        report.batches += 1;
        report.rows += rows.batch.num_rows() as u64;
        report.messages += rows.origin.chunk_by(|a, b| a == b).count() as u64;
    }
    if old.ran.failed.is_none() && new.ran.failed.is_none() {
        let now = batches.iter().map(|(_, now)| *now).max_by_key(|now| now.timestamp_ms).unwrap_or_default();
        if let (Some(of_old), Some(of_new)) = (old.finish(now), new.finish(now)) {
            for table in &mut tables {
                table.add(&of_old, &of_new).map_err(odd)?;
            }
        }
    }
    if report.stopped.is_none() && report.batches < batches.len() {
        let (done, all) = (report.batches, batches.len());
        report.stopped = Some(format!("a version could not go on after {done} of {all} batches"));
    }
    report.newly_broken = new.broken.difference(&old.broken).count() as u64;
    report.tables = tables.into_iter().map(|table| table.comparison.difference).collect();
    (report.old, report.new) = (old.ran, new.ran);
    report.conclude();
    Ok(report)
}

/// Batches for each of a version's tables.
type Tables = Vec<Vec<RecordBatch>>;

/// A version of a pipeline that is tried.
struct Version {
    plugins: Plugins,
    groups: Option<Groups>,
    tables: Vec<PipelineTable>,
    /// What rows the sinks can't take.
    writers: Vec<Option<TargetWriter>>,
    ran: Ran,
    /// Batch and message of those that break it.
    broken: HashSet<(usize, u32)>,
}

impl Version {
    fn open(pipeline: &Pipeline) -> Result<Self, String> {
        let groups = pipeline.aggregate().map(|step| Groups::new(&step.window, &step.rows, &step.state));
        let writer = |table: &PipelineTable| {
            table.target.as_ref().map(|target| TargetWriter::new(target, &table.schema)).transpose()
        };
        let writers = pipeline.tables().iter().map(writer).collect::<Result<_, _>>();
        Ok(Self {
            plugins: pipeline.open_plugins().map_err(|error| error.to_string())?,
            groups: groups.transpose()?.map(Groups::of_any_time),
            tables: pipeline.tables().to_vec(),
            writers: writers.map_err(|error| error.to_string())?,
            ran: Ran::default(),
            broken: HashSet::new(),
        })
    }

    /// Takes a batch through the transforms and folds it, as a task does. `None`: it can't go on.
    fn apply(&mut self, index: usize, rows: &Rows, now: BatchTime, timed: bool) -> Option<Tables> {
        let Plugins { chain, aggregate } = &mut self.plugins;
        let (groups, writers) = (&mut self.groups, &self.writers);
        let mut take = |table: usize, batch: &RecordBatch| match (table, &mut *groups, &mut *aggregate) {
            (0, Some(groups), Some(aggregate)) => groups.fold(batch, aggregate, now).map(drop),
            _ => check(writers, table, batch),
        };
        let mut dead = Vec::new();
        let began = cpu_time();
        let applied = chain.apply(rows, now, &mut take, &mut dead);
        let took = cpu_time() - began;
        for letter in &dead {
            match letter.broke {
                false => self.ran.reject(&letter.reason),
                true => {
                    self.ran.fail_on(&letter.reason);
                    self.broken.insert((index, letter.message));
                }
            }
        }
        if timed && rows.batch.num_rows() > 0 {
            self.ran.time(rows.batch.num_rows(), took);
        }
        let mut tables = applied.map_err(|error| self.ran.failed = Some(error.to_string())).ok()?;
        // What was folded comes out of the groups in the end, and late rows are none of the transforms'.
        if self.groups.is_some() {
            tables[0].clear();
        }
        tables.resize(self.tables.len(), Vec::new());
        Some(tables)
    }

    /// Gives all groups out, if there are any. `None`: it can't.
    fn finish(&mut self, now: BatchTime) -> Option<Tables> {
        let mut tables = vec![Vec::new(); self.tables.len()];
        if let (Some(groups), Some(aggregate)) = (&mut self.groups, &mut self.plugins.aggregate) {
            tables[0] = groups.finish(aggregate, now).map_err(|reason| self.ran.failed = Some(reason)).ok()?;
        }
        Some(tables)
    }

    fn index_of(&self, output: &str) -> Option<usize> {
        self.tables.iter().position(|table| table.output == output)
    }
}

/// One output, and where it is among the tables of each version.
struct Output {
    comparison: TableComparison,
    in_old: Option<usize>,
    in_new: Option<usize>,
}

impl Output {
    fn add(&mut self, old: &Tables, new: &Tables) -> Result<(), arrow::error::ArrowError> {
        let of = |tables: &Tables, at: Option<usize>| at.map(|at| tables[at].clone()).unwrap_or_default();
        self.comparison.add(&of(old, self.in_old), &of(new, self.in_new))
    }
}

/// All outputs that at least one version writes somewhere.
fn tables(old: &Version, new: &Version) -> Result<Vec<Output>, arrow::error::ArrowError> {
    let only_new = new.tables.iter().filter(|table| old.index_of(&table.output).is_none());
    let mut outputs = Vec::new();
    for table in old.tables.iter().chain(only_new) {
        let (in_old, in_new) = (old.index_of(&table.output), new.index_of(&table.output));
        let both = [(old, in_old), (new, in_new)].map(|(version, at)| at.map(|at| &version.tables[at]));
        if both.iter().flatten().all(|table| table.target.is_none()) {
            continue;
        }
        let none: SchemaRef = Arc::new(Schema::empty());
        let [old_schema, new_schema] = both.map(|table| table.map_or(&none, |table| &table.schema));
        let comparison = TableComparison::new(&table.output, old_schema, new_schema)?;
        outputs.push(Output { comparison, in_old, in_new });
    }
    Ok(outputs)
}
