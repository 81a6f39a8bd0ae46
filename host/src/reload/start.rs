//! What a host, or a pipeline, begins with: what is in the files, or what was live, where that is no good.

use std::path::Path;
use std::sync::Arc;

use indexmap::IndexMap;

use super::history::{Event, History, is_out, waits};
use crate::config::{PipelineOptions, Problem};
use crate::pipeline::Pipeline;
use crate::plugin::{Engine, PluginError};

/// Pipelines as a host begins with them.
///
/// # Errors
/// All that is wrong with those that can't be opened, and were not live before.
pub fn at_start(
    all: &IndexMap<String, PipelineOptions>,
    base: &Path,
    engine: &Engine,
    history: &History,
) -> Result<Vec<Arc<Pipeline>>, Vec<Problem>> {
    let (mut pipelines, mut problems) = (Vec::new(), Vec::new());
    for ((name, options), events) in all.iter().zip(history.events_of(all.keys().map(String::as_str))) {
        let events = events.unwrap_or_else(|error| {
            tracing::warn!(pipeline = name, %error, "can't tell what became of earlier versions");
            Vec::new()
        });
        match begin_with(name, options, base, engine, history, &events) {
            Ok(pipeline) => pipelines.push(Arc::new(pipeline)),
            Err(found) => problems.extend(found),
        }
    }
    if problems.is_empty() { Ok(pipelines) } else { Err(problems) }
}

/// A pipeline as it begins: where what is in a plugin's file can't be opened, was found to be no good, or waits to be promoted, with
/// what was live.
///
/// # Errors
/// What is wrong with it, where nothing was live that can be opened.
pub(super) fn begin_with(
    name: &str,
    options: &PipelineOptions,
    base: &Path,
    engine: &Engine,
    history: &History,
    events: &[Event],
) -> Result<Pipeline, Vec<Problem>> {
    let opened = Pipeline::open(name, options, engine, base);
    let Some(last) = events.last().filter(|last| !last.live.is_empty()) else { return opened };
    let reason = match &opened {
        Ok(pipeline) => {
            let (digests, config) = (pipeline.digests(), options.digest());
            if digests == last.live || !(is_out(events, &digests, &config) || waits(events, &digests, &config)) {
                return opened;
            }
            last.reason.clone().unwrap_or_default()
        }
        Err(problems) => problems.iter().map(|problem| problem.message.clone()).collect::<Vec<_>>().join("; "),
    };
    match archived(name, options, &last.live, history, engine, base) {
        Ok(archived) => {
            tracing::warn!(
                pipeline = name,
                reason,
                plugins = ?last.live,
                "what is in the plugins' files is not what was live, and stays out"
            );
            Ok(archived)
        }
        Err(why) => {
            tracing::warn!(
                pipeline = name,
                reason,
                why,
                "what was live can't be had: what is in the plugins' files is all there is"
            );
            opened
        }
    }
}

/// A pipeline with plugins that were live once, by their digests.
pub(super) fn archived(
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
    let opened = Pipeline::open_with(name, options, &mut load).map_err(words)?;
    match left.next() {
        None => Ok(opened.gone_back_to()),
        Some(_) => Err("there were more plugins then".to_owned()),
    }
}
