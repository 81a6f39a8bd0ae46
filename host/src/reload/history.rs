//! What became of each version of a pipeline's plugins, and the versions themselves, kept in the store.
//!
//! `_rillgate/@swaps/<pipeline>/<time>-<id>.json` is one event, which is never changed; `_rillgate/@plugins/<pipeline>/<digest>.wasm`
//! is a plugin that was live. No pipeline is called so. Nothing here is needed to read or write a table: what can't be kept is
//! logged.

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
/// Plugins of a pipeline that are kept beside those that are live.
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
                let content = tokio::task::spawn_blocking(move || std::fs::read(&file)).await;
                let content = content.map_err(|error| odd(Box::new(error)))?.map_err(|error| odd(Box::new(error)))?;
                if sha256(&content) != digest {
                    return Ok(());
                }
                let folder = format!("_rillgate/@plugins/{pipeline}");
                let path = this.path(&format!("{folder}/{digest}.wasm"))?;
                match this.store.control.store.put_opts(&path, content.into(), PutMode::Create.into()).await {
                    Ok(_) | Err(StoreError::AlreadyExists { .. } | StoreError::Precondition { .. }) => {}
                    Err(error) => return Err(error),
                }
                let live: Vec<String> = this.read(&pipeline).await?.pop().map(|event| event.live).unwrap_or_default();
                let mut all = this.list(&folder).await?;
                all.retain(|file| {
                    let name = file.location.filename().unwrap_or_default();
                    name.strip_suffix(".wasm")
                        .is_some_and(|name| name != digest && live.iter().all(|live| live != name))
                });
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
pub fn is_out(events: &[Event], plugins: &[String], config: &str) -> bool {
    let about = |event: &&Event| event.plugins == plugins && event.config == config;
    let last = events.iter().rfind(about).map(|event| event.outcome);
    matches!(last, Some(Outcome::Refused | Outcome::WentBack | Outcome::RolledBack))
}

fn odd(source: Box<dyn std::error::Error + Send + Sync>) -> StoreError {
    StoreError::Generic { store: "history", source }
}
