//! How a version goes live, and how it comes back.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use serde_json::json;

use super::Answer;
use super::candidate::{Examined, examine, no_way_back};
use super::history::{Event, Outcome, is_out};
use super::keeper::{AGAIN, Keeper, Kept, OnProbation, files, in_words};
use super::start::archived;
use crate::config::SwapOptions;
use crate::pipeline::Pipeline;
use crate::supervisor::{Way, way};
use crate::task::ProbationLimits;

impl Keeper {
    /// Opens what the files say a pipeline is now, and has it go live if it may.
    pub(super) fn consider(&mut self, name: &str) -> Result<Outcome, String> {
        self.take_back(name);
        let (Some(kept), Some(options)) = (self.kept.get_mut(name), self.wanted.get(name)) else {
            return Err(format!("no pipeline `{name}` runs here"));
        };
        let live = Arc::clone(&kept.live);
        kept.retry = None;
        let mut candidate = match Pipeline::open(name, options, &self.engine, &self.config.base) {
            Ok(candidate) => Arc::new(candidate),
            Err(problems) => {
                let reason = in_words(&self.config, problems);
                kept.candidate = None;
                let is_known = kept.events.last().is_some_and(|last| {
                    last.outcome == Outcome::Refused && last.plugins.is_empty() && last.reason.as_ref() == Some(&reason)
                });
                if !is_known {
                    self.note(name, None, Outcome::Refused, Some(reason.clone()), None);
                }
                return Err(reason);
            }
        };
        let is_of =
            |one: &Pipeline, other: &Pipeline| one.digests() == other.digests() && one.options() == other.options();
        if is_of(&candidate, &live) {
            kept.candidate = None;
            return Ok(Outcome::Live);
        }
        if kept.candidate.as_ref().is_some_and(|(one, of)| *of == Outcome::Waiting && is_of(one, &candidate)) {
            return Ok(Outcome::Waiting);
        }
        if is_out(&kept.events, &candidate.digests(), &candidate.options().digest()) {
            let reason = "it was found to be no good; `rillgate plugin promote` takes it all the same".to_owned();
            tracing::info!(pipeline = name, plugins = ?candidate.digests(), reason, "the version stays out");
            kept.candidate = Some((Arc::clone(&candidate), Outcome::Refused));
            let is_out = |one: &Pipeline| is_out(&kept.events, &one.digests(), &one.options().digest());
            if candidate.options() == live.options() {
                return Err(reason);
            }
            // What else has changed is no matter of the plugins.
            candidate =
                Arc::new(archived(name, options, &live.digests(), &self.history, &self.engine, &self.config.base)?);
            if is_out(&candidate) {
                return Err(reason);
            }
        }
        let Examined { shadow, mut against, impossible } =
            examine(&live, &candidate, &self.supervisor.recent(name), false);
        if self.take_back(name) {
            // What it was held against isn't live any more.
            return self.consider(name);
        }
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
        let no_way_back = self.kept.get(name).and_then(|kept| no_way_back(&kept.live, &next));
        let limits = limits(swap, no_way_back.is_some()).filter(|_| on_probation);
        match self.supervisor.swap(&next, limits, false) {
            Ok(()) => {}
            Err(error) if error.is_of_version() => {
                return Err(self.put_aside(name, next, Outcome::Refused, Some(error.to_string()), shadow));
            }
            Err(error) => return Err(self.not_now(name, error.to_string())),
        }
        // Nothing looks after what was live before from now on.
        self.take_back(name);
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
        self.note(name, Some(&next), Outcome::Live, no_way_back, shadow);
        self.archive(&next);
        Ok(Outcome::Live)
    }

    /// Takes note of a version that could not be tried for a reason that is none of its own; returns the reason.
    fn not_now(&mut self, name: &str, reason: String) -> String {
        tracing::warn!(pipeline = name, reason, "the version can't go live now; trying again");
        if let Some(kept) = self.kept.get_mut(name) {
            kept.retry = Some(Instant::now() + AGAIN);
        }
        reason
    }

