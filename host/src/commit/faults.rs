//! An object store that fails when it is told to: before an operation takes effect, after it (the answer is lost), while
//! it is held at a gate, or for good, as for a process that was killed.
//!
//! Every attempt of a test gets a [`Faults`] of its own over the same stores, so that one of them can die alone.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};
use tokio::sync::{Notify, RwLock, Semaphore};

/// The operations of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    Put,
    BeginParts,
    Part,
    Complete,
    Get,
    List,
    Delete,
    Copy,
}

/// What befalls an operation.
#[derive(Debug, Clone)]
pub enum Fault {
    /// It fails and has done nothing.
    Refuse(Answer),
    /// It is done, and fails all the same: its answer got lost.
    Forget(Answer),
    /// It waits at the gate until that is opened, and is done then.
    Hold(Arc<Gate>),
    /// It is done, and its answer waits at the gate.
    HoldAnswer(Arc<Gate>),
    /// The process dies before it is done; nothing this attempt does afterwards has any effect, or an answer.
    KillBefore,
    /// The process dies after it was done.
    KillAfter,
}

/// How a failing store answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// What clients make of 5xx, time-outs and cut connections.
    Unavailable,
    /// What clients make of a 409: another writer is at the same object.
    Conflict,
    /// A 412, as when a client retried by itself what had been done.
    Taken,
    /// A full disk.
    DiskFull,
    /// The store can't do this.
    NotSupported,
    /// The store doesn't let us.
    Denied,
}

impl Answer {
    pub fn error(self, path: &Path) -> Error {
        let generic = |text: &str| Error::Generic { store: "test", source: text.into() };
        match self {
            Self::Unavailable => generic("503 Service Unavailable"),
            Self::Conflict => generic("409 ConditionalRequestConflict"),
            Self::DiskFull => {
                let source = Box::new(std::io::Error::from(std::io::ErrorKind::StorageFull));
                Error::Generic { store: "test", source }
            }
            Self::Taken => Error::Precondition { path: path.to_string(), source: "412".into() },
            Self::NotSupported => Error::NotSupported { source: "no such operation".into() },
            Self::Denied => Error::PermissionDenied { path: path.to_string(), source: "403".into() },
        }
    }
}

/// Holds operations back until it is opened.
#[derive(Debug)]
pub struct Gate {
    arrived: Semaphore,
    open: Semaphore,
}

impl Gate {
    pub fn new() -> Arc<Self> {
        Arc::new(Self { arrived: Semaphore::new(0), open: Semaphore::new(0) })
    }

    async fn pass(&self) {
        self.arrived.add_permits(1);
        let _ = self.open.acquire().await.unwrap();
    }

    /// Returns once an operation waits at the gate.
    pub async fn arrival(&self) {
        self.arrived.acquire().await.unwrap().forget();
    }

    /// Lets through what waits, and whatever comes.
    pub fn open(&self) {
        self.open.add_permits(1);
    }
}

#[derive(Debug)]
enum When {
    /// The operation of this number, counted from 0 over all of them.
    Number(usize),
    /// So many operations of a kind on paths that contain a text.
    Matching { operation: Operation, path: String, times: usize },
}

/// When an object was written, by the store's clock.
type Modified = fn(&Path) -> DateTime<Utc>;

/// What is to go wrong for one attempt, and what it has done so far.
#[derive(Debug, Default)]
pub struct Faults {
    plan: Mutex<Vec<(When, Fault)>>,
    count: AtomicUsize,
    dead: AtomicBool,
    died: Notify,
    /// Held by operations that have begun: a process is dead only when what it had sent is done or not.
    under_way: RwLock<()>,
    history: Mutex<Vec<(Operation, String)>>,
    /// Tells `last_modified` of what is listed, where the test chooses it.
    modified: Mutex<Option<Modified>>,
}

impl Faults {
    /// The operation of this number meets `fault`.
    pub fn at(&self, number: usize, fault: Fault) {
        self.plan.lock().unwrap().push((When::Number(number), fault));
    }

    /// The next so many operations of a kind on paths containing `path` meet `fault`.
    pub fn on(&self, operation: Operation, path: &str, times: usize, fault: Fault) {
        let when = When::Matching { operation, path: path.to_owned(), times };
        self.plan.lock().unwrap().push((when, fault));
    }

    /// Chooses what listings say of when an object was written.
    pub fn modified(&self, by: Modified) {
        *self.modified.lock().unwrap() = Some(by);
    }

