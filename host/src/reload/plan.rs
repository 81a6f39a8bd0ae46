//! The configuration read again, and what another one would do.

use std::cell::RefCell;

use indexmap::IndexMap;
use serde_json::{Value, json};

use super::candidate::{Examined, examine};
use super::change::{Change, changes, needs_another_host, notes_of};
use super::keeper::{Keeper, in_words};
use super::{Answer, Source};
use crate::config::{self, Config, PipelineOptions, Problem, Problems};
use crate::pipeline::{Pipeline, ask_for_newest};

/// A configuration, and its pipelines with the columns that their schemas have now.
pub(super) type Read = (Config, IndexMap<String, PipelineOptions>);

impl Keeper {
    /// The configuration as it is in its file, and its pipelines with the columns that their schemas have now.
    pub(super) fn read(&self) -> Result<Read, String> {
        let Source { path, overrides, .. } = &self.source;
        config::load(path, overrides).and_then(|config| self.fit(config)).map_err(|problems| problems.render(false))
    }

    /// What is asked for of a configuration, if this host can have it.
    fn fit(&self, mut config: Config) -> Result<Read, Problems> {
        config.pipelines.retain(|name, _| (self.source.is_asked_for)(name, &self.source.only));
        if let Some(key) = needs_another_host(&self.config, &config) {
            return Err(config.place([Problem::error(key, "it has changed, which takes a restart of the host")]));
        }
        let mut pipelines = config.pipelines.clone();
        let lacking = ask_for_newest(&mut pipelines, config.schema_registry.as_ref());
        match lacking.is_empty() {
            true => Ok((config, pipelines)),
            false => Err(config.place(lacking)),
        }
    }

    /// What another configuration would do. Whoever sends one doesn't get to see this host's environment by it.
    pub(super) fn plan(&self, text: &str) -> Answer {
        let environment = Environment::default();
        let Source { path, overrides, .. } = &self.source;
        let file = path.display().to_string();
        let read = config::parse(text, &file, &self.config.base, overrides, &|name| environment.get(name));
        let read = read.map_err(Problems::from).and_then(|config| self.fit(config));
        match read {
            Ok((config, pipelines)) => Ok(environment.mask_all(self.planned(&config, &pipelines))),
            // Before it is broken into lines.
            Err(mut problems) => {
                for problem in &mut problems.0 {
                    problem.message = environment.mask(&problem.message);
                    problem.hint = problem.hint.as_deref().map(|hint| environment.mask(hint));
                }
                Err(problems.render(false))
            }
        }
    }

    fn planned(&self, config: &Config, pipelines: &IndexMap<String, PipelineOptions>) -> Value {
        let mut planned = Vec::new();
        for change in changes(&self.live_options(), pipelines) {
            let name = match &change {
                Change::Added { pipeline } | Change::Swapped { pipeline, .. } | Change::Restarted { pipeline, .. } => {
                    pipeline
                }
                Change::Removed { .. } | Change::Refused { .. } => {
                    planned.push(json!({ "change": change, "text": change.to_string() }));
                    continue;
                }
            };
            let mut notes = Vec::new();
            match Pipeline::open(name, &pipelines[name], &self.engine, &config.base) {
                Ok(next) => {
                    if let Some(kept) = self.kept.get(name) {
                        let Examined { against, impossible, .. } = examine(&kept.live, &next, &[], false);
                        notes.extend(
                            impossible.into_iter().chain(against).map(|reason| format!("would not go live: {reason}")),
                        );
                    }
                    notes.extend(notes_of(self.kept.get(name).map(|kept| &*kept.live), &next));
                }
                Err(problems) => notes.push(format!("would not go live: {}", in_words(config, problems))),
            }
            let text = notes.iter().fold(change.to_string(), |text, note| format!("{text}\n    {note}"));
            planned.push(json!({ "change": change, "notes": notes, "text": text }));
        }
        json!({ "changes": planned })
    }
}

/// Variables of this process that a text has asked for, so that none of their values is told.
#[derive(Default)]
struct Environment {
    given: RefCell<Vec<(String, String)>>,
}

impl Environment {
    fn get(&self, name: &str) -> Option<String> {
        let value = std::env::var(name).ok()?;
        if !value.is_empty() {
            self.given.borrow_mut().push((name.to_owned(), value.clone()));
        }
        Some(value)
    }

    /// A text with names in the place of values.
    fn mask(&self, text: &str) -> String {
        let mask = |text: String, (name, value): &(String, String)| {
            let name = format!("${{{name}}}");
            // As it is, and as it stands in what is written for debugging.
            text.replace(value, &name).replace(&value.escape_debug().to_string(), &name)
        };
        self.given.borrow().iter().fold(text.to_owned(), mask)
    }

    fn mask_all(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.mask(&text)),
            Value::Array(values) => values.into_iter().map(|value| self.mask_all(value)).collect(),
            Value::Object(values) => values.into_iter().map(|(key, value)| (key, self.mask_all(value))).collect(),
            other => other,
        }
    }
}
