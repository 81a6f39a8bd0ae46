//! Records for topics, as the protocol sees them: sent in one transaction with a mark, which tells whoever comes next that
//! they were.
//!
//! What never happens: records are sent whose COMMIT's mark is there already; a mark is written over that was not read
//! after everyone else had been fenced; records are taken for sent, or for not sent, on a guess.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use object_store::{Error as StoreError, ObjectStoreExt};
use tokio::time::Instant;

use super::entry::CommittedRecords;
use super::error::LogError;
use super::retry::retried;
use super::stage::checksum;
use super::store::Store;

/// How old a mark may be when an epoch with records is decided. Kafka forgets offsets that nobody has committed for
/// `offsets.retention.minutes` (a week by default).
const FRESH: Duration = Duration::from_secs(60 * 60);

/// Kafka, as one attempt at one task sends to it. Two things implement it: the Kafka sink, and the simulation.
pub trait Topics: Send + Sync + std::fmt::Debug {
    /// Fences whoever sent for the task before: what they have not sent whole is never seen. Then says which mark the
    /// task's last transaction has left.
    fn take_over(&self) -> BoxFuture<'_, Result<Option<String>, TopicsError>>;

    /// Sends all of it in one transaction, or nothing. Only after [`Topics::take_over`].
    fn send(&self, outgoing: Outgoing) -> BoxFuture<'_, Result<(), TopicsError>>;
}

/// What goes in one transaction.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// Topics, and the staged file of what goes there.
    pub records: Vec<(String, Bytes)>,
    /// What tells this epoch from all others.
    pub mark: String,
    /// The offset of the source that goes with the mark.
    pub offset: i64,
}

/// Why records were not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TopicsError {
    /// Whether they were is to be found out by the next claim: fenced by another attempt, or Kafka was away for too long.
    #[error("{0}")]
    Again(String),
    /// Kafka refuses them for good.
    #[error("{0}")]
    Fatal(String),
}

impl From<TopicsError> for LogError {
    fn from(error: TopicsError) -> Self {
        let may_pass = matches!(error, TopicsError::Again(_));
        Self::Topics { reason: error.to_string(), may_pass }
    }
}

/// The records of one attempt, on their way.
#[derive(Debug)]
pub(super) struct Sender {
    topics: Option<Arc<dyn Topics>>,
    /// What is known once the attempt has taken over.
    held: Option<Held>,
}

#[derive(Debug, Clone)]
struct Held {
    /// What Kafka has.
    mark: Option<String>,
    /// When this attempt has written it.
    written: Option<Instant>,
}

impl Sender {
    pub(super) fn new(topics: Option<Arc<dyn Topics>>) -> Self {
        Self { topics, held: None }
    }

    /// Takes over, if this attempt hasn't yet. Whether it has done so now: then it may have slept since it claimed, and must
    /// look into the log before it sends, since Kafka has let it in again.
    pub(super) async fn take_over(&mut self) -> Result<bool, LogError> {
        let now = self.held.is_none();
        self.hold().await?;
        Ok(now)
    }

    /// Sees to it that there is a mark, and that it won't be forgotten soon.
    pub(super) async fn mark(&mut self, offset: i64, mark: String) -> Result<(), LogError> {
        let held = self.hold().await?;
        if held.written.is_some_and(|written| written.elapsed() < FRESH) {
            return Ok(());
        }
        let mark = held.mark.unwrap_or(mark);
        self.transact(Outgoing { records: Vec::new(), mark, offset }).await
    }

    /// Sends the staged records of a COMMIT, if they aren't sent yet. Only after [`Sender::take_over`].
    pub(super) async fn send(
        &mut self,
        store: &Store,
        folder: &str,
        exactly_once: bool,
        records: Vec<CommittedRecords>,
        offset: i64,
        mark: String,
    ) -> Result<(), LogError> {
        let held = self.hold().await?;
        if held.mark.as_ref() == Some(&mark) {
            return Ok(());
        }
        let mut outgoing = Vec::with_capacity(records.len());
        for file in &records {
            match read(store, folder, file).await? {
                Some(bytes) => outgoing.push((file.topic.clone(), bytes)),
                None => return self.missing(file, &mark).await,
            }
        }
        if held.mark.is_none() && exactly_once {
            let list = |of: fn(&CommittedRecords) -> &str| records.iter().map(of).collect::<Vec<_>>().join(", ");
            let (topics, staged) = (list(|file| &file.topic), list(|file| &file.staged));
            return Err(LogError::Forgotten { mark, topics, staged });
        }
        self.transact(Outgoing { records: outgoing, mark, offset }).await
    }

    /// A staged file isn't there. It goes only after its records were sent: by someone else meanwhile, or so long ago that
    /// Kafka has forgotten it.
    async fn missing(&mut self, file: &CommittedRecords, mark: &str) -> Result<(), LogError> {
        self.held = None;
        match self.hold().await?.mark {
            Some(found) if found == mark => Ok(()),
            Some(_) => Err(LogError::Unsent { topic: file.topic.clone(), staged: file.staged.clone() }),
            None => {
                tracing::info!(mark, topic = file.topic, "taken for sent: Kafka has forgotten, and nothing is staged");
                Ok(())
            }
        }
    }

    /// Takes over, if that hasn't been done.
    async fn hold(&mut self) -> Result<Held, LogError> {
        if let Some(held) = &self.held {
            return Ok(held.clone());
        }
        let mark = self.topics()?.take_over().await?;
        Ok(self.held.insert(Held { mark, written: None }).clone())
    }

    async fn transact(&mut self, outgoing: Outgoing) -> Result<(), LogError> {
        let mark = outgoing.mark.clone();
        // What an error leaves behind is unknown until the next one takes over.
        self.held = None;
        self.topics()?.send(outgoing).await?;
        self.held = Some(Held { mark: Some(mark), written: Some(Instant::now()) });
        Ok(())
    }

    fn topics(&self) -> Result<&Arc<dyn Topics>, LogError> {
        let none = || LogError::Topics { reason: "there is no Kafka to send records to".to_owned(), may_pass: false };
        self.topics.as_ref().ok_or_else(none)
    }
}

/// A staged file; `None` if it isn't there.
async fn read(store: &Store, folder: &str, file: &CommittedRecords) -> Result<Option<Bytes>, LogError> {
    let path = store.control.path(&format!("{folder}/{}", file.staged)).map_err(LogError::Store)?;
    let read = || async { store.control.store.get(&path).await?.bytes().await };
    let bytes = match retried("read staged records", read).await {
        Err(LogError::Store(StoreError::NotFound { .. })) => return Ok(None),
        other => other?,
    };
    let mut hash = checksum::Hasher::default();
    hash.update(&bytes);
    let (length, xxh3) = (bytes.len() as u64, hash.finish());
    if (length, &xxh3) == (file.bytes, &file.xxh3) {
        return Ok(Some(bytes));
    }
    Err(LogError::Damaged {
        topic: file.topic.clone(),
        staged: path.to_string(),
        found: format!("{length} bytes, xxh3 {xxh3}"),
        decided: format!("{} bytes, xxh3 {}", file.bytes, file.xxh3),
    })
}