    /// Operations of a kind on paths that contain a text, in the order they began.
    pub fn seen(&self, operation: Operation, path: &str) -> Vec<String> {
        let history = self.history.lock().unwrap();
        let found = history.iter().filter(|(kind, at)| *kind == operation && at.contains(path));
        found.map(|(_, at)| at.clone()).collect()
    }

    /// Returns once the process was killed and has nothing under way any more.
    pub async fn death(&self) {
        self.died.notified().await;
        let _ = self.under_way.write().await;
    }

    fn next(&self, operation: Operation, path: &Path) -> Option<Fault> {
        let number = self.count.fetch_add(1, Ordering::SeqCst);
        self.history.lock().unwrap().push((operation, path.to_string()));
        let mut plan = self.plan.lock().unwrap();
        plan.iter_mut().find_map(|(when, fault)| match when {
            When::Number(at) => (*at == number).then(|| fault.clone()),
            When::Matching { operation: kind, path: text, times } => {
                let hit = *times > 0 && *kind == operation && path.as_ref().contains(text.as_str());
                *times -= usize::from(hit);
                hit.then(|| fault.clone())
            }
        })
    }

    async fn die<T>(&self) -> T {
        self.dead.store(true, Ordering::SeqCst);
        self.died.notify_one();
        std::future::pending().await
    }

    async fn through<T>(
        &self,
        operation: Operation,
        path: &Path,
        effect: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let under_way = self.under_way.read().await;
        if self.dead.load(Ordering::SeqCst) {
            drop(under_way);
            return std::future::pending().await;
        }
        match self.next(operation, path) {
            None => effect.await,
            Some(Fault::Refuse(answer)) => Err(answer.error(path)),
            Some(Fault::Forget(answer)) => {
                effect.await?;
                Err(answer.error(path))
            }
            Some(Fault::Hold(gate)) => {
                gate.pass().await;
                effect.await
            }
            Some(Fault::HoldAnswer(gate)) => {
                let done = effect.await;
                gate.pass().await;
                done
            }
            Some(Fault::KillBefore) => {
                drop(under_way);
                self.die().await
            }
            Some(Fault::KillAfter) => {
                let _ = effect.await;
                drop(under_way);
                self.die().await
            }
        }
    }
}

/// A store seen through [`Faults`].
#[derive(Debug, Clone)]
pub struct Faulty {
    pub inner: Arc<dyn ObjectStore>,
    pub faults: Arc<Faults>,
}

impl std::fmt::Display for Faulty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "faulty {}", self.inner)
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.faults.through(Operation::Put, path, self.inner.put_opts(path, payload, options)).await
    }

    async fn put_multipart_opts(&self, path: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let begin = self.inner.put_multipart_opts(path, options);
        let inner = self.faults.through(Operation::BeginParts, path, begin).await?;
        Ok(Box::new(FaultyUpload { inner, path: path.clone(), faults: Arc::clone(&self.faults) }))
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.faults.through(Operation::Get, path, self.inner.get_opts(path, options)).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        let delete = move |path: Result<Path>| {
            let store = store.clone();
            async move {
                let path = path?;
                let one = futures::stream::iter([Ok(path.clone())]).boxed();
                let delete = store.inner.delete_stream(one).try_collect::<Vec<_>>();
                store.faults.through(Operation::Delete, &path, delete).await?;
                Ok(path)
            }
        };
        paths.then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (store, prefix) = (self.clone(), prefix.cloned().unwrap_or_default());
        let list = async move {
            let modified = *store.faults.modified.lock().unwrap();
            // Listed when it is let through, not when it was asked for.
            let list = async { store.inner.list(Some(&prefix)).try_collect::<Vec<_>>().await };
            let mut found = store.faults.through(Operation::List, &prefix, list).await?;
            for meta in &mut found {
                meta.last_modified = modified.map_or(meta.last_modified, |modified| modified(&meta.location));
            }
            Ok::<_, Error>(futures::stream::iter(found.into_iter().map(Ok)))
        };
        futures::stream::once(list).try_flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let path = prefix.cloned().unwrap_or_default();
        self.faults.through(Operation::List, &path, self.inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.faults.through(Operation::Copy, to, self.inner.copy_opts(from, to, options)).await
    }
}

#[derive(Debug)]
struct FaultyUpload {
    inner: Box<dyn MultipartUpload>,
    path: Path,
    faults: Arc<Faults>,
}

#[async_trait]
impl MultipartUpload for FaultyUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (faults, path, part) = (Arc::clone(&self.faults), self.path.clone(), self.inner.put_part(data));
        Box::pin(async move { faults.through(Operation::Part, &path, part).await })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.faults.through(Operation::Complete, &self.path, self.inner.complete()).await
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}
