//! pipelines.toml: read, checked as a whole, and turned into the options of every stage.
//!
//! The way: [`tree`] parses, [`overrides`] and [`expand`] change values in place, [`read`] makes typed values of them
//! ([`raw`]), [`resolve`] makes sense of those ([`options`]). Each step goes on after a mistake, so one run reports
//! them all. Nothing here opens a plugin or connects to anything.

mod aggregate;
mod expand;
mod explain;
mod kafka;
mod options;
mod overrides;
mod problem;
mod properties;
mod raw;
mod read;
mod resolve;
mod schema;
mod secret;
mod sink;
mod source;
mod store;
mod swap;
#[cfg(test)]
mod tests;
mod tree;
mod units;

use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

pub use crate::encode::DeadLetterFormat;
pub use crate::registry::RegistryOptions;
pub use aggregate::{AggregateOptions, Exchange};
pub use explain::nearest;
pub use options::{
    DeadLetterOptions, Delivery, HttpOptions, OnDataLoss, PipelineOptions, Properties, Start, StoreOptions, Token,
    TransformOptions,
};
pub use overrides::ENVIRONMENT;
pub use problem::{Problem, Problems, Severity};
pub use schema::json_schema;
pub use secret::{MASK, is_secret};
pub use sink::{OutputOptions, SinkOptions};
pub use source::Location;
pub use swap::SwapOptions;

use overrides::{Override, OverrideError};
use read::{OtherSpellings, Report};
use secret::Syntax;
use tree::Value;

/// A configuration without a mistake in it, as far as can be told without opening a plugin.
#[derive(Debug)]
pub struct Config {
    /// Client properties of `[kafka]`, those of its `properties_file` among them.
    pub kafka: Properties,
    /// Where files go.
    pub store: StoreOptions,
    /// Where the schemas of Avro are.
    pub schema_registry: Option<RegistryOptions>,
    /// The daemon's own endpoints.
    pub http: HttpOptions,
    /// The pipelines by name, in the order of the file.
    pub pipelines: IndexMap<String, PipelineOptions>,
    /// The folder of the file: relative paths of plugins start here.
    pub base: PathBuf,
    /// What works, but perhaps not as meant.
    pub warnings: Problems,
    places: Report,
}

impl Config {
    /// Where the value of that key path stands, `pipeline.x.columns.timestamp` or `pipeline.x.transform[0].plugin`; if
    /// it is not there, what is nearest around it.
    pub fn locate(&self, path: &str) -> Option<Location> {
        self.places.locate(path)
    }

    /// The problems, each with its place, in the order of the file.
    pub fn place(&self, problems: impl IntoIterator<Item = Problem>) -> Problems {
        self.places.place(problems)
    }
}

/// A configuration with mistakes in it: what they are, and what there is beside them.
#[derive(Debug)]
pub struct Flawed {
    /// Everything that is wrong.
    pub problems: Problems,
    /// The pipelines that nothing is wrong with, so that they can be checked further in the same run.
    pub pipelines: IndexMap<String, PipelineOptions>,
    /// The folder of the file.
    pub base: PathBuf,
    places: Report,
}

impl Flawed {
    /// What was found, and these problems, each with its place, in the order of the file.
    pub fn with(self, problems: impl IntoIterator<Item = Problem>) -> Problems {
        self.places.place(self.problems.0.into_iter().chain(problems))
    }
}

impl From<Box<Flawed>> for Problems {
    fn from(flawed: Box<Flawed>) -> Self {
        flawed.problems
    }
}

/// Reads the file, puts `overrides` (each `a.b.c=value`) and the environment's variables in, and checks it all.
///
/// # Errors
/// Everything that is wrong: each problem with file, line, column, and what to write instead.
pub fn load(path: &Path, overrides: &[String]) -> Result<Config, Problems> {
    Ok(load_flawed(path, overrides)?)
}

/// [`load`] that also gives what there is beside the mistakes.
///
/// # Errors
/// As [`load`].
pub fn load_flawed(path: &Path, overrides: &[String]) -> Result<Config, Box<Flawed>> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        let problem = Problem::error("", format!("{} can't be read: {error}", path.display()));
        let problems = Problems(vec![problem.hint("name the file by --config or RILLGATE_CONFIG")]);
        Box::new(Flawed { problems, pipelines: IndexMap::new(), base: PathBuf::new(), places: Report::default() })
    })?;
    let base = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    parse(&text, &path.display().to_string(), base, overrides, &|name| std::env::var(name).ok())
}

