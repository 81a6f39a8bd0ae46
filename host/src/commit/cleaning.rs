//! What a task's log removes: what was staged, what was remembered, and entries that nobody needs.
//!
//! What never happens: a file of an attempt that may still decide is removed, or one that the last COMMIT needs. Whatever can't be
//! removed stays until another claim.

use std::path::PathBuf;

use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectMeta, ObjectStoreExt};

use super::state;
use super::task_log::{TaskLog, sequence_of};

/// What attempts before this one have left.
#[derive(Debug, Default)]
pub(super) struct Strays {
    files: Vec<Path>,
    folders: Vec<PathBuf>,
}

impl TaskLog {
    /// Removes what earlier attempts have left, but for the state that the last COMMIT names.
    pub(super) async fn remove_strays(&self, strays: Strays) {
        let needed = state::paths(&self.store, &self.folder, self.last_state());
        self.remove(strays.files.into_iter().filter(|path| !needed.contains(path)).collect()).await;
        for folder in strays.folders {
            if let Err(error) = std::fs::remove_dir_all(&folder) {
                tracing::debug!(folder = %folder.display(), %error, "folder stays until the next claim");
            }
        }
    }

    /// Removes the files of a state that the last COMMIT doesn't need any more.
    pub(super) async fn remove_state(&self, before: Vec<Path>) {
        let needed = state::paths(&self.store, &self.folder, self.last_state());
        self.remove(before.into_iter().filter(|path| !needed.contains(path)).collect()).await;
    }

    /// Removes what the published epoch had staged. Whatever stays is removed by the next claim.
    pub(super) async fn remove_staged(&self) {
        let Some((_, commit)) = self.machine.last_commit() else { return };
        let staged = commit.files.iter().map(|file| &file.staged);
        let paths = staged.chain(commit.records.iter().map(|file| &file.staged)).filter_map(|staged| {
            let path = self.control(&format!("{}/{staged}", self.folder));
            path.map_err(|error| tracing::debug!(%error, "staged file stays")).ok()
        });
        self.remove(paths.collect()).await;
    }

    /// What attempts before this one have staged, and kept of their state. Asked before the CLAIM is created: whose files are there then is fenced by
    /// it, and what they had decided is published before the files go. Asked later, a successor's could be among them.
    pub(super) async fn strays(&self) -> Strays {
        let mut strays = Strays { files: Vec::new(), folders: self.local_folders() };
        for kind in ["stage", "state"] {
            let Ok(prefix) = self.control(&format!("{}/{kind}", self.folder)) else { continue };
            let listed = self.store.control.store.list(Some(&prefix)).map_ok(|meta| meta.location);
            match listed.try_collect::<Vec<_>>().await {
                Ok(files) => strays.files.extend(files),
                Err(error) => tracing::debug!(%error, "files of earlier attempts stay until the next claim"),
            }
        }
        strays
    }

    /// On local disk, the folders of attempts before this one, for the same reason and at the same time as [`Self::strays`]:
    /// what an upload had written when its process was killed lies there, and object_store neither lists nor deletes it.
    fn local_folders(&self) -> Vec<PathBuf> {
        let stage = self.store.control.local_path(&format!("{}/stage", self.folder));
        let entries = stage.and_then(|stage| std::fs::read_dir(stage).ok());
        entries.into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).collect()
    }

    /// Removes log entries past their retention, by the store's own clock, but never the newest two.
    pub(super) async fn clean(&self) {
        let Ok(prefix) = self.control(&format!("{}/log", self.folder)) else { return };
        let listed: Result<Vec<_>, _> = self.store.control.store.list(Some(&prefix)).try_collect().await;
        let Ok(mut entries) = listed else { return };
        entries.retain(|meta| sequence_of(&meta.location).is_some());
        entries.sort_by(|a, b| a.location.cmp(&b.location));
        let Some(newest) = entries.last().map(|meta| meta.last_modified) else { return };
        let needed = self.machine.last_commit().map(|(sequence, _)| *sequence).unwrap_or_default();
        entries.truncate(entries.len().saturating_sub(2));
        let is_old = |meta: &ObjectMeta| {
            let age = (newest - meta.last_modified).to_std().unwrap_or_default();
            age > self.options.retention && sequence_of(&meta.location).is_some_and(|sequence| sequence < needed)
        };
        // Oldest first, and none after one that stays, so that there is never a hole.
        for meta in entries.iter().take_while(|meta| is_old(meta)) {
            match self.store.control.store.delete(&meta.location).await {
                Ok(()) | Err(StoreError::NotFound { .. }) => {}
                Err(error) => {
                    tracing::debug!(%error, "the commit log keeps old entries until it is cleaned again");
                    return;
                }
            }
        }
    }

    async fn remove(&self, paths: Vec<Path>) {
        for path in paths {
            match self.store.control.store.delete(&path).await {
                Ok(()) | Err(StoreError::NotFound { .. }) => {}
                Err(error) => tracing::debug!(%path, %error, "control file stays"),
            }
        }
    }
}
