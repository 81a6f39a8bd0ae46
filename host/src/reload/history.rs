//! What became of each version of a pipeline's plugins, and the versions themselves, kept in the store.
//!
//! `_rillgate/@swaps/<pipeline>/<time>-<id>.json` is one event, which is never changed; `_rillgate/@plugins/<pipeline>/<digest>.wasm`
//! is a plugin that was live. No pipeline is called so. Nothing here is needed to read or write a table: what can't be kept is
//! logged.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectMeta, ObjectStoreExt, PutMode};
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::commit::Store;
use crate::plugin::sha256;

/// Events of a pipeline that are kept.
pub(super) const EVENTS: usize = 100;
/// Versions of a pipeline whose plugins are kept: the newest that were live. As many plugins beside those may be there.
const VERSIONS: usize = 10;
/// How long an operator waits for an event to be kept.
const PATIENCE: Duration = Duration::from_secs(10);
/// Requests at once.
const AT_ONCE: usize = 8;

/// What became of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The host began with it.
    Started,
    /// It has taken over.
    Live,
    /// It is live, and its probation is over.
    Proved,
    /// It has passed, and waits for someone to say so.
    Waiting,
    /// It did not pass: what was live stayed.
    Refused,
    /// It went live, and failed: what was live before is live again.
    WentBack,
    /// Someone said that what was live before shall be live again.
    RolledBack,
}

/// What became of a version, and when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// RFC 3339, by this host's clock.
    pub time: String,
    /// The pipeline.
    pub pipeline: String,
    /// SHA-256 of the version's plugins, in order; none if they can't be opened.
    pub plugins: Vec<String>,
    /// SHA-256 of its configuration.
    pub config: String,
    /// The files that the plugins came from.
    pub files: Vec<String>,
    /// What became of it.
    pub outcome: Outcome,
    /// Why, where there is something to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The plugins that are live after it.
    pub live: Vec<String>,
    /// The plugins that it goes back to if it fails on probation; `None` where it isn't on that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goes_back_to: Option<Vec<String>>,
    /// How it did beside what was live, on the newest batches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shadow: Option<serde_json::Value>,
}

/// Events and plugins in the store.
#[derive(Clone)]
pub struct History {
    store: Store,
    runtime: Handle,
    last: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl History {
    /// Of pipelines whose control files go to `store`. `runtime` does the requests.
    pub fn new(store: &Store, runtime: &Handle) -> Self {
        Self { store: store.clone(), runtime: runtime.clone(), last: Arc::default() }
    }

    /// Keeps an event. Returns at once; [`History::written`] waits until it is there.
    pub fn note(&self, event: Event) {
        let this = self.clone();
        let written = self.runtime.spawn(async move {
            let folder = format!("_rillgate/@swaps/{}", event.pipeline);
            let noted = async {
                let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                let id = uuid::Uuid::new_v4().simple();
                let path = this.path(&format!("{folder}/{:020}-{id}.json", now.as_millis()))?;
                let json = serde_json::to_vec(&event).map_err(|error| odd(Box::new(error)))?;
                this.store.control.store.put(&path, json.into()).await?;
                let mut all = this.list(&folder).await?;
                all.sort_by(|a, b| b.location.cmp(&a.location));
                this.remove(all.into_iter().skip(EVENTS)).await
            };
            if let Err(error) = noted.await {
                tracing::warn!(pipeline = event.pipeline, %error, "can't keep what became of a version");
            }
        });
        *self.last() = Some(written);
    }

    /// Waits until what was noted last is in the store, so that a host that dies now begins with it; but not for long. Blocks.
    pub fn written(&self) {
        if let Some(written) = self.last().take() {
            // Where it isn't, that was logged, or will be.
            let _ = self.runtime.block_on(async { tokio::time::timeout(PATIENCE, written).await });
        }
    }

    fn last(&self) -> MutexGuard<'_, Option<JoinHandle<()>>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a plugin that is live, as it is in its file now: if that has another digest it is on its way out. Returns at once.
    pub fn keep(&self, pipeline: &str, digest: &str, file: &std::path::Path) {
        let (this, pipeline, digest, file) = (self.clone(), pipeline.to_owned(), digest.to_owned(), file.to_owned());
        self.runtime.spawn(async move {
            let kept = async {
                let folder = format!("_rillgate/@plugins/{pipeline}");
                let path = this.path(&format!("{folder}/{digest}.wasm"))?;
                match this.store.control.store.head(&path).await {
                    Ok(_) => return Ok(()),
                    Err(StoreError::NotFound { .. }) => {}
                    Err(error) => return Err(error),
                }
                let content = tokio::task::spawn_blocking(move || std::fs::read(&file)).await;
                let content = content.map_err(|error| odd(Box::new(error)))?.map_err(|error| odd(Box::new(error)))?;
                if sha256(&content) != digest {
                    return Ok(());
                }
                match this.store.control.store.put_opts(&path, content.into(), PutMode::Create.into()).await {
                    Ok(_) | Err(StoreError::AlreadyExists { .. } | StoreError::Precondition { .. }) => {}
                    Err(error) => return Err(error),
                }
                let events = this.read(&pipeline).await?;
                let lives = lives(&events, VERSIONS);
                let mut all = this.list(&folder).await?;
                all.retain(|file| {
                    let name = file.location.filename().unwrap_or_default();
                    name.strip_suffix(".wasm").is_some_and(|name| name != digest && !lives.contains(name))
                });
                // What others have just put there may be live before they have said so.
                all.sort_by_key(|file| std::cmp::Reverse(file.last_modified));
                this.remove(all.into_iter().skip(VERSIONS)).await
            };
            if let Err(error) = kept.await {
                tracing::warn!(pipeline, digest, %error, "can't keep a plugin to go back to");
            }
        });
    }

    /// The events of a pipeline, oldest first. Blocks.
    ///
    /// # Errors
    /// Of the store.
    pub fn events(&self, pipeline: &str) -> Result<Vec<Event>, StoreError> {
        self.runtime.block_on(self.read(pipeline))
    }

    /// The same of several pipelines, at once.
    pub(super) fn events_of<'a>(
        &self,
        pipelines: impl Iterator<Item = &'a str>,
    ) -> Vec<Result<Vec<Event>, StoreError>> {
        self.runtime.block_on(futures::future::join_all(pipelines.map(|pipeline| self.read(pipeline))))
    }