    /// Puts a version on probation again that was on it when a host ended: nobody knows yet whether it is any good.
    pub(super) fn prove_again(&mut self, name: &str, digests: &[String]) {
        let Some(kept) = self.kept.get_mut(name) else { return };
        let (options, probation) = (kept.live.options(), kept.live.options().swap.probation);
        let Some(limits) = limits(&options.swap, false) else { return };
        let before = archived(name, options, digests, &self.history, &self.engine, &self.config.base);
        let proving = before.map(Arc::new).and_then(|before| {
            // It may have committed by then.
            no_way_back(&before, &kept.live).map_or(Ok(()), Err)?;
            let proving = self.supervisor.prove(&kept.live, &before, limits);
            proving.map(|()| before).map_err(|error| error.to_string())
        });
        match proving {
            Ok(before) => {
                let versions = self.supervisor.versions(name);
                kept.before = Some(before);
                kept.probation = Some(OnProbation { versions, lasts: probation });
                tracing::info!(pipeline = name, plugins = ?kept.live.digests(), "the version is on probation again");
            }
            Err(reason) => tracing::warn!(pipeline = name, reason, "no version to go back to: the probation is over"),
        }
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
        self.take_back(name);
        let started = self.supervisor.restart(&next);
        let Some(kept) = self.kept.get_mut(name) else { return Ok(Outcome::Live) };
        match started {
            Ok(()) => {
                kept.before = Some(std::mem::replace(&mut kept.live, Arc::clone(&next)));
                (kept.probation, kept.candidate, kept.again) = (None, None, None);
                self.note(name, Some(&next), Outcome::Live, Some("the pipeline began again".to_owned()), None);
                self.archive(&next);
                Ok(Outcome::Live)
            }
            Err(error) => {
                // What was live starts again, at once or as soon as it can.
                kept.again = Some(Instant::now());
                match error.is_lasting() {
                    true => Err(self.put_aside(name, next, Outcome::Refused, Some(error.to_string()), None)),
                    false => Err(self.not_now(name, error.to_string())),
                }
            }
        }
    }

    pub(super) fn promote(&mut self, name: &str) -> Result<(), String> {
        self.take_back(name);
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
        self.take_back(name);
        let kept = self.kept.get(name).ok_or_else(|| format!("no pipeline `{name}` runs here"))?;
        let live = Arc::clone(&kept.live);
        let digests = match to {
            // Whether or not that had proved itself.
            None => {
                let earlier = kept.events.iter().rev().map(|event| &event.live).find(|past| **past != live.digests());
                earlier.cloned().ok_or("there was no other version before")?
            }
            Some("") => return Err("say which version by how the digest of one of its plugins begins".to_owned()),
            Some(prefix) => {
                let named = |event: &&Event| event.live.iter().any(|digest| digest.starts_with(prefix));
                let found = kept.events.iter().rfind(named).map(|event| event.live.clone());
                let found = found.ok_or_else(|| format!("no plugin whose digest begins with {prefix} was live"))?;
                if found == live.digests() {
                    return Err(format!("the version with {prefix} is live"));
                }
                found
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

    /// Puts a plugin in the place of one of a pipeline's, for all pipelines that have it. One that can't be opened leaves the file as it is.
    pub(super) fn push(&mut self, name: &str, index: usize, content: &[u8]) -> Answer {
        let kept = self.kept.get(name).ok_or_else(|| format!("no pipeline `{name}` runs here"))?;
        let all = files(kept.live.options(), &self.config.base);
        let file = all.get(index).ok_or_else(|| format!("`{name}` has {} plugins, counted from 0", all.len()))?;
        let uses = |kept: &Kept| files(kept.live.options(), &self.config.base).contains(file);
        let names: Vec<String> =
            self.kept.iter().filter(|(_, kept)| uses(kept)).map(|(name, _)| name.clone()).collect();
        for name in &names {
            self.try_to_open(name, file, content)?;
        }
        replace(file, content).map_err(|error| format!("{} can't be replaced: {error}", file.display()))?;
        let mut outcomes = serde_json::Map::new();
        for name in names {
            let outcome = self.consider(&name);
            let outcome = outcome.map_or_else(|reason| json!({ "refused": reason }), |outcome| json!(outcome));
            outcomes.insert(name, outcome);
        }
        Ok(json!({ "pipelines": outcomes }))
    }

    /// Opens a pipeline as if this were in that file.
    fn try_to_open(&mut self, name: &str, file: &Path, content: &[u8]) -> Result<(), String> {
        let Some(options) = self.wanted.get(name) else { return Ok(()) };
        let mut load = |path: &str| match self.config.base.join(path) {
            path if path == file => self.engine.load_bytes(file, content),
            path => self.engine.load(&path),
        };
        let Err(problems) = Pipeline::open_with(name, options, &mut load) else { return Ok(()) };
        let reason = in_words(&self.config, problems);
        self.note(name, None, Outcome::Refused, Some(reason.clone()), None);
        Err(reason)
    }
}

/// What a version may do on probation, if it is to be on that.
fn limits(swap: &SwapOptions, until_committed: bool) -> Option<ProbationLimits> {
    let limits = ProbationLimits { max_slower: swap.max_slower, max_rejected: swap.max_rejected, until_committed };
    Some(limits).filter(|_| !swap.probation.is_zero())
}

/// Replaces a file as a whole, so that nobody ever reads half of it.
fn replace(file: &Path, content: &[u8]) -> std::io::Result<()> {
    // Where it is a link, what it leads to.
    let file = file.canonicalize()?;
    let temporary = file.with_extension(format!("{}.tmp", uuid::Uuid::new_v4().simple()));
    let written = std::fs::write(&temporary, content).and_then(|()| std::fs::rename(&temporary, &file));
    written.inspect_err(|_| drop(std::fs::remove_file(&temporary)))
}
