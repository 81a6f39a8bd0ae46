//! A pipeline that fits together: decoder made, plugins opened, schemas agreed, tables able to take what comes.
//!
//! What never happens: a pipeline is run that was not opened whole. What is wrong is found here, before any data flows, and
//! is named by its key in pipelines.toml.

mod aggregate;
mod describe;
mod newest;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

use indexmap::IndexMap;

use crate::batch::{COLUMN_TYPES, SchemaRef};
use crate::config::{OutputOptions, PipelineOptions, Problem, Properties, TransformOptions, nearest};
use crate::decode::{ColumnOptions, DecodeError, Decoder};
use crate::encode::{Target, TargetWriter};
use crate::plugin::{Aggregate, Chain, Engine, Limits, MAIN, Plugin, PluginError, Plugins, Step, Table, Transform};
use crate::window::WindowOptions;

pub use aggregate::LATE;
pub use describe::{ColumnDescription, Description, TableDescription};
pub use newest::ask_for_newest;

/// Loads the plugin that a file is configured for.
pub type Load<'a> = &'a mut dyn FnMut(&str) -> Result<Arc<Plugin>, PluginError>;

/// A pipeline, ready to run.
#[derive(Debug, Clone)]
pub struct Pipeline {
    name: String,
    options: PipelineOptions,
    steps: Vec<Step>,
    aggregate: Option<AggregateStep>,
    input: SchemaRef,
    tables: Vec<PipelineTable>,
    is_gone_back_to: bool,
}

/// How the rows of a pipeline are folded into groups.
#[derive(Debug, Clone)]
pub struct AggregateStep {
    /// The plugin.
    pub step: Step,
    /// How rows are grouped.
    pub window: WindowOptions,
    /// The columns of the rows.
    pub rows: SchemaRef,
    /// The columns of the groups.
    pub groups: SchemaRef,
    /// The columns of a state.
    pub state: SchemaRef,
}

impl AggregateStep {
    /// An instance of the plugin.
    ///
    /// # Errors
    /// It fails in `open` where it didn't before.
    pub fn open(&self) -> Result<Aggregate, PluginError> {
        let Self { step, rows, groups, .. } = self;
        Aggregate::open(&step.plugin, &step.limits, &step.settings, rows, groups)
    }
}

/// What becomes of one output of a pipeline's plugins.
#[derive(Debug, Clone)]
pub struct PipelineTable {
    /// `main`, or the name that the plugin gives it.
    pub output: String,
    /// The columns of its rows.
    pub schema: SchemaRef,
    /// Where they go; `None` if they are dropped.
    pub target: Option<Target>,
}

impl Pipeline {
    /// Makes the decoder, opens each plugin for what the one before it gives, and finds a table for every output.
    /// Relative paths of plugins start at `base`.
    ///
    /// # Errors
    /// All that doesn't fit, as far as it can be told: each problem has the path of its key, and no location yet
    /// ([`Config::place`](crate::config::Config::place) knows it).
    pub fn open(name: &str, options: &PipelineOptions, engine: &Engine, base: &Path) -> Result<Self, Vec<Problem>> {
        Self::open_with(name, options, &mut |file| engine.load(&base.join(file)))
    }

