//! Cases that lie beside a plugin, `x.cases.json` beside `x.wasm`: rows that go in, and what must come out. Whoever writes a plugin
//! says by them what it is for, and a version of it that does otherwise is found before any data goes through it.

mod case;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::compute::concat_batches;
use arrow::compute::kernels::cmp::not_distinct;

use self::case::{Case, Expected};
use super::groups::Groups;
use super::json::{self, Row, cut_row, cut_value};
use crate::batch::{RecordBatch, Rejection, SchemaRef};
use crate::pipeline::{AggregateStep, LATE, Pipeline};
use crate::plugin::{Aggregate, BatchTime, MAIN, Plugin, PluginError, Refusal, Step, Table, Transform};
use crate::window::group_schema;

/// How long the cases of all plugins of a pipeline may take. What a plugin is doing by then it may end, within its own limit.
pub const TIME_LIMIT: Duration = Duration::from_secs(30);

/// A plugin that doesn't do what a case beside it says, or cases that can't be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Which plugin of the pipeline: `transform[0]` or `aggregate`.
    pub at: String,
    /// Its file, the case, and what is otherwise.
    pub message: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Runs the cases of all plugins of a pipeline, in the columns and with the settings that they have there; returns how many there are.
///
/// # Errors
/// Every case that fails, each with the first difference; and that time was up, if it was.
pub fn check(pipeline: &Pipeline, time_limit: Duration) -> Result<usize, Vec<Failure>> {
    // Plugins log within it.
    let _named = tracing::info_span!("cases", pipeline = pipeline.name()).entered();
    let deadline = Instant::now() + time_limit;
    let (mut count, mut failures) = (0, Vec::new());
    let mut run = |at: String, plugin: &Plugin, case: &mut dyn FnMut(&Case) -> Result<(), String>| {
        let path = plugin.path.display();
        match case::read(&plugin.path) {
            Ok(cases) => {
                count += cases.len();
                for (index, each) in cases.iter().enumerate() {
                    if Instant::now() >= deadline {
                        let message = format!("{path}: time was up after {index} of {} cases", cases.len());
                        failures.push(Failure { at, message });
                        break;
                    }
                    if let Err(reason) = case(each) {
                        let message = format!("{path}: case `{}`: {reason}", each.name);
                        failures.push(Failure { at: at.clone(), message });
                    }
                }
            }
            Err(message) => failures.push(Failure { at, message }),
        }
    };
    let mut columns = Arc::clone(pipeline.input());
    for (index, step) in pipeline.steps().iter().enumerate() {
        run(format!("transform[{index}]"), &step.plugin, &mut |case| transform(step, &columns, case));
        // It was opened before, so it can be now.
        if let Ok(opened) = Transform::open(&step.plugin, &step.limits, &step.settings, &columns) {
            let main = opened.tables().iter().find(|table| table.name == MAIN);
            columns = main.map_or(columns, |table| Arc::clone(&table.schema));
        }
    }
    if let Some(step) = pipeline.aggregate() {
        run("aggregate".to_owned(), &step.step.plugin, &mut |case| aggregate(step, case, deadline));
    }
    if failures.is_empty() { Ok(count) } else { Err(failures) }
}

/// Where the cases of a plugin are, if it has any.
pub fn path(plugin: &Path) -> std::path::PathBuf {
    plugin.with_extension("cases.json")
}

fn transform(step: &Step, columns: &SchemaRef, case: &Case) -> Result<(), String> {
    let columns = case.columns(columns)?;
    let settings = case.settings(&step.settings);
    let mut opened = Transform::open(&step.plugin, &step.limits, &settings, &columns).map_err(unopened)?;
    let applied = opened.apply(&input(case, &columns)?, BatchTime::default()).map_err(|error| error.to_string())?;
    compare_rejected(&case.rejected, &applied.rejected)?;
    compare(case, opened.tables(), &applied.batches)
}

