//! How a version goes live, and how it comes back.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use serde_json::json;

use super::Answer;
use super::candidate::{Examined, examine};
use super::history::{Event, History, Outcome, is_out};
use super::keeper::{Keeper, Kept, OnProbation, files, in_words};
use crate::config::{PipelineOptions, Problem};
use crate::pipeline::Pipeline;
use crate::plugin::{Engine, PluginError};
use crate::supervisor::{Way, way};
use crate::task::ProbationLimits;

impl Keeper {
    /// Opens what the files say a pipeline is now, and has it go live if it may.
    pub(super) fn consider(&mut self, name: &str) -> Result<Outcome, String> {
        let (Some(kept), Some(options)) = (self.kept.get(name), self.wanted.get(name)) else {
            return Err(format!("no pipeline `{name}` runs here"));
        };
        let live = Arc::clone(&kept.live);
        let candidate = match Pipeline::open(name, options, &self.engine, &self.config.base) {
            Ok(candidate) => Arc::new(candidate),
            Err(problems) => {
                let reason = in_words(&self.config, problems);
                self.note(name, None, Outcome::Refused, Some(reason.clone()), None);
                return Err(reason);
            }
        };
        if candidate.digests() == live.digests() && candidate.options() == live.options() {
            if let Some(kept) = self.kept.get_mut(name) {
                kept.candidate = None;
            }
            return Ok(Outcome::Live);
        }
        if is_out(&kept.events, &candidate.digests(), &candidate.options().digest()) {
            let reason = "it was found to be no good; `rillgate plugin promote` takes it all the same".to_owned();
            tracing::info!(pipeline = name, plugins = ?candidate.digests(), reason, "the version stays out");
            return Err(reason);
        }
        let Examined { shadow, mut against, impossible } =
            examine(&live, &candidate, &self.supervisor.recent(name), false);
        let shadow = shadow.and_then(|report| serde_json::to_value(report).ok());
        against.extend(impossible);
        if !against.is_empty() {
            let reason = against.join("; ");
            return Err(self.put_aside(name, candidate, Outcome::Refused, Some(reason), shadow));
        }
        if candidate.options().swap.manual {
            self.put_aside(name, candidate, Outcome::Waiting, None, shadow);
            return Ok(Outcome::Waiting);
        }
        self.go_live(name, candidate, true, shadow)
    }

    /// Keeps a version that doesn't go live now; returns the reason.
    fn put_aside(
        &mut self,
        name: &str,
        candidate: Arc<Pipeline>,
        outcome: Outcome,
        reason: Option<String>,
        shadow: Option<serde_json::Value>,
    ) -> String {
        self.note(name, Some(&candidate), outcome, reason.clone(), shadow);
        if let Some(kept) = self.kept.get_mut(name) {
            kept.candidate = Some((candidate, outcome));
        }
        reason.unwrap_or_default()
    }

    fn go_live(
        &mut self,
        name: &str,
        next: Arc<Pipeline>,
        on_probation: bool,
        shadow: Option<serde_json::Value>,
    ) -> Result<Outcome, String> {
        if self.kept.get(name).is_some_and(|kept| self.must_restart(&kept.live, &next)) {
            return self.restart(name, next);
        }
        let swap = &next.options().swap;
        let limits = ProbationLimits { max_slower: swap.max_slower, max_rejected: swap.max_rejected };
        let limits = Some(limits).filter(|_| on_probation && !swap.probation.is_zero());
        if let Err(error) = self.supervisor.swap(&next, limits, false) {
            return Err(self.put_aside(name, next, Outcome::Refused, Some(error.to_string()), shadow));
        }
        let versions = self.supervisor.versions(name);
        if let Some(kept) = self.kept.get_mut(name) {
            let live = std::mem::replace(&mut kept.live, Arc::clone(&next));
            // What was on probation itself is not gone back to.
            if kept.probation.is_none() || kept.before.is_none() {
                kept.before = Some(live);
            }
            kept.probation = limits.map(|_| OnProbation { versions, lasts: swap.probation });
            kept.candidate = None;
        }
        self.note(name, Some(&next), Outcome::Live, None, shadow);
        self.archive(&next);
        Ok(Outcome::Live)
    }

