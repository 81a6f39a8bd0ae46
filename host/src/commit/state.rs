//! The files of a task's state: uploaded before the COMMIT that names them, read by the claim that finds it.
//!
//! What never happens: a file goes that the last COMMIT names; a task goes on from a part of its state.

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStoreExt};

use super::entry::{self, Claim, CommittedState, Entry, StateFile};
use super::retry::retried;
use super::stage::checksum;
use super::store::Store;
use super::task_log::LogError;
use super::verify::{list, numbers};

/// Files read or written at once.
const AT_ONCE: usize = 8;

/// A state as it was read.
#[derive(Debug, Default)]
pub struct StoredState {
    /// What the COMMIT says of it.
    pub committed: CommittedState,
    /// Each file, in the order of the COMMIT.
    pub files: Vec<Bytes>,
}

/// What an epoch changes in the files of one of a task's tables.
#[derive(Debug)]
pub struct StateChange {
    /// Which table.
    pub table: &'static str,
    /// How many of the table's files stay, from the oldest on.
    pub kept: usize,
    /// The content of the file after them, and the rows in it.
    pub file: Option<(Bytes, u64)>,
}

/// Uploads what has changed since `before`; returns what the COMMIT has to say. `name` makes names that were never used.
pub(super) async fn keep(
    store: &Store,
    folder: &str,
    before: Option<&CommittedState>,
    watermark_us: Option<i64>,
    changes: Vec<StateChange>,
    mut name: impl FnMut() -> String,
) -> Result<CommittedState, LogError> {
    let mut files: Vec<StateFile> = before.map(|before| before.files.clone()).unwrap_or_default();
    for StateChange { table, kept, file } in changes {
        let mut of_table = 0;
        files.retain(|file| {
            of_table += usize::from(file.table == table);
            file.table != table || of_table <= kept
        });
        let Some((content, rows)) = file else { continue };
        let mut hash = checksum::Hasher::default();
        hash.update(&content);
        let (bytes, path) = (content.len() as u64, name());
        let to = store.control.path(&format!("{folder}/{path}")).map_err(LogError::Store)?;
        retried("write state", || async { store.control.store.put(&to, content.clone().into()).await }).await?;
        files.push(StateFile { table: table.to_owned(), path, bytes, xxh3: hash.finish(), rows });
    }
    Ok(CommittedState { watermark_us, files, ..CommittedState::default() })
}

/// Reads all files of a state.
pub(super) async fn load(store: &Store, folder: &str, committed: &CommittedState) -> Result<StoredState, LogError> {
    let read = |file: StateFile| async move {
        let path = store.control.path(&format!("{folder}/{}", file.path)).map_err(LogError::Store)?;
        let wrong = |wrong: String| LogError::BadState { path: path.to_string(), folder: folder.to_owned(), wrong };
        let get = || async { store.control.store.get(&path).await?.bytes().await };
        let content = match retried("read state", get).await {
            Err(LogError::Store(StoreError::NotFound { .. })) => return Err(wrong("is not there".to_owned())),
            other => other?,
        };
        let mut hash = checksum::Hasher::default();
        hash.update(&content);
        let (bytes, xxh3) = (content.len() as u64, hash.finish());
        if (bytes, &xxh3) != (file.bytes, &file.xxh3) {
            let decided = format!("{} bytes, xxh3 {}", file.bytes, file.xxh3);
            return Err(wrong(format!("has {bytes} bytes, xxh3 {xxh3}; decided were {decided}")));
        }
        Ok(content)
    };
    let files = futures::stream::iter(committed.files.clone()).map(read).buffered(AT_ONCE).try_collect().await?;
    Ok(StoredState { committed: committed.clone(), files })
}

/// The paths of the files of a state.
pub(super) fn paths(store: &Store, folder: &str, state: Option<&CommittedState>) -> Vec<Path> {
    let files = state.into_iter().flat_map(|state| &state.files);
    files.filter_map(|file| store.control.path(&format!("{folder}/{}", file.path)).ok()).collect()
}

/// What each task of a pipeline remembers by its last COMMIT, by the task's control folder. Beside a running host a file may go
/// while it is read: ask again.
pub async fn last_states(store: &Store, pipeline: &str) -> Result<Vec<(String, StoredState)>, LogError> {
    let mut states = Vec::new();
    for (folder, entries) in numbers(&list(&store.control, &format!("_rillgate/{pipeline}")).await?) {
        let Some((&newest, _)) = entries.last_key_value() else { continue };
        let commit = match read_entry(store, &folder, newest).await? {
            Entry::Commit(commit) => Some(commit),
            Entry::Claim(Claim { last_commit: Some(sequence), .. }) => {
                match read_entry(store, &folder, sequence).await? {
                    Entry::Commit(commit) => Some(commit),
                    Entry::Claim(_) => None,
                }
            }
            Entry::Claim(_) => None,
        };
        if let Some(committed) = commit.and_then(|commit| commit.state) {
            let stored = load(store, &folder, &committed).await?;
            states.push((folder, stored));
        }
    }
    Ok(states)
}

async fn read_entry(store: &Store, folder: &str, sequence: u64) -> Result<Entry, LogError> {
    let path = store.control.path(&format!("{folder}/log/{}", entry::file_name(sequence))).map_err(LogError::Store)?;
    let bytes =
        retried("read the commit log", || async { store.control.store.get(&path).await?.bytes().await }).await?;
    serde_json::from_slice(&bytes).map_err(|error| LogError::BadEntry {
        path: path.to_string(),
        folder: folder.to_owned(),
        reason: error.to_string(),
    })
}