    /// A plugin that was live, by its digest. Blocks.
    ///
    /// # Errors
    /// Of the store; and where what is there has another digest.
    pub fn plugin(&self, pipeline: &str, digest: &str) -> Result<Bytes, StoreError> {
        self.runtime.block_on(async {
            let path = self.path(&format!("_rillgate/@plugins/{pipeline}/{digest}.wasm"))?;
            let content = self.store.control.store.get(&path).await?.bytes().await?;
            match sha256(&content) == digest {
                true => Ok(content),
                false => Err(odd(format!("{path} is damaged").into())),
            }
        })
    }

    async fn read(&self, pipeline: &str) -> Result<Vec<Event>, StoreError> {
        let mut all = self.list(&format!("_rillgate/@swaps/{pipeline}")).await?;
        all.sort_by(|a, b| a.location.cmp(&b.location));
        let newest = all.split_off(all.len().saturating_sub(EVENTS));
        let get = |file: ObjectMeta| async move {
            let content = match self.store.control.store.get(&file.location).await {
                // Cleaned away meanwhile.
                Err(StoreError::NotFound { .. }) => return Ok(None),
                got => got?.bytes().await?,
            };
            serde_json::from_slice(&content)
                .map(Some)
                .map_err(|error| odd(format!("{}: {error}", file.location).into()))
        };
        let read = futures::stream::iter(newest).map(get).buffered(AT_ONCE);
        let read: Vec<Option<Event>> = read.try_collect().await?;
        Ok(read.into_iter().flatten().collect())
    }

    async fn list(&self, folder: &str) -> Result<Vec<ObjectMeta>, StoreError> {
        let path = self.path(folder)?;
        self.store.control.store.list(Some(&path)).try_collect().await
    }