/// [`load`] for a text, with the environment that `env` answers for. `file` is its name in reports, `base` the folder
/// that relative paths start at.
pub fn parse(
    text: &str,
    file: &str,
    base: &Path,
    overrides: &[String],
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Config, Box<Flawed>> {
    let mut report = Report::default();
    report.sources.add(file, text, Syntax::Toml);
    let mut root = parse_toml(text, &mut report);
    let broken: Vec<usize> = report.problems.iter().filter_map(|p| Some(p.location.as_ref()?.line)).collect();
    let variables = ENVIRONMENT.map(|(name, path)| (name, path, env(name).unwrap_or_default()));
    let mut others = apply_overrides(&mut root, &variables, overrides, &mut report);
    report.places = tree::places(&root);
    let expanded = expand_values(&mut root, env, &mut report);
    for (path, text) in &expanded {
        let Some(value) = tree::get_mut(&mut root, path) else { continue };
        *value.get_mut() = DeValue::String(text.as_str().into());
        others.extend(overrides::scalar(text).map(|other| (value.span(), other)));
    }

    let read: Option<raw::File> = read::read(&root, others, &mut report);
    let (http, resolved) = match read {
        Some(read) => (read.http.clone(), resolve::resolve(read, base, &mut report)),
        None => Default::default(),
    };
    if !broken.is_empty() {
        // Where the syntax is broken keys get lost: what then seems to be missing, or stands on such a line, may be fine.
        let syntax = broken.len();
        let mut at = 0;
        report.problems.retain(|problem| {
            at += 1;
            let line = problem.location.as_ref().map(|place| place.line);
            at <= syntax || !(problem.message.contains("missing") || line.is_none_or(|line| broken.contains(&line)))
        });
    }
    let problems = Problems(std::mem::take(&mut report.problems)).sorted();
    match resolved.store {
        Some(store) if !problems.has_errors() => Ok(Config {
            kafka: resolved.kafka,
            store,
            schema_registry: resolved.schema_registry,
            http,
            pipelines: resolved.pipelines,
            base: base.to_owned(),
            warnings: problems,
            places: report,
        }),
        _ => {
            report.problems.clone_from(&problems.0);
            let mut pipelines = resolved.pipelines;
            pipelines.retain(|name, _| !report.touched(&format!("pipeline.{name}")));
            Err(Box::new(Flawed { problems, pipelines, base: base.to_owned(), places: report }))
        }
    }
}

/// The tree of the text, whatever of it could be read; several syntax errors are found at once.
fn parse_toml<'t>(text: &'t str, report: &mut Report) -> Value<'t> {
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let location = error.span().and_then(|range| report.sources.locate(&range));
        let (message, hint) = match error.message().split_once(", expected ") {
            Some((message, expected)) => (message, Some(format!("expected {expected}"))),
            None => (error.message(), None),
        };
        report.problems.push(Problem::error("", message).hinted(hint).at(location));
    }
    let range = table.span();
    let mut root = Spanned::new(range, DeValue::Table(tree::moved_table(table.into_inner(), 0)));
    tree::join_property_names(&mut root);
    root
}

/// Flags over environment over file. Says what else the new values may have been meant as.
fn apply_overrides<'t>(
    root: &mut Value<'t>,
    variables: &'t [(&str, &str, String)],
    overrides: &'t [String],
    report: &mut Report,
) -> OtherSpellings<'t> {
    let mut others = OtherSpellings::new();
    let mut apply = |given: Result<Override<'t>, OverrideError>, report: &mut Report| {
        let path = given.as_ref().map(|given| given.path.to_string()).unwrap_or_default();
        let applied = given.and_then(|given| {
            let other = given.other_spelling();
            given.apply(root).map(|()| other)
        });
        match applied {
            Ok(other) => others.extend(other),
            Err(OverrideError { range, message, hint }) => {
                let location = report.sources.locate(&range);
                report.problems.push(Problem::error(path, message).hinted(hint).at(location));
            }
        }
    };
    for (name, path, value) in variables.iter().filter(|(.., value)| !value.is_empty()) {
        let at = report.sources.add(&format!("${name}"), value, Syntax::Line);
        if let Some(given) = Override::text(path, value, at) {
            apply(Ok(given), report);
        }
    }
    for text in overrides {
        let at = report.sources.add("--set", text, Syntax::Line);
        apply(Override::parse(text, at), report);
    }
    others
}

/// The file's values that have references, expanded, by path. One that can't be is reported and taken out.
fn expand_values(
    root: &mut Value<'_>,
    env: &dyn Fn(&str) -> Option<String>,
    report: &mut Report,
) -> Vec<(tree::Path, String)> {
    let mut expanded = Vec::new();
    let mut broken = Vec::new();
    let mut open = vec![tree::Path::default()];
    while let Some(path) = open.pop() {
        let Some(value) = tree::get(root, &path) else { continue };
        open.extend(tree::children(value).into_iter().map(|(step, ..)| path.step(step)));
        let range = value.span();
        let DeValue::String(text) = value.get_ref() else { continue };
        if !report.sources.in_file(&range) {
            continue;
        }
        match expand::expand(text, env) {
            Ok(new) => expanded.extend(new.map(|new| (path, new))),
            Err(errors) => {
                for error in errors {
                    let start =
                        report.sources.text(&range).find(&error.part).map_or(range.start, |at| range.start + at);
                    let end = (start + error.part.len()).min(range.end);
                    let location = report.sources.locate(&(start..end));
                    let problem = Problem::error(path.to_string(), error.message);
                    report.problems.push(problem.hint(error.hint).at(location));
                }
                broken.push(path);
            }
        }
    }
    // What can't be expanded stays as it is in arrays, whose other elements must keep their place.
    for path in broken {
        if path.last_key().is_some() {
            tree::remove(root, &path);
        }
    }
    expanded
}