fn aggregate(step: &AggregateStep, case: &Case, deadline: Instant) -> Result<(), String> {
    let AggregateStep { step, window, rows, .. } = step;
    let rows = case.columns(rows)?;
    let settings = case.settings(&step.settings);
    let odd = |error: arrow::error::ArrowError| error.to_string();
    let groups = group_schema(&rows, window).map_err(odd)?;
    let mut opened = Aggregate::open(&step.plugin, &step.limits, &settings, &rows, &groups).map_err(unopened)?;
    let input = input(case, &rows)?;
    let state = Arc::clone(opened.state());
    let none = || Groups::new(window, &rows, &state);
    let (mut groups, mut late, mut rejected) = (none()?, Vec::new(), Vec::new());
    match groups.fold(&input, &mut opened, BatchTime::default()) {
        Ok(folded) => late.extend(folded.late),
        Err(Refusal::Broke(_, error)) => return Err(error.to_string()),
        // None was folded. Which ones it is, is seen by one after another.
        Err(Refusal::Row { .. }) => {
            groups = none()?;
            for index in 0..input.num_rows() {
                if Instant::now() >= deadline {
                    return Err(format!("time was up after {index} of {} rows", input.num_rows()));
                }
                match groups.fold(&input.slice(index, 1), &mut opened, BatchTime::default()) {
                    Ok(folded) => late.extend(folded.late),
                    Err(Refusal::Row { reason, .. }) => rejected.push(Rejection { row: index as u32, reason }),
                    Err(Refusal::Broke(_, error)) => return Err(format!("row {index}: {error}")),
                }
            }
        }
    }
    let output = Arc::clone(opened.output());
    let finished = groups.finish(&mut opened, BatchTime::default())?;
    compare_rejected(&case.rejected, &rejected)?;
    let batches = [concat_batches(&output, &finished).map_err(odd)?, concat_batches(&rows, &late).map_err(odd)?];
    let tables = [(MAIN, output), (LATE, rows)].map(|(name, schema)| Table { name: name.to_owned(), schema });
    compare(case, &tables, &batches)
}

/// Why a plugin can't be opened as a case wants it.
fn unopened(error: PluginError) -> String {
    format!("it can't be opened: {error}")
}

fn input(case: &Case, columns: &SchemaRef) -> Result<RecordBatch, String> {
    json::columns(&case.input, columns).map_err(|error| format!("`input` doesn't fit its columns: {error}"))
}

/// The first rejection that is otherwise than expected.
fn compare_rejected(expected: &[Expected], found: &[Rejection]) -> Result<(), String> {
    for Expected { row, reason } in expected {
        let Some(rejection) = found.iter().find(|rejection| rejection.row == *row) else {
            return Err(format!("row {row} of the input is not rejected"));
        };
        if let Some(reason) = reason.as_ref().filter(|reason| **reason != rejection.reason) {
            return Err(format!(
                "row {row} of the input: expected the reason {reason:?}, found {:?}",
                rejection.reason
            ));
        }
    }
    let is_unexpected = |rejection: &&Rejection| expected.iter().all(|expected| expected.row != rejection.row);
    match found.iter().find(is_unexpected) {
        None => Ok(()),
        Some(Rejection { row, reason }) => Err(format!("row {row} of the input is rejected: {reason:?}")),
    }
}

/// The first difference from the tables that are expected. A table that isn't named has no rows.
fn compare(case: &Case, tables: &[Table], found: &[RecordBatch]) -> Result<(), String> {
    if let Some(unknown) = case.output.keys().find(|name| tables.iter().all(|table| table.name != **name)) {
        let names: Vec<&str> = tables.iter().map(|table| table.name.as_str()).collect();
        return Err(format!("there is no output `{unknown}`; there are {}", names.join(", ")));
    }
    for (table, found) in tables.iter().zip(found) {
        let expected = case.output.get(&table.name).map_or(&[][..], Vec::as_slice);
        compare_table(table, expected, found).map_err(|difference| format!("output `{}`: {difference}", table.name))?;
    }
    Ok(())
}

fn compare_table(table: &Table, expected: &[Row], found: &RecordBatch) -> Result<(), String> {
    let odd = |error: arrow::error::ArrowError| error.to_string();
    let expected =
        json::columns(expected, &table.schema).map_err(|error| format!("what is expected can't be: {error}"))?;
    let both = expected.num_rows().min(found.num_rows());
    let (first, first_found) = (expected.slice(0, both), found.slice(0, both));
    // The first row that differs, and in it the first column.
    let mut difference: Option<(usize, usize)> = None;
    for (column, (expected, found)) in first.columns().iter().zip(first_found.columns()).enumerate() {
        let same = not_distinct(expected, found).map_err(odd)?;
        if let Some(row) = (0..both).find(|&row| !same.value(row)) {
            difference = difference.filter(|(earlier, _)| *earlier <= row).or(Some((row, column)));
        }
    }
    if let Some((row, column)) = difference {
        let name = table.schema.field(column).name();
        let value = |batch: &RecordBatch| json::row(batch, row).map(|mut row| row.remove(name).map(cut_value));
        let [expected, found] =
            [value(&expected).map_err(odd)?, value(found).map_err(odd)?].map(Option::unwrap_or_default);
        return Err(format!("row {row}, column `{name}`: expected {expected}, found {found}"));
    }
    if expected.num_rows() == found.num_rows() {
        return Ok(());
    }
    let (what, longer) = if expected.num_rows() > both { ("expected", &expected) } else { ("found", found) };
    let row = cut_row(json::row(longer, both).map_err(odd)?);
    let (expected, found) = (expected.num_rows(), found.num_rows());
    Err(format!("expected {expected} rows, found {found}; row {both}, {what} only: {row}"))
}
