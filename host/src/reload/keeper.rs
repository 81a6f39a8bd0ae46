//! What is live of each pipeline, what waits, and what is on probation.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use indexmap::IndexMap;
use serde_json::json;

use super::change::{Change, changes};
use super::history::{EVENTS, Event, History, Outcome, goes_back_to};
use super::sample::{self, sample};
use super::start::begin_with;
use super::{Answer, Command, Shown, Source};
use crate::config::{self, Config, PipelineOptions};
use crate::pipeline::Pipeline;
use crate::plugin::{Engine, sha256};
use crate::supervisor::{State, Supervisor};
use crate::task::Version;

/// How often a pipeline is tried to start that does not.
pub(super) const AGAIN: Duration = Duration::from_secs(10);
/// Rows that are shown one by one.
const SAMPLED: usize = 5;

/// What the thread knows.
pub(super) struct Keeper {
    pub(super) source: Source,
    pub(super) config: Config,
    pub(super) engine: Engine,
    pub(super) supervisor: Arc<Supervisor>,
    pub(super) history: History,
    pub(super) kept: IndexMap<String, Kept>,
    /// What the file says of them, whether or not that is live.
    pub(super) wanted: IndexMap<String, PipelineOptions>,
    /// Some of them could not be started at all, and are to be then.
    missing: Option<Instant>,
}

/// What there is of one pipeline.
pub(super) struct Kept {
    pub(super) live: Arc<Pipeline>,
    /// What was live before.
    pub(super) before: Option<Arc<Pipeline>>,
    pub(super) probation: Option<OnProbation>,
    /// It does not run, and is to be started again then.
    pub(super) again: Option<Instant>,
    /// What the files say could not be tried, for a reason that is none of its own, and is to be then.
    pub(super) retry: Option<Instant>,
    /// It has passed and waits to be promoted, or it has not passed.
    pub(super) candidate: Option<(Arc<Pipeline>, Outcome)>,
    pub(super) events: Vec<Event>,
}

pub(super) struct OnProbation {
    pub(super) versions: Vec<Arc<Version>>,
    /// From the first row on.
    pub(super) lasts: Duration,
}

impl Keeper {
    pub(super) fn new(
        source: Source,
        config: Config,
        pipelines: Vec<Arc<Pipeline>>,
        engine: Engine,
        supervisor: Arc<Supervisor>,
    ) -> Self {
        let (store, runtime) = supervisor.store();
        let history = History::new(store, runtime);
        let options = |pipeline: &Arc<Pipeline>| (pipeline.name().to_owned(), pipeline.options().clone());
        let wanted = pipelines.iter().map(options).collect();
        let mut keeper =
            Self { source, config, engine, history, supervisor, kept: IndexMap::new(), wanted, missing: None };
        let events = keeper.history.events_of(pipelines.iter().map(|pipeline| pipeline.name()));
        for (pipeline, events) in pipelines.into_iter().zip(events) {
            keeper.begin(pipeline, events);
        }
        keeper
    }

    /// The files that say what runs.
    pub(super) fn watched(&self) -> Vec<PathBuf> {
        let plugins = self.wanted.values().flat_map(|options| files(options, &self.config.base));
        std::iter::once(self.source.path.clone()).chain(plugins).collect()
    }

    pub(super) fn is_over(&self) -> bool {
        self.supervisor.is_stopping()
    }

    pub(super) fn obey(&mut self, command: Command) -> Answer {
        let answer = self.answer(command);
        // What was done must be known to a host that starts in this one's place.
        self.history.written();
        answer
    }