    /// Whether a version can't take over task by task.
    fn must_restart(&self, live: &Pipeline, next: &Pipeline) -> bool {
        let states = |pipeline: &Pipeline| pipeline.aggregate().map(|aggregate| aggregate.state.clone());
        // What is behind an exchange must not meet states that only the next version knows.
        let meets_others = self.supervisor.versions(live.name()).len() > 1 && states(live) != states(next);
        meets_others || matches!(way(live.options(), next.options()), Way::Restart(_)) || self.has_failed(live.name())
    }

    /// Has a pipeline end in order and begin again with another version.
    fn restart(&mut self, name: &str, next: Arc<Pipeline>) -> Result<Outcome, String> {
        let started = self.supervisor.restart(&next).map_err(|error| error.to_string());
        let Some(kept) = self.kept.get_mut(name) else { return Ok(Outcome::Live) };
        match started {
            Ok(()) => {
                kept.before = Some(std::mem::replace(&mut kept.live, Arc::clone(&next)));
                (kept.probation, kept.candidate, kept.again) = (None, None, None);
                self.note(name, Some(&next), Outcome::Live, Some("the pipeline began again".to_owned()), None);
                self.archive(&next);
                Ok(Outcome::Live)
            }
            Err(reason) => {
                // What was live starts again, at once or as soon as it can.
                kept.again = Some(Instant::now());
                Err(self.put_aside(name, next, Outcome::Refused, Some(reason), None))
            }
        }
    }

    pub(super) fn promote(&mut self, name: &str) -> Result<(), String> {
        let kept = self.kept.get_mut(name).ok_or_else(|| format!("no pipeline `{name}` runs here"))?;
        let (candidate, outcome) = match kept.candidate.clone() {
            Some(candidate) => candidate,
            None => {
                let options = self.wanted.get(name).unwrap_or_else(|| kept.live.options());
                let opened = Pipeline::open(name, options, &self.engine, &self.config.base);
                let opened = opened.map_err(|problems| in_words(&self.config, problems))?;
                if opened.digests() == kept.live.digests() {
                    return Err("no version waits".to_owned());
                }
                (Arc::new(opened), Outcome::Refused)
            }
        };
        let Examined { impossible, .. } = examine(&kept.live, &candidate, &[], false);
        if !impossible.is_empty() {
            return Err(impossible.join("; "));
        }
        // Who overrules the checks overrules those of the probation.
        self.go_live(name, candidate, outcome == Outcome::Waiting, None).map(drop)
    }

    pub(super) fn roll_back(&mut self, name: &str, to: Option<&str>) -> Result<(), String> {
        let kept = self.kept.get(name).ok_or_else(|| format!("no pipeline `{name}` runs here"))?;
        let live = Arc::clone(&kept.live);
        let digests = match to {
            // Whether or not that had proved itself.
            None => {
                let earlier = kept.events.iter().rev().map(|event| &event.live).find(|past| **past != live.digests());
                earlier.cloned().ok_or("there was no other version before")?
            }
            Some(prefix) => {
                let named = |event: &&Event| event.live.iter().any(|digest| digest.starts_with(prefix));
                let found = kept.events.iter().rfind(named).map(|event| event.live.clone());
                found.ok_or_else(|| format!("no plugin whose digest begins with {prefix} was live"))?
            }
        };
        let next = match &kept.before {
            Some(before) if before.digests() == digests => Arc::clone(before),
            _ => Arc::new(archived(name, live.options(), &digests, &self.history, &self.engine, &self.config.base)?),
        };
        let Examined { impossible, .. } = examine(&live, &next, &[], true);
        if !impossible.is_empty() {
            return Err(impossible.join("; "));
        }
        if self.must_restart(&live, &next) {
            self.restart(name, Arc::new((*next).clone().gone_back_to()))?;
        } else {
            self.supervisor.swap(&next, None, true).map_err(|error| error.to_string())?;
        }
        if let Some(kept) = self.kept.get_mut(name) {
            kept.live = next;
            (kept.probation, kept.before) = (None, None);
            kept.candidate = Some((Arc::clone(&live), Outcome::RolledBack));
        }
        self.note(name, Some(&live), Outcome::RolledBack, None, None);
        Ok(())
    }

