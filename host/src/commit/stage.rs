//! Uploads the files of an epoch under the attempt's own names, while they are still being written.
//!
//! Nothing here is seen by a reader: a staged file becomes a table's file only by being decided and published.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use object_store::{ObjectStoreExt, PutPayload, WriteMultipart};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::entry::{CommittedFile, CommittedRecords};
use super::retry::retried;
use super::store::Store;
use super::task_log::LogError;

/// Files smaller than this go up in one request when they are closed; larger ones in parts of this size.
const PART_BYTES: usize = 8 << 20;
/// Parts of one file under way at once.
const PARTS_UNDER_WAY: usize = 4;
/// Bytes handed over but not yet taken by the store, from which on a task should take no more messages.
const FULL_BYTES: usize = 32 << 20;

/// Checksums of files: XXH3 with 128 bits, as 32 hex digits.
pub mod checksum {
    /// Takes bytes as they come.
    #[derive(Default)]
    pub struct Hasher(Box<xxhash_rust::xxh3::Xxh3>);

    impl Hasher {
        /// Adds bytes.
        pub fn update(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }

        /// The checksum of all bytes so far.
        pub fn finish(&self) -> String {
            format!("{:032x}", self.0.digest128())
        }
    }

    impl std::fmt::Debug for Hasher {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("Hasher")
        }
    }
}

/// An upload under way.
type Sending = JoinHandle<Result<(), LogError>>;

/// The files that one epoch of a task writes.
#[derive(Debug)]
pub struct Stage {
    store: Store,
    folder: String,
    attempt: String,
    runtime: Handle,
    /// Files of this size go up in parts.
    part_bytes: usize,
    open: BTreeMap<(usize, u32), Upload>,
    closed: Vec<Closed>,
    /// Bytes that are here and not yet in the store.
    waiting: Arc<AtomicUsize>,
    /// Staged files so far in this attempt: names are never used twice.
    files: u64,
}

#[derive(Debug)]
struct Upload {
    staged: String,
    parts: Vec<Bytes>,
    part_bytes: usize,
    bytes: u64,
    hash: checksum::Hasher,
    multipart: Option<(mpsc::UnboundedSender<Vec<Bytes>>, Sending)>,
}

#[derive(Debug)]
struct Closed {
    file: Decided,
    done: Sending,
}

/// What the COMMIT says of a staged file.
#[derive(Debug)]
enum Decided {
    File(CommittedFile),
    Records(CommittedRecords),
}

/// The closed files of an epoch, on their way into the store.
#[derive(Debug)]
pub struct Staged(Vec<Closed>);

impl Staged {
    /// Waits until all of them are there, and says what the COMMIT has to say of them: files of tables, and records for
    /// topics.
    pub async fn finish(self) -> Result<(Vec<CommittedFile>, Vec<CommittedRecords>), LogError> {
        let (mut files, mut records) = (Vec::with_capacity(self.0.len()), Vec::new());
        for closed in self.0 {
            match closed.done.await {
                Ok(result) => result?,
                Err(error) => {
                    let source = Box::new(error);
                    return Err(LogError::Store(object_store::Error::Generic { store: "upload", source }));
                }
            }
            match closed.file {
                Decided::File(file) => files.push(file),
                Decided::Records(file) => records.push(file),
            }
        }
        Ok((files, records))
    }
}

impl Stage {
    /// A stage for the attempt that holds the log of the task at `folder`. Uploads run on `runtime`.
    pub fn new(store: Store, folder: String, attempt: String, runtime: Handle) -> Self {
        let waiting = Arc::new(AtomicUsize::new(0));
        let (open, closed) = (BTreeMap::new(), Vec::new());
        Self { store, folder, attempt, runtime, part_bytes: PART_BYTES, open, closed, waiting, files: 0 }
    }

    /// The same with parts of another size.
    #[cfg(test)]
    pub(super) fn with_parts_of(mut self, part_bytes: usize) -> Self {
        self.part_bytes = part_bytes;
        self
    }