    fn answer(&mut self, command: Command) -> Answer {
        match command {
            Command::Reload => self.reload().map(|changes| json!({ "changes": changes })),
            Command::Plan(text) => self.plan(&text),
            Command::Promote(name) => self.promote(&name).map(|()| json!({ "live": self.digests(&name) })),
            Command::Rollback(name, to) => {
                self.roll_back(&name, to.as_deref()).map(|()| json!({ "live": self.digests(&name) }))
            }
            Command::Push(name, index, content) => self.push(&name, index, &content),
            Command::Sample(name) => {
                let kept = self.kept.get(&name).ok_or_else(|| format!("no pipeline `{name}` runs here"))?;
                let newest = self.supervisor.recent(&name).pop();
                let (rows, now) = newest.ok_or("no rows have come yet; or `shadow` says that none are kept")?;
                let sampled = sample(&kept.live, kept.before.as_deref(), &rows, now, SAMPLED, sample::TIME_LIMIT)?;
                serde_json::to_value(sampled).map_err(|error| error.to_string())
            }
            Command::Show(name) => {
                let kept = self.kept.get(&name).ok_or_else(|| format!("no pipeline `{name}` runs here"))?;
                serde_json::to_value(kept.show(&self.config.base)).map_err(|error| error.to_string())
            }
        }
    }

    /// Takes note of plugins that have changed between being opened and being watched.
    pub(super) fn look_again(&mut self) {
        let mut changed = Vec::new();
        for kept in self.kept.values() {
            for (file, digest) in files(kept.live.options(), &self.config.base).into_iter().zip(kept.live.digests()) {
                if std::fs::read(&file).is_ok_and(|content| sha256(&content) != digest) {
                    changed.push(file);
                }
            }
        }
        self.files_changed(&changed);
    }

    /// Takes note of files that have changed.
    pub(super) fn files_changed(&mut self, changed: &[PathBuf]) {
        // What is wrong has been logged; plugins that have changed with the file are looked at by it, if it is taken.
        if changed.contains(&self.source.path) && self.reload().is_ok() {
            return;
        }
        let of =
            |options: &PipelineOptions| files(options, &self.config.base).iter().any(|file| changed.contains(file));
        let changed = self.wanted.iter().filter(|(_, options)| of(options));
        let names: Vec<String> = changed.map(|(name, _)| name.clone()).collect();
        for name in names {
            // What becomes of it has been noted.
            match self.kept.contains_key(&name) {
                true => drop(self.consider(&name)),
                false => self.add(&name),
            }
        }
    }

    /// Looks whether versions have failed on probation, or have proved themselves; and whether what does not run does now.
    pub(super) fn look_after(&mut self) {
        for name in self.kept.keys().cloned().collect::<Vec<_>>() {
            let Some(kept) = self.kept.get_mut(&name) else { continue };
            if kept.again.is_some_and(|again| again <= Instant::now()) {
                kept.again = None;
                if let Err(error) = self.supervisor.add(&kept.live) {
                    tracing::error!(pipeline = name, %error, "the pipeline does not start; trying again");
                    kept.again = Some(Instant::now() + AGAIN);
                }
            }
            if kept.retry.is_some_and(|retry| retry <= Instant::now()) {
                // What becomes of it has been noted.
                let _ = self.consider(&name);
            }
            if self.take_back(&name) {
                continue;
            }
            let Some(kept) = self.kept.get_mut(&name) else { continue };
            let Some(probation) = &kept.probation else { continue };
            if probation.versions.iter().any(|version| version.has_lasted(probation.lasts)) {
                let settled: Vec<bool> = probation.versions.iter().map(|version| version.settle()).collect();
                // Where one has failed by now, that is seen next time.
                if settled.into_iter().all(|proved| proved) {
                    kept.probation = None;
                    let live = Arc::clone(&kept.live);
                    self.note(&name, Some(&live), Outcome::Proved, None, None);
                }
            }
        }
        if self.missing.is_some_and(|missing| missing <= Instant::now()) {
            self.missing = None;
            let missing: Vec<String> =
                self.wanted.keys().filter(|name| !self.kept.contains_key(*name)).cloned().collect();
            missing.iter().for_each(|name| self.add(name));
        }
    }

