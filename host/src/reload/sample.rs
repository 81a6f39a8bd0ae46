//! What a version makes of some rows, one by one, beside what the one before it makes of them, for the person who writes it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::Value;

use super::groups::Groups;
use super::json::{cut_row, row};
use crate::batch::{RecordBatch, Rows};
use crate::pipeline::Pipeline;
use crate::plugin::{Aggregate, BatchTime, Dead, Refusal};

/// How long a sample may take. What a plugin is doing by then it may end, within its own limit.
pub const TIME_LIMIT: Duration = Duration::from_secs(30);

/// What versions make of some rows.
#[derive(Debug, Serialize)]
pub struct Sample {
    /// Some rows as they were decoded.
    pub inputs: Vec<Value>,
    /// Rows in the batch that they are from.
    pub count: usize,
    /// What came of them.
    pub now: Made,
    /// What comes of them by the version before, where there is one that takes such rows.
    pub before: Option<Made>,
}

/// What a version makes of a batch.
#[derive(Debug, Default, Serialize)]
pub struct Made {
    /// What came of each of the rows shown.
    pub rows: Vec<MadeOfRow>,
    /// What came of all rows of the batch in groups, where they are aggregated: some of it.
    pub groups: Vec<Value>,
    /// What a row of the batch takes in the transforms, nanoseconds.
    pub ns_per_row: f64,
}

/// What came of a row.
#[derive(Debug, PartialEq, Serialize)]
pub struct MadeOfRow {
    /// Rows by output.
    pub output: BTreeMap<String, Vec<Value>>,
    /// Why it is a dead letter, if it is one.
    pub dead: Option<String>,
}

/// Runs a batch through instances of its own, of both versions; `shown` rows of it one by one.
///
/// # Errors
/// A plugin of the version fails in `open` that didn't before, or goes on no more, or time is up. Where it is the version before, what
/// that does is left out.
pub fn sample(
    pipeline: &Pipeline,
    before: Option<&Pipeline>,
    batch: &Rows,
    now: BatchTime,
    shown: usize,
    time_limit: Duration,
) -> Result<Sample, String> {
    let deadline = Instant::now() + time_limit;
    let rows = (0..batch.batch.num_rows().min(shown)).map(|index| batch.batch.slice(index, 1));
    let inputs: Result<_, String> = rows.map(|row| Ok(shown_of(&[row], 1)?.pop().unwrap_or_default())).collect();
    let takes_them = |before: &&Pipeline| before.input() == pipeline.input();
    Ok(Sample {
        inputs: inputs?,
        count: batch.batch.num_rows(),
        now: made(pipeline, batch, now, shown, deadline)?,
        before: before.filter(takes_them).and_then(|before| made(before, batch, now, shown, deadline).ok()),
    })
}

fn made(pipeline: &Pipeline, batch: &Rows, now: BatchTime, shown: usize, deadline: Instant) -> Result<Made, String> {
    let mut plugins = pipeline.open_plugins().map_err(|error| error.to_string())?;
    plugins.chain.stop_at(deadline);
    let groups = || {
        let groups = pipeline.aggregate().map(|step| Groups::new(&step.window, &step.rows, &step.state));
        Ok::<_, String>(groups.transpose()?.map(Groups::of_any_time))
    };
    let in_time = |what: String| if Instant::now() < deadline { Ok(()) } else { Err(format!("time was up {what}")) };
    let names: Vec<String> = plugins.chain.tables().iter().map(|table| table.name.clone()).collect();
    let mut made = Made::default();
    let rows = batch.batch.num_rows().min(shown);
    for index in 0..rows {
        in_time(format!("after {index} of {rows} rows"))?;
        let one = Rows { batch: batch.batch.slice(index, 1), origin: vec![0] };
        let mut dead: Vec<Dead> = Vec::new();
        let mut alone = groups()?;
        let mut take = folding(&mut alone, &mut plugins.aggregate, now);
        let tables = plugins.chain.apply(&one, now, &mut take, &mut dead).map_err(|error| error.to_string())?;
        let of_table =
            |(name, batches): (&String, Vec<RecordBatch>)| Ok((name.clone(), shown_of(&batches, usize::MAX)?));
        let output: Result<BTreeMap<_, _>, String> = names.iter().zip(tables).map(of_table).collect();
        made.rows.push(MadeOfRow {
            output: output?.into_iter().filter(|(_, rows)| !rows.is_empty()).collect(),
            dead: dead.pop().map(|dead| dead.reason),
        });
    }
    in_time("before the whole batch was done".to_owned())?;
    // The caches are warm by now.
    let began = Instant::now();
    let done = plugins.chain.apply(batch, now, &mut |_, _| Ok(()), &mut Vec::new());
    done.map_err(|error| error.to_string())?;
    made.ns_per_row = began.elapsed().as_nanos() as f64 / batch.batch.num_rows().max(1) as f64;
    let mut all = groups()?;
    if all.is_some() {
        in_time("before the batch was aggregated".to_owned())?;
        // Again, since it takes the transforms to leave out the messages whose rows the aggregate doesn't take.
        let mut take = folding(&mut all, &mut plugins.aggregate, now);
        plugins.chain.apply(batch, now, &mut take, &mut Vec::new()).map_err(|error| error.to_string())?;
    }
    if let (Some(groups), Some(plugin)) = (&mut all, &mut plugins.aggregate) {
        made.groups = shown_of(&groups.finish(plugin, now)?, shown)?;
    }
    Ok(made)
}

/// Folds rows of `main` where they are aggregated, as a task does.
fn folding(
    groups: &mut Option<Groups>,
    aggregate: &mut Option<Aggregate>,
    now: BatchTime,
) -> impl FnMut(usize, &RecordBatch) -> Result<(), Refusal> {
    move |table, rows| match (table, &mut *groups, &mut *aggregate) {
        (0, Some(groups), Some(aggregate)) => groups.fold(rows, aggregate, now).map(drop),
        _ => Ok(()),
    }
}

fn shown_of(batches: &[RecordBatch], shown: usize) -> Result<Vec<Value>, String> {
    let all = batches.iter().flat_map(|batch| (0..batch.num_rows()).map(move |index| (batch, index)));
    all.take(shown).map(|(batch, index)| Ok(cut_row(row(batch, index).map_err(|error| error.to_string())?))).collect()
}
