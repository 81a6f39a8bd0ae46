//! Reads the tree into typed options and reports everything that is wrong, not just the first.
//!
//! serde stops at the first mistake. So the value at fault is reported and taken out, and the rest is read again,
//! until it fits: each round takes one value out of a finite tree.

use std::collections::HashMap;
use std::ops::Range;

use indexmap::IndexMap;
use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeValue, ValueDeserializer};

use super::explain::{self, Explained};
use super::problem::{Problem, Problems};
use super::schema;
use super::source::{Location, Sources};
use super::tree::{self, Path, Place, Step, Value};

/// What was found wrong so far, and where everything stands.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) problems: Vec<Problem>,
    pub(super) sources: Sources,
    pub(super) places: IndexMap<String, Place>,
}

impl Report {
    /// Where the value of that path stands; the nearest one around it, if it isn't there.
    pub(super) fn locate(&self, path: &str) -> Option<Location> {
        let mut path = path;
        loop {
            if let Some(place) = self.places.get(path) {
                return self.sources.locate(&place.value);
            }
            path = &path[..path.rfind(['.', '['])?];
        }
    }

    /// Where the key of that path stands.
    pub(super) fn locate_key(&self, path: &str) -> Option<Location> {
        match self.places.get(path) {
            Some(place) => self.sources.locate(&place.key),
            None => self.locate(path),
        }
    }

    /// Reports an error in the value at the path.
    pub(super) fn error(&mut self, path: &str, message: impl Into<String>, hint: impl Into<String>) {
        let location = self.locate(path);
        self.problems.push(Problem::error(path, message).hint(hint).at(location));
    }

    /// The problems, each with its place, in the order of the file.
    pub(super) fn place(&self, problems: impl IntoIterator<Item = Problem>) -> Problems {
        let placed = problems.into_iter().map(|problem| match problem.location {
            Some(_) => problem,
            None => {
                let location = self.locate(&problem.path);
                problem.at(location)
            }
        });
        Problems(placed.collect()).sorted()
    }

    /// Whether a key that looks much like `key` was reported as unknown in the table.
    pub(super) fn is_misspelt(&self, table: &str, key: &str) -> bool {
        self.problems.iter().filter(|problem| explain::is_unknown(&problem.message)).any(|problem| {
            let found = problem.path.strip_prefix(table).map(|rest| rest.trim_start_matches('.'));
            found.is_some_and(|found| explain::nearest(found, std::iter::once(key)).is_some())
        })
    }

    /// Whether something at the path, or below it, has been reported: then what is missing there was taken out.
    pub(super) fn touched(&self, path: &str) -> bool {
        self.problems.iter().any(|problem| {
            problem.is_error()
                && problem.path.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        })
    }
}

/// What else values may have been meant as whose type is a guess, by their range: text from the environment may be
/// meant as a number, a number on the command line as text.
pub(super) type OtherSpellings<'t> = HashMap<Range<usize>, DeValue<'t>>;

/// Reads the tree as a `T`; `None` if nothing of it fits. A value that doesn't fit gets a try in its other spelling.
pub(super) fn read<'t, T: DeserializeOwned>(
    tree: &Value<'t>,
    mut others: OtherSpellings<'t>,
    report: &mut Report,
) -> Option<T> {
    let mut work = tree.clone();
    loop {
        let error = match T::deserialize(ValueDeserializer::from(work.clone())) {
            Ok(read) => return Some(read),
            Err(error) => error,
        };
        let range = error.span().unwrap_or_else(|| work.span());
        let mut at = tree::find(&work, &range).unwrap_or_default();
        if !explain::is_missing(error.message()) {
            at = blame::<T>(&work, at, error.message());
        }
        let value = tree::get_mut(&mut work, &at);
        if let Some((value, other)) = value.and_then(|value| others.remove(&value.span()).map(|other| (value, other))) {
            *value.get_mut() = other;
            continue;
        }
        let range = tree::get(&work, &at).map_or(range, Spanned::span);
        let at_origin = tree::find(tree, &range).unwrap_or_else(|| at.clone());
        if let (true, Some(table)) = (explain::is_missing(error.message()), tree::get(&work, &at)) {
            add_unknown(table, &at_origin, report);
        }
        add(&at_origin, error.message(), report);
        if at.0.is_empty() {
            return None;
        }
        tree::remove(&mut work, &at);
    }
}

/// Which value inside of the one at `at` the error is about. serde forgets it where it looks ahead (flattened structs,
/// tagged enums); so values are taken out one after another, until the error changes.
fn blame<T: DeserializeOwned>(work: &Value<'_>, mut at: Path, message: &str) -> Path {
    let unknown = explain::unknown_key(message);
    if unknown.is_some() && at.last_key() == unknown {
        return at;
    }
    'deeper: while let Some(value) = tree::get(work, &at) {
        let (mut rest, mut required) = (work.clone(), None);
        for (step, _, _) in tree::children(value).into_iter().rev() {
            let child = at.step(step);
            if unknown.is_some() && child.last_key() == unknown {
                return child;
            }
            let before = rest.clone();
            tree::remove(&mut rest, &child);
            let changed = T::deserialize(ValueDeserializer::from(rest.clone())).err();
            match changed.as_ref().map(|error| error.message()) {
                Some(same) if same == message => {}
                // It is needed; at fault only if no other is.
                Some(missing) if explain::is_missing(missing) => {
                    rest = before;
                    required = Some(child);
                }
                _ => {
                    at = child;
                    continue 'deeper;
                }
            }
        }
        match required {
            Some(child) => at = child,
            None => break,
        }
    }
    at
}

fn add(path: &Path, message: &str, report: &mut Report) {
    let text = path.to_string();
    match explain::explain(path, message) {
        Explained::Missing { key, message, hint } => {
            // Taken out a moment ago, for a reason that has been reported, or written wrong.
            if !report.touched(&path.key(&key).to_string()) && !report.is_misspelt(&text, &key) {
                let location = report.locate(&text);
                report.problems.push(Problem::error(text, message).hinted(hint).at(location));
            }
        }
        Explained::Wrong { message, hint } => {
            let location = match explain::is_unknown(&message) {
                true => report.locate_key(&text),
                false => report.locate(&text),
            };
            report.problems.push(Problem::error(text, message).hinted(hint).at(location));
        }
    }
}

/// serde looks for keys that are missing before it looks for unknown ones (in flattened structs), and a table with a key
/// missing is not read again: its unknown keys are found by the schema.
fn add_unknown(table: &Value<'_>, path: &Path, report: &mut Report) {
    let known = schema::keys(path);
    for (step, ..) in tree::children(table) {
        if let Step::Key(key) = step
            && !known.contains(&key)
        {
            add(&path.key(&key), &format!("unknown field `{key}`"), report);
        }
    }
}