    /// Adds bytes to file `file` of writer `writer`, which begins with its first bytes.
    pub fn write(&mut self, writer: usize, file: u32, bytes: Bytes) {
        let upload = self.open.entry((writer, file)).or_insert_with(|| {
            self.files += 1;
            Upload {
                staged: format!("stage/{}/{}", self.attempt, self.files),
                parts: Vec::new(),
                part_bytes: 0,
                bytes: 0,
                hash: checksum::Hasher::default(),
                multipart: None,
            }
        });
        upload.hash.update(&bytes);
        upload.bytes += bytes.len() as u64;
        upload.part_bytes += bytes.len();
        self.waiting.fetch_add(bytes.len(), Ordering::Relaxed);
        upload.parts.push(bytes);
        if upload.part_bytes >= self.part_bytes {
            let (sender, _) = upload.multipart.get_or_insert_with(|| {
                let path = format!("{}/{}", self.folder, upload.staged);
                let (sender, parts) = mpsc::unbounded_channel();
                let task = upload_parts(self.store.clone(), path, self.part_bytes, parts, Arc::clone(&self.waiting));
                (sender, self.runtime.spawn(task))
            });
            upload.part_bytes = 0;
            // An upload that failed has closed its channel; its error comes out of `finish`.
            let _ = sender.send(std::mem::take(&mut upload.parts));
        }
    }

    /// Closes a file: `path` is its final name below the store's root.
    pub fn close(&mut self, writer: usize, file: u32, path: String, rows: u64) {
        self.end(writer, file, |staged, bytes, xxh3| Decided::File(CommittedFile { staged, path, bytes, xxh3, rows }));
    }

    /// Closes a file of records for a topic: it has no final name.
    pub fn close_records(&mut self, writer: usize, file: u32, topic: String, rows: u64) {
        self.end(writer, file, |staged, bytes, xxh3| {
            Decided::Records(CommittedRecords { staged, topic, bytes, xxh3, rows })
        });
    }

    fn end(&mut self, writer: usize, file: u32, decide: impl FnOnce(String, u64, String) -> Decided) {
        let Some(upload) = self.open.remove(&(writer, file)) else { return };
        let file = decide(upload.staged.clone(), upload.bytes, upload.hash.finish());
        let done = match upload.multipart {
            Some((sender, task)) => {
                let _ = sender.send(upload.parts);
                task
            }
            None => {
                let path = format!("{}/{}", self.folder, upload.staged);
                self.runtime.spawn(upload_whole(self.store.clone(), path, upload.parts, Arc::clone(&self.waiting)))
            }
        };
        self.closed.push(Closed { file, done });
    }

    /// Whether more waits for the store than should.
    pub fn is_full(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > FULL_BYTES
    }

    /// Takes the closed files, as the epoch ends. Every file must have been closed.
    pub fn take(&mut self) -> Staged {
        debug_assert!(self.open.is_empty(), "an epoch ends with all its files closed");
        Staged(std::mem::take(&mut self.closed))
    }
}

impl Drop for Stage {
    /// What isn't decided is dropped: the next claim removes what reached the store.
    fn drop(&mut self) {
        for upload in self.open.values().filter_map(|upload| upload.multipart.as_ref()) {
            upload.1.abort();
        }
        self.closed.iter().for_each(|closed| closed.done.abort());
    }
}

async fn upload_whole(
    store: Store,
    path: String,
    parts: Vec<Bytes>,
    waiting: Arc<AtomicUsize>,
) -> Result<(), LogError> {
    let path = store.control.path(&path).map_err(LogError::Store)?;
    let payload = PutPayload::from_iter(parts);
    let put = || async { store.control.store.put(&path, payload.clone()).await };
    retried("stage a file", put).await?;
    waiting.fetch_sub(payload.content_length(), Ordering::Relaxed);
    Ok(())
}

async fn upload_parts(
    store: Store,
    path: String,
    part_bytes: usize,
    mut parts: mpsc::UnboundedReceiver<Vec<Bytes>>,
    waiting: Arc<AtomicUsize>,
) -> Result<(), LogError> {
    let path = store.control.path(&path).map_err(LogError::Store)?;
    let begin = || async { store.control.store.put_multipart(&path).await };
    let upload = retried("begin to stage a file", begin).await?;
    let mut upload = WriteMultipart::new_with_chunk_size(upload, part_bytes);
    while let Some(part) = parts.recv().await {
        let bytes: usize = part.iter().map(Bytes::len).sum();
        upload.wait_for_capacity(PARTS_UNDER_WAY).await.map_err(LogError::Store)?;
        part.into_iter().for_each(|bytes| upload.put(bytes));
        waiting.fetch_sub(bytes, Ordering::Relaxed);
    }
    upload.finish().await.map_err(LogError::Store)?;
    Ok(())
}