    /// The same with plugins from elsewhere: `load` is asked for each file that is configured, in the order of the plugins.
    ///
    /// # Errors
    /// As [`Pipeline::open`].
    pub fn open_with(name: &str, options: &PipelineOptions, load: Load) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let path = format!("pipeline.{name}");
        let input = input(&path, options, &mut problems);
        let steps = steps(&path, options, load, &mut problems);
        let chain = match (&input, &steps) {
            (Some(input), Some(steps)) => open_chain(&path, steps, input, &mut problems),
            _ => None,
        };
        let given_out = chain.map(|chain| aggregate::given_out(&path, options, load, chain.tables(), &mut problems));
        let tables = given_out.as_ref().map(|(_, all)| tables(&path, options, all, &mut problems));
        match (input, steps, given_out, tables) {
            (Some(input), Some(steps), Some((aggregate, _)), Some(tables)) if problems.is_empty() => Ok(Self {
                name: name.to_owned(),
                options: options.clone(),
                steps,
                aggregate,
                input,
                tables,
                is_gone_back_to: false,
            }),
            _ => Err(problems),
        }
    }

    /// The same, in the place of a version that was no good: what that may have added to states goes.
    pub fn gone_back_to(self) -> Self {
        Self { is_gone_back_to: true, ..self }
    }

    /// Whether it is in the place of a version that was no good.
    pub fn is_gone_back_to(&self) -> bool {
        self.is_gone_back_to
    }

    /// Its name in pipelines.toml.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What is configured.
    pub fn options(&self) -> &PipelineOptions {
        &self.options
    }

    /// What becomes of each output, in the order of [`Chain::tables`].
    pub fn tables(&self) -> &[PipelineTable] {
        &self.tables
    }

    /// The columns that decoding gives.
    pub fn input(&self) -> &SchemaRef {
        &self.input
    }

    /// How its rows are folded into groups, if they are.
    pub fn aggregate(&self) -> Option<&AggregateStep> {
        self.aggregate.as_ref()
    }

    /// Its transforms, in order.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The plugins, in order.
    pub fn plugins(&self) -> impl Iterator<Item = &Arc<Plugin>> {
        self.steps.iter().chain(self.aggregate.iter().map(|aggregate| &aggregate.step)).map(|step| &step.plugin)
    }

    /// SHA-256 of each plugin, in order.
    pub fn digests(&self) -> Vec<String> {
        self.plugins().map(|plugin| plugin.digest.clone()).collect()
    }

    /// A decoder of its own, for one worker.
    ///
    /// # Errors
    /// None that [`Pipeline::open`] wouldn't have met.
    pub fn decoder(&self) -> Result<Decoder, DecodeError> {
        Decoder::new(&self.options.decode, &self.options.columns)
    }

    /// Instances of the plugins, for one worker.
    ///
    /// # Errors
    /// A plugin fails in `open` that didn't before.
    pub fn open_plugins(&self) -> Result<Plugins, PluginError> {
        Ok(Plugins { chain: Chain::open(&self.steps, &self.input)?, aggregate: self.open_aggregate()? })
    }

    /// Instances of the plugins for rows that have been through the transforms, for one worker.
    ///
    /// # Errors
    /// A plugin fails in `open` that didn't before.
    pub fn open_plugins_behind_exchange(&self) -> Result<Plugins, PluginError> {
        let rows = self.aggregate.as_ref().map_or(&self.input, |aggregate| &aggregate.rows);
        Ok(Plugins { chain: Chain::open(&[], rows)?, aggregate: self.open_aggregate()? })
    }

    fn open_aggregate(&self) -> Result<Option<Aggregate>, PluginError> {
        self.aggregate.as_ref().map(AggregateStep::open).transpose()
    }
}

/// The columns that decoding gives. Every column that makes no sense is a problem.
fn input(path: &str, options: &PipelineOptions, problems: &mut Vec<Problem>) -> Option<SchemaRef> {
    let mut columns: IndexMap<String, ColumnOptions> = options.columns.clone();
    loop {
        let DecodeError { column, key, problem } = match Decoder::new(&options.decode, &columns) {
            Ok(decoder) if columns.len() == options.columns.len() => return Some(Arc::clone(decoder.schema())),
            Ok(_) => return None,
            Err(error) => error,
        };
        let Some(name) = column else {
            // That no column is left may be the work of this loop.
            if columns.len() == options.columns.len() || key.is_some() {
                let at = key.map_or("columns".to_owned(), |key| format!("decode.{key}"));
                problems.push(Problem::error(format!("{path}.{at}"), problem));
            }
            return None;
        };
        let at = key.map(|key| format!(".{key}")).unwrap_or_default();
        let problem = Problem::error(format!("{path}.columns.{name}{at}"), problem);
        let given = columns.get(&name).filter(|_| key == Some("type")).map(|column| column.data_type.as_str());
        problems.push(match given.and_then(|given| nearest(given, COLUMN_TYPES.into_iter())) {
            Some(near) => problem.hint(format!("did you mean `{near}`?")),
            None => problem,
        });
        columns.shift_remove(&name)?;
    }
}

/// The plugins, loaded. Each that can't be is a problem.
fn steps(path: &str, options: &PipelineOptions, load: Load, problems: &mut Vec<Problem>) -> Option<Vec<Step>> {
    let step_of = |(at, transform): (usize, &TransformOptions)| {
        let TransformOptions { plugin, settings, limits } = transform;
        step(&format!("{path}.transform[{at}]"), plugin, settings, limits, load, problems)
    };
    let loaded: Vec<Option<Step>> = options.transform.iter().enumerate().map(step_of).collect();
    loaded.into_iter().collect()
}