    /// Takes note of a version that has failed on probation, and whose tasks have gone back, if that is so.
    pub(super) fn take_back(&mut self, name: &str) -> bool {
        let Some(kept) = self.kept.get_mut(name) else { return false };
        let Some(probation) = &kept.probation else { return false };
        let failure = probation.versions.iter().find_map(|version| version.failure());
        let (Some(reason), Some(back)) = (failure, kept.before.clone()) else { return false };
        let reason = reason.to_owned();
        let failed = std::mem::replace(&mut kept.live, back);
        (kept.probation, kept.before) = (None, None);
        kept.candidate = Some((Arc::clone(&failed), Outcome::WentBack));
        self.note(name, Some(&failed), Outcome::WentBack, Some(reason), None);
        true
    }

    /// Reads the configuration again and does what it says.
    fn reload(&mut self) -> Result<Vec<Change>, String> {
        let read = self.read();
        let (config, pipelines) = read.inspect_err(|reason| {
            count(crate::metrics::RELOADS, "refused");
            tracing::error!(file = %self.source.path.display(), "the configuration is left as it was: {reason}");
        })?;
        let changes = changes(&self.live_options(), &pipelines);
        count(crate::metrics::RELOADS, "taken");
        self.config = config;
        self.wanted = pipelines;
        for change in &changes {
            tracing::info!("{change}");
            match change {
                Change::Added { pipeline } => self.add(pipeline),
                Change::Removed { pipeline } => {
                    self.supervisor.remove(pipeline);
                    self.kept.shift_remove(pipeline);
                }
                // Looked at below, as are those of whose plugins others are there.
                Change::Swapped { .. } | Change::Restarted { .. } => {}
                Change::Refused { pipeline, reason } => {
                    tracing::error!(pipeline, reason, "the pipeline stays as it is");
                }
            }
        }
        for name in self.kept.keys().cloned().collect::<Vec<_>>() {
            let _ = self.consider(&name);
        }
        Ok(changes)
    }

    pub(super) fn live_options(&self) -> IndexMap<String, PipelineOptions> {
        self.kept.iter().map(|(name, kept)| (name.clone(), kept.live.options().clone())).collect()
    }

    /// Starts a pipeline that has come.
    fn add(&mut self, name: &str) {
        let events = self.history.events(name);
        let known = events.as_deref().unwrap_or_default();
        let opened = begin_with(name, &self.wanted[name], &self.config.base, &self.engine, &self.history, known);
        let added = opened.map_err(|problems| in_words(&self.config, problems)).and_then(|pipeline| {
            let pipeline = Arc::new(pipeline);
            self.supervisor.add(&pipeline).map_err(|error| error.to_string())?;
            Ok(pipeline)
        });
        match added {
            Ok(pipeline) => self.begin(pipeline, events),
            Err(reason) => {
                tracing::error!(pipeline = name, reason, "the pipeline does not start; trying again");
                self.missing = Some(Instant::now() + AGAIN);
            }
        }
    }

    /// Takes note of a pipeline that has begun.
    fn begin(&mut self, pipeline: Arc<Pipeline>, events: Result<Vec<Event>, object_store::Error>) {
        let name = pipeline.name().to_owned();
        let events = events.unwrap_or_else(|error| {
            tracing::warn!(pipeline = name, %error, "can't tell what became of earlier versions");
            Vec::new()
        });
        let back = goes_back_to(&events, &pipeline.digests(), &pipeline.options().digest()).map(<[String]>::to_vec);
        let is_known = events.last().is_some_and(|event| event.live == pipeline.digests());
        let live = Arc::clone(&pipeline);
        let kept = Kept { live, before: None, probation: None, again: None, retry: None, candidate: None, events };
        self.kept.insert(name.clone(), kept);
        if !is_known {
            self.note(&name, Some(&pipeline), Outcome::Started, None, None);
        }
        // Though it is known: a host may have died between saying that it is live and keeping it.
        self.archive(&pipeline);
        if let Some(back) = back {
            self.prove_again(&name, &back);
        }
    }

