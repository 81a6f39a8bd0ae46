//! The aggregate of a pipeline: its columns found, its plugin opened, and what comes out.

use super::{AggregateStep, Load, plugin_problem, step};
use crate::batch::{SchemaRef, data_type};
use crate::config::{AggregateOptions, PipelineOptions, Problem, nearest};
use crate::plugin::{Aggregate, MAIN, Table};
use crate::window::group_schema;

/// The output of rows that came too late.
pub const LATE: &str = "late";

/// The aggregate, if there is one, and all tables that come out in the end: groups in the place of rows, and late rows where
/// `outputs.late` says where they go.
pub(super) fn given_out(
    path: &str,
    options: &PipelineOptions,
    load: Load,
    tables: &[Table],
    problems: &mut Vec<Problem>,
) -> (Option<AggregateStep>, Vec<Table>) {
    let mut tables = tables.to_vec();
    let Some(aggregate) = &options.aggregate else { return (None, tables) };
    let rows = tables[0].schema.clone();
    let path = format!("{path}.aggregate");
    let Some((step, output)) = open(&path, aggregate, load, &rows, problems) else { return (None, tables) };
    tables[0] = Table { name: MAIN.to_owned(), schema: output };
    if tables.iter().any(|table| table.name == LATE) {
        let message = format!("a plugin writes to an output `{LATE}`, which is that of rows that come too late");
        problems.push(Problem::error(path, message).hint("the plugin's output needs another name"));
    } else if options.outputs.contains_key(LATE) {
        tables.push(Table { name: LATE.to_owned(), schema: rows });
    }
    (Some(step), tables)
}

fn open(
    path: &str,
    options: &AggregateOptions,
    load: Load,
    rows: &SchemaRef,
    problems: &mut Vec<Problem>,
) -> Option<(AggregateStep, SchemaRef)> {
    let before = problems.len();
    let listed = |key: &'static str, names: &'_ [String]| {
        names
            .iter()
            .enumerate()
            .map(move |(index, name)| (format!("{path}.{key}[{index}]"), name.clone()))
            .collect::<Vec<_>>()
    };
    let time = options.time.iter().map(|name| (format!("{path}.time"), name.clone()));
    for (at, name) in listed("key", &options.key).into_iter().chain(listed("dedup", &options.dedup)).chain(time) {
        if rows.index_of(&name).is_err() {
            let problem = Problem::error(at, format!("there is no column `{name}`"));
            let names = rows.fields().iter().map(|field| field.name().as_str());
            problems.push(match nearest(&name, names.clone()) {
                Some(near) => problem.hint(format!("did you mean `{near}`?")),
                None => problem.hint(format!("columns: {}", names.collect::<Vec<_>>().join(", "))),
            });
        }
    }
    let time = options.time.as_ref().and_then(|name| rows.field_with_name(name).ok());
    if let Some(time) = time.filter(|time| Some(time.data_type()) != data_type("timestamp").as_ref()) {
        let message = format!("`{}` is no timestamp", time.name());
        problems.push(Problem::error(format!("{path}.time"), message).hint("type = \"timestamp\" in `columns`"));
    }
    let step = step(path, &options.plugin, &options.settings, &options.limits, load, problems);
    let (Some(step), true) = (step, problems.len() == before) else { return None };
    let window = options.window_options();
    let groups = group_schema(rows, &window)
        .map_err(|error| problems.push(Problem::error(format!("{path}.key"), error.to_string())))
        .ok()?;
    let opened = Aggregate::open(&step.plugin, &step.limits, &step.settings, rows, &groups)
        .map_err(|error| problems.push(plugin_problem(path, &error)))
        .ok()?;
    let (state, output) = (opened.state().clone(), opened.output().clone());
    Some((AggregateStep { step, window, rows: rows.clone(), groups, state }, output))
}