    async fn remove(&self, files: impl Iterator<Item = ObjectMeta>) -> Result<(), StoreError> {
        for file in files {
            match self.store.control.store.delete(&file.location).await {
                Ok(()) | Err(StoreError::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn path(&self, relative: &str) -> Result<Path, StoreError> {
        self.store.control.path(relative)
    }
}

/// Whether the last word on a version of these plugins and this configuration was that it is no good.
///
/// Plugins that went back after others were live are out with any configuration, until they are live again; those that did not pass are
/// out with that which they did not pass with.
pub fn is_out(events: &[Event], plugins: &[String], config: &str) -> bool {
    matches!(last_word(events, plugins, config), Some(Outcome::Refused | Outcome::WentBack | Outcome::RolledBack))
}

/// Whether a version of these plugins and this configuration waits for someone to say that it may go live.
pub fn waits(events: &[Event], plugins: &[String], config: &str) -> bool {
    last_word(events, plugins, config) == Some(Outcome::Waiting)
}

fn last_word(events: &[Event], plugins: &[String], config: &str) -> Option<Outcome> {
    let word = |event: &Event| {
        let (goes_back, is_live) =
            (matches!(event.outcome, Outcome::WentBack | Outcome::RolledBack), event.live == plugins);
        let is_of_plugins = match event.outcome {
            Outcome::WentBack | Outcome::RolledBack => !is_live,
            Outcome::Started | Outcome::Live | Outcome::Proved => true,
            Outcome::Waiting | Outcome::Refused => false,
        };
        match event.plugins == plugins && (is_of_plugins || event.config == config) {
            true => Some(event.outcome),
            // They are what was gone back to.
            false => (goes_back && is_live).then_some(Outcome::Live),
        }
    };
    events.iter().rev().find_map(word)
}

/// The plugins of the newest versions that were live, so many of them.
fn lives(events: &[Event], most: usize) -> HashSet<&str> {
    let mut newest: Vec<&[String]> = Vec::new();
    for event in events.iter().rev() {
        if !newest.contains(&event.live.as_slice()) {
            newest.push(&event.live);
        }
    }
    newest.into_iter().take(most).flatten().map(String::as_str).collect()
}

/// What a version of these plugins and this configuration goes back to, if its probation was not over when it was last heard of.
pub fn goes_back_to<'a>(events: &'a [Event], plugins: &[String], config: &str) -> Option<&'a [String]> {
    let is_live = events.last().is_some_and(|event| event.live == plugins);
    let last = events.iter().rfind(|event| event.plugins == plugins && event.config == config)?;
    last.goes_back_to.as_deref().filter(|_| is_live)
}

fn odd(source: Box<dyn std::error::Error + Send + Sync>) -> StoreError {
    StoreError::Generic { store: "history", source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(outcome: Outcome, plugin: &str, config: &str, live: &str) -> Event {
        Event {
            time: String::new(),
            pipeline: "p".to_owned(),
            plugins: vec![plugin.to_owned()],
            config: config.to_owned(),
            files: vec![],
            outcome,
            reason: None,
            live: vec![live.to_owned()],
            goes_back_to: None,
            shadow: None,
        }
    }

    #[test]
    fn what_went_back_is_out_with_any_configuration_and_what_did_not_pass_with_its_own() {
        let out = |events: &[Event], plugin: &str, config: &str| is_out(events, &[plugin.to_owned()], config);
        let mut events = vec![event(Outcome::Started, "v1", "c1", "v1"), event(Outcome::Refused, "v2", "c1", "v1")];
        assert!(out(&events, "v2", "c1") && !out(&events, "v2", "c2") && !out(&events, "v1", "c1"));
        for outcome in [Outcome::WentBack, Outcome::RolledBack] {
            events.extend([event(Outcome::Live, "v3", "c1", "v3"), event(outcome, "v3", "c1", "v1")]);
            assert!(out(&events, "v3", "c1") && out(&events, "v3", "c2") && !out(&events, "v1", "c2"));
            events.push(event(Outcome::Live, "v3", "c2", "v3"));
            assert!(!out(&events, "v3", "c1"), "someone said so");
        }
        // By hand from v3 to v2, which did not pass once.
        events.push(event(Outcome::RolledBack, "v3", "c2", "v2"));
        assert!(out(&events, "v3", "c1") && !out(&events, "v2", "c1") && !out(&events, "v2", "c9"));
        // Settings alone.
        events.extend([event(Outcome::Live, "v2", "bad", "v2"), event(Outcome::WentBack, "v2", "bad", "v2")]);
        assert!(out(&events, "v2", "bad") && !out(&events, "v2", "c1") && out(&events, "v3", "c1"));
        events.push(event(Outcome::Waiting, "v4", "c1", "v2"));
        assert!(waits(&events, &["v4".to_owned()], "c1") && !waits(&events, &["v4".to_owned()], "c2"));
    }

    #[test]
    fn the_plugins_of_the_newest_versions_that_were_live_are_kept_however_long_they_are_there() {
        let mut events: Vec<Event> =
            (1..=12).map(|v| event(Outcome::Live, &format!("v{v}"), "c", &format!("v{v}"))).collect();
        events.push(event(Outcome::RolledBack, "v12", "c", "v1"));
        let kept = lives(&events, 3);
        assert_eq!(kept, HashSet::from(["v1", "v12", "v11"]));
    }

    #[test]
    fn a_version_goes_back_to_another_while_its_last_event_says_so_and_it_is_live() {
        let event = |plugin: &str, outcome, live: &str, back: Option<&str>| Event {
            goes_back_to: back.map(|back| vec![back.to_owned()]),
            ..event(outcome, plugin, "c", live)
        };
        let mut events = vec![event("a", Outcome::Started, "a", None), event("b", Outcome::Live, "b", Some("a"))];
        let of_b = |events: &[Event], config| goes_back_to(events, &["b".to_owned()], config).map(<[String]>::to_vec);
        assert_eq!(of_b(&events, "c"), Some(vec!["a".to_owned()]));
        assert_eq!(of_b(&events, "another"), None);
        events.push(event("c", Outcome::Refused, "b", None));
        assert_eq!(of_b(&events, "c"), Some(vec!["a".to_owned()]), "what became of another is nothing to it");
        let went_on = |last| of_b(&[&events[..], &[last]].concat(), "c");
        assert_eq!(went_on(event("b", Outcome::Proved, "b", None)), None);
        assert_eq!(went_on(event("b", Outcome::WentBack, "a", None)), None);
        assert_eq!(went_on(event("d", Outcome::Live, "d", Some("a"))), None, "another is live");
    }
}