    pub(super) fn has_failed(&self, name: &str) -> bool {
        let status = self.supervisor.status();
        status.iter().any(|one| one.pipeline == name && matches!(one.state, State::Failed(_)))
    }

    pub(super) fn digests(&self, name: &str) -> Vec<String> {
        self.kept.get(name).map(|kept| kept.live.digests()).unwrap_or_default()
    }

    /// Takes note of what became of a version, where everyone looks; of one that can't be opened where `about` is `None`.
    pub(super) fn note(
        &mut self,
        name: &str,
        about: Option<&Pipeline>,
        outcome: Outcome,
        reason: Option<String>,
        shadow: Option<serde_json::Value>,
    ) {
        let event = Event {
            time: humantime::format_rfc3339_millis(SystemTime::now()).to_string(),
            pipeline: name.to_owned(),
            plugins: about.map(Pipeline::digests).unwrap_or_default(),
            config: about.map(|about| about.options().digest()).unwrap_or_default(),
            files: about
                .iter()
                .flat_map(|about| about.plugins())
                .map(|plugin| plugin.path.display().to_string())
                .collect(),
            outcome,
            reason,
            live: self.digests(name),
            goes_back_to: self.kept.get(name).filter(|_| outcome == Outcome::Live).and_then(Kept::goes_back_to),
            shadow,
        };
        let reason = event.reason.as_deref().unwrap_or_default();
        match outcome {
            Outcome::Refused | Outcome::WentBack => {
                tracing::error!(pipeline = name, ?outcome, reason, plugins = ?event.plugins, live = ?event.live, "a version is out");
            }
            _ => tracing::info!(pipeline = name, ?outcome, reason, plugins = ?event.plugins, "a version"),
        }
        let label = serde_json::to_value(outcome).ok().and_then(|outcome| outcome.as_str().map(str::to_owned));
        metrics::counter!(crate::metrics::SWAPS, "pipeline" => name.to_owned(), "outcome" => label.unwrap_or_default())
            .increment(1);
        self.history.note(event.clone());
        if let Some(kept) = self.kept.get_mut(name) {
            kept.events.push(event);
            let old = kept.events.len().saturating_sub(EVENTS);
            kept.events.drain(..old);
        }
    }

    pub(super) fn archive(&self, pipeline: &Pipeline) {
        for plugin in pipeline.plugins() {
            self.history.keep(pipeline.name(), &plugin.digest, &plugin.path);
        }
    }
}

impl Kept {
    fn goes_back_to(&self) -> Option<Vec<String>> {
        self.probation.as_ref().and(self.before.as_ref()).map(|before| before.digests())
    }

    fn show(&self, base: &Path) -> Shown {
        Shown {
            live: self.live.digests(),
            files: files(self.live.options(), base),
            goes_back_to: self.goes_back_to(),
            waiting: self.candidate.as_ref().filter(|(_, of)| *of == Outcome::Waiting).map(|(one, _)| one.digests()),
            events: self.events.clone(),
        }
    }
}

/// The files of a pipeline's plugins, as they are configured.
pub(super) fn files(options: &PipelineOptions, base: &Path) -> Vec<PathBuf> {
    let aggregate = options.aggregate.iter().map(|aggregate| &aggregate.plugin);
    options.transform.iter().map(|transform| &transform.plugin).chain(aggregate).map(|file| base.join(file)).collect()
}

/// What keeps a pipeline from being opened, in one line.
pub(super) fn in_words(config: &Config, problems: Vec<config::Problem>) -> String {
    let problems = config.place(problems);
    problems.0.iter().map(|problem| format!("{}: {}", problem.path, problem.message)).collect::<Vec<_>>().join("; ")
}

fn count(metric: &'static str, outcome: &'static str) {
    metrics::counter!(metric, "outcome" => outcome).increment(1);
}
