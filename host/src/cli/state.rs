//! `rillgate state`: what a pipeline remembers, as a table.

use std::convert::Infallible;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use chrono::{DateTime, SecondsFormat};
use clap::{Args, Subcommand};

use super::{ConfigArgs, Exit, Say, load, runtime};
use crate::commit::{Store, StoredState, last_states};
use crate::config::PipelineOptions;
use crate::state::{Span, Table, decode_any};
use crate::task::{GROUPS, SEEN};
use crate::window::{Carrier, NotCarried, micros};

#[derive(Debug, Subcommand)]
pub(super) enum StateCommand {
    /// Print the groups of a pipeline and their states, as the last COMMIT of each task has them.
    Show(ShowArgs),
}

#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// The pipeline's name.
    pipeline: String,
    #[command(flatten)]
    config: ConfigArgs,
    /// The digests of the rows that `dedup` remembers, in place of the groups.
    #[arg(long)]
    seen: bool,
    /// How many rows to print of each task.
    #[arg(long, default_value_t = 1000)]
    rows: usize,
}

pub(super) fn state(command: &StateCommand, json: bool) -> Exit {
    let StateCommand::Show(args) = command;
    match load(&args.config, json).and_then(|config| {
        let Some(options) = config.pipelines.get(&args.pipeline) else {
            let names: Vec<&str> = config.pipelines.keys().map(String::as_str).collect();
            let message = format!("there is no pipeline `{}`; there are {}", args.pipeline, names.join(", "));
            return Err((Exit::BadInput, message).say("state"));
        };
        let environment = |error: String| (Exit::Environment, error).say("state");
        let store = Store::open(&config.store.for_commit()).map_err(|error| environment(error.to_string()))?;
        let states = runtime()?.block_on(last_states(&store, &args.pipeline));
        let states = states.map_err(|error| environment(error.to_string()))?;
        if states.is_empty() {
            eprintln!("{} has committed no state", args.pipeline);
        }
        states.iter().try_for_each(|(task, stored)| {
            show(args, options, task, stored, json)
                .map_err(|error| (Exit::Failed, format!("{task}: {error}")).say("state"))
        })
    }) {
        Ok(()) => Exit::Fine,
        Err(exit) => exit,
    }
}

fn show(
    args: &ShowArgs,
    options: &PipelineOptions,
    task: &str,
    stored: &StoredState,
    json: bool,
) -> Result<(), Box<dyn std::error::Error>> {
    let wanted = if args.seen { SEEN } else { GROUPS };
    let watermark = stored.committed.watermark_us;
    // What is over is in older files until these are written anew.
    let lateness = options.aggregate.as_ref().map_or(0, |aggregate| micros(aggregate.allowed_lateness));
    let lateness = if args.seen { 0 } else { lateness };
    let is_past = |end: i64, at: Option<i64>| at.is_some_and(|at| end <= at);
    let is_over = |span: Span| {
        is_past(span.end, stored.committed.over_us) || is_past(span.end.saturating_add(lateness), watermark)
    };
    let mut files: Vec<Vec<RecordBatch>> = Vec::new();
    for (file, content) in stored.committed.files.iter().zip(&stored.files).filter(|(file, _)| file.table == wanted) {
        files.push(decode_any(content.clone()).map_err(|error| format!("{}: {error}", file.path))?);
    }
    // Columns may have come since the oldest was written.
    let newest = files.iter().flatten().next_back();
    let mut table = newest.map(|newest| Table::like(&newest.schema())).transpose()?;
    if let Some(table) = &mut table {
        let schema = Arc::clone(table.values.schema());
        let mut carrier = Carrier::<Infallible> { migrate: None, allow_dropped: true, carried: 0 };
        for file in &files {
            let restored = table.restore(file, is_over, |states| carrier.carry(&states, &schema));
            restored.map_err(|NotCarried::Refused(why)| why)?;
        }
    }
    let all = table.as_ref().map(Table::all).transpose()?;
    let rows = all.as_ref().map_or(0, RecordBatch::num_rows);
    let time = watermark.and_then(DateTime::from_timestamp_micros);
    let time = time.map_or("none".to_owned(), |time| time.to_rfc3339_opts(SecondsFormat::AutoSi, true));
    if !json {
        println!("{task}: {rows} rows, watermark {time}");
    }
    let Some(all) = all else { return Ok(()) };
    let shown = all.slice(0, rows.min(args.rows));
    let (names, cells) = text(&shown)?;
    if json {
        for row in cells {
            let values = names.iter().zip(row).map(|(name, cell)| (name.clone(), cell.into()));
            let row: serde_json::Map<String, serde_json::Value> = values.collect();
            println!("{}", serde_json::json!({ "task": task, "watermark": time, "row": row }));
        }
        return Ok(());
    }
    let width = |column: usize| {
        let cells = cells.iter().map(|row| row[column].chars().count());
        cells.chain([names[column].chars().count()]).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..names.len()).map(width).collect();
    for row in std::iter::once(&names).chain(&cells) {
        let padded = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        println!("  {}", padded.collect::<Vec<_>>().join("  ").trim_end());
    }
    if rows > shown.num_rows() {
        println!("  and {} more: --rows {rows}", rows - shown.num_rows());
    }
    Ok(())
}

/// Names of columns, and the rows as text. Control characters of keys don't reach the terminal.
fn text(batch: &RecordBatch) -> Result<(Vec<String>, Vec<Vec<String>>), arrow::error::ArrowError> {
    let options = FormatOptions::default().with_null("null");
    let schema = batch.schema();
    let shown: Vec<usize> = (0..batch.num_columns()).filter(|column| schema.field(*column).name() != "gone").collect();
    // Arrow's formatter knows zones by their offset.
    let columns: Vec<ArrayRef> = shown
        .iter()
        .map(|&column| match batch.column(column).as_primitive_opt::<TimestampMicrosecondType>() {
            Some(times) => Arc::new(times.clone().with_timezone("+00:00")),
            None => Arc::clone(batch.column(column)),
        })
        .collect();
    let formatters = columns.iter().map(|column| ArrayFormatter::try_new(column, &options));
    let formatters = formatters.collect::<Result<Vec<_>, _>>()?;
    let plain = |text: String| text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect::<String>();
    let row = |row| formatters.iter().map(|column| plain(column.value(row).to_string())).collect();
    let names = shown.iter().map(|&column| plain(schema.field(column).name().clone())).collect();
    Ok((names, (0..batch.num_rows()).map(row).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_steers_a_terminal_is_shown() {
        let keys: ArrayRef = Arc::new(arrow::array::StringArray::from(vec![Some("\u{1b}[2Ja"), None]));
        let batch = RecordBatch::try_from_iter_with_nullable([("key.\u{7}a", keys, true)]).unwrap();
        let (names, cells) = text(&batch).unwrap();
        assert_eq!(names, ["key.\u{fffd}a"]);
        assert_eq!(cells, [["\u{fffd}[2Ja"], ["null"]]);
    }
}