/// A plugin, loaded, as the options at `path` want it.
fn step(
    path: &str,
    plugin: &str,
    settings: &Properties,
    limits: &Limits,
    load: Load,
    problems: &mut Vec<Problem>,
) -> Option<Step> {
    let settings = settings.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    match load(plugin) {
        Ok(plugin) => Some(Step { plugin, limits: limits.clone(), settings }),
        Err(error) => {
            problems.push(plugin_problem(path, &error));
            None
        }
    }
}

/// Opens the plugins one by one, so that the one that doesn't fit is known, then together.
fn open_chain(path: &str, steps: &[Step], input: &SchemaRef, problems: &mut Vec<Problem>) -> Option<Chain> {
    let mut columns = Arc::clone(input);
    for (at, step) in steps.iter().enumerate() {
        match Transform::open(&step.plugin, &step.limits, &step.settings, &columns) {
            Ok(transform) => {
                let main = transform.tables().iter().find(|table| table.name == MAIN);
                columns = main.map_or(columns, |table| Arc::clone(&table.schema));
            }
            Err(error) => {
                problems.push(plugin_problem(&format!("{path}.transform[{at}]"), &error));
                return None;
            }
        }
    }
    let last = format!("{path}.transform[{}]", steps.len().saturating_sub(1));
    Chain::open(steps, input).map_err(|error| problems.push(plugin_problem(&last, &error))).ok()
}

fn plugin_problem(path: &str, error: &PluginError) -> Problem {
    let key = match error {
        PluginError::InvalidSetting { .. } => "settings",
        _ => "plugin",
    };
    let problem = Problem::error(format!("{path}.{key}"), error.to_string());
    match error {
        PluginError::Unreadable { .. } => {
            problem.hint("is it built? A relative path starts at the folder of the configuration")
        }
        _ => problem,
    }
}

/// A table for every output. Outputs without a sink, sinks without an output, and tables that can't take the columns are
/// problems.
fn tables(path: &str, options: &PipelineOptions, all: &[Table], problems: &mut Vec<Problem>) -> Vec<PipelineTable> {
    // The first is `main`.
    let named: Vec<&str> = all.iter().skip(1).map(|table| table.name.as_str()).collect();
    for name in options.outputs.keys().filter(|name| !named.contains(&name.as_str())) {
        let problem =
            Problem::error(format!("{path}.outputs.{name}"), format!("no plugin writes to an output `{name}`"));
        problems.push(problem.hint(match (name.as_str(), nearest(name, named.iter().copied())) {
            (MAIN, _) => "the rows of `main` go to `sink`".to_owned(),
            (_, Some(near)) => format!("did you mean `{near}`?"),
            (_, None) if named.is_empty() => "the plugins have no outputs beside the main one".to_owned(),
            (_, None) => format!("outputs: {}", named.join(", ")),
        }));
    }
    let table_of = |table: &Table| {
        let (at, target) = match (table.name.as_str(), options.outputs.get(&table.name)) {
            (MAIN, _) => ("sink".to_owned(), Some(&options.sink.target)),
            (name, Some(OutputOptions::Sink(sink))) => (format!("outputs.{name}"), Some(&sink.target)),
            (name, Some(OutputOptions::Drop)) => (format!("outputs.{name}"), None),
            (name, None) => {
                let message = format!("a plugin writes to the output `{name}`, which goes nowhere");
                let hint = format!("outputs = {{ {name} = {{ table = \"...\" }} }}, or {name} = \"drop\"");
                problems.push(Problem::error(format!("{path}.outputs"), message).hint(hint));
                ("outputs".to_owned(), None)
            }
        };
        if let Some(Err(error)) = target.map(|target| TargetWriter::new(target, &table.schema)) {
            let key = error.key().map(|key| format!(".{key}")).unwrap_or_default();
            problems.push(Problem::error(format!("{path}.{at}{key}"), error.to_string()));
        }
        PipelineTable { output: table.name.clone(), schema: Arc::clone(&table.schema), target: target.cloned() }
    };
    all.iter().map(table_of).collect()
}