    /// Puts a plugin in the place of one of a pipeline's, for all pipelines that have it.
    pub(super) fn push(&mut self, name: &str, index: usize, content: &[u8]) -> Answer {
        let kept = self.kept.get(name).ok_or_else(|| format!("no pipeline `{name}` runs here"))?;
        let all = files(kept.live.options(), &self.config.base);
        let file = all.get(index).ok_or_else(|| format!("`{name}` has {} plugins, counted from 0", all.len()))?;
        replace(file, content).map_err(|error| format!("{} can't be replaced: {error}", file.display()))?;
        let uses = |kept: &Kept| files(kept.live.options(), &self.config.base).contains(file);
        let names: Vec<String> =
            self.kept.iter().filter(|(_, kept)| uses(kept)).map(|(name, _)| name.clone()).collect();
        let mut outcomes = serde_json::Map::new();
        for name in names {
            let outcome = self.consider(&name);
            let outcome = outcome.map_or_else(|reason| json!({ "refused": reason }), |outcome| json!(outcome));
            outcomes.insert(name, outcome);
        }
        Ok(json!({ "pipelines": outcomes }))
    }
}

/// Pipelines as a host begins with them: where what is in a plugin's file was found to be no good, with what was live instead.
pub fn at_start(pipelines: Vec<Pipeline>, base: &Path, engine: &Engine, history: &History) -> Vec<Arc<Pipeline>> {
    let events = history.events_of(pipelines.iter().map(Pipeline::name));
    let good = |(pipeline, events): (Pipeline, Result<Vec<Event>, _>)| {
        let name = pipeline.name();
        let events = events.unwrap_or_else(|error| {
            tracing::warn!(pipeline = name, %error, "can't tell what became of earlier versions");
            Vec::new()
        });
        let Some(last) = events.last() else { return Arc::new(pipeline) };
        if !is_out(&events, &pipeline.digests(), &pipeline.options().digest()) || last.live == pipeline.digests() {
            return Arc::new(pipeline);
        }
        match archived(name, pipeline.options(), &last.live, history, engine, base) {
            Ok(archived) => {
                let reason = last.reason.as_deref().unwrap_or_default();
                tracing::warn!(pipeline = name, reason, plugins = ?last.live, "what is in the plugins' files was found to be no good");
                Arc::new(archived)
            }
            Err(reason) => {
                tracing::warn!(
                    pipeline = name,
                    reason,
                    "what is in the plugins' files was found to be no good, and is all there is"
                );
                Arc::new(pipeline)
            }
        }
    };
    pipelines.into_iter().zip(events).map(good).collect()
}

/// A pipeline with plugins that were live once, by their digests.
fn archived(
    name: &str,
    options: &PipelineOptions,
    digests: &[String],
    history: &History,
    engine: &Engine,
    base: &Path,
) -> Result<Pipeline, String> {
    let mut left = digests.iter();
    let mut load = |file: &str| {
        let path = base.join(file);
        let unreadable = |error: Box<dyn std::error::Error + Send + Sync>| PluginError::Unreadable {
            path: path.clone(),
            source: std::io::Error::other(error),
        };
        let digest = left.next().ok_or_else(|| unreadable("there were fewer plugins then".into()))?;
        let content = history.plugin(name, digest).map_err(|error| unreadable(Box::new(error)))?;
        engine.load_bytes(&path, &content)
    };
    let words =
        |problems: Vec<Problem>| problems.iter().map(|problem| problem.message.clone()).collect::<Vec<_>>().join("; ");
    Pipeline::open_with(name, options, &mut load).map(Pipeline::gone_back_to).map_err(words)
}

/// Replaces a file as a whole, so that nobody ever reads half of it.
fn replace(file: &Path, content: &[u8]) -> std::io::Result<()> {
    // Where it is a link, what it leads to.
    let file = file.canonicalize()?;
    let temporary = file.with_extension(format!("{}.tmp", uuid::Uuid::new_v4().simple()));
    let written = std::fs::write(&temporary, content).and_then(|()| std::fs::rename(&temporary, &file));
    written.inspect_err(|_| drop(std::fs::remove_file(&temporary)))
}
