//! The store as one attempt of one process sees it: each operation is a request or more, and listings come page by page.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    Attributes, CopyMode, CopyOptions, Error, GetOptions, GetRange, GetResult, GetResultPayload, ListResult,
    MultipartUpload, ObjectMeta, ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
    UploadPart,
};

use super::objects::{Kind, Object};
use super::points::Doing;
use super::process::Process;
use super::request::{Done, Effect, Request};
use super::world::{State, World};
use super::{Entry, Location, Store};

/// How often a client asks for a page of a listing again before the listing fails as a whole.
const PAGE_TRIES: usize = 3;

/// The store as an attempt of a process sees it.
#[derive(Debug, Clone)]
pub struct View {
    pub world: Arc<World>,
    pub process: Arc<Process>,
    pub attempt: String,
}

impl View {
    /// Both places, as this attempt sees them.
    pub fn store(self, is_apart: bool) -> Store {
        let client: Arc<dyn ObjectStore> = Arc::new(self);
        let tables = Location::of(Arc::clone(&client), "lake", "tables:");
        let control = match is_apart {
            true => Location::of(client, "elsewhere", "control:"),
            false => tables.clone(),
        };
        Store { tables, control }
    }

    fn doing(&self, path: &str, is_listing: bool, is_delete: bool) -> Doing {
        let claimed = self.world.with(|state| {
            let attempt = state.attempts.get(&self.attempt);
            attempt.is_some_and(|attempt| attempt.claimed.is_some())
        });
        State::doing(&Kind::of(path), is_listing, is_delete, claimed)
    }
}

fn meta(path: &str, object: &Object) -> ObjectMeta {
    ObjectMeta {
        location: Path::from(path),
        last_modified: object.modified,
        size: object.bytes.len() as u64,
        e_tag: None,
        version: None,
    }
}

fn put_result() -> PutResult {
    PutResult { e_tag: None, version: None, extensions: Default::default() }
}

impl std::fmt::Display for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the store as {} sees it", self.attempt)
    }
}

#[async_trait]
impl ObjectStore for View {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let (text, bytes) = (path.to_string(), Bytes::from(payload));
        let doing = match Kind::of(&text) {
            Kind::Entry(..) => match serde_json::from_slice(&bytes) {
                Ok(Entry::Commit(_)) => Doing::Deciding,
                _ => Doing::Claiming,
            },
            _ => self.doing(&text, false, false),
        };
        let is_conditional = options.mode == PutMode::Create;
        let at = text.clone();
        let effect: Effect<PutResult> = Arc::new(move |state| {
            state.put(&at, bytes.clone(), is_conditional)?;
            Ok(Done::Now(put_result()))
        });
        self.ask(Request { path: text, doing, writes: true, is_conditional, effect }).await
    }

    async fn put_multipart_opts(&self, path: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let text = path.to_string();
        let effect: Effect<u64> = Arc::new(|state| {
            state.objects.uploads_begun += 1;
            let id = state.objects.uploads_begun;
            state.objects.uploads.insert(id, Default::default());
            Ok(Done::Now(id))
        });
        let doing = self.doing(&text, false, false);
        let id = self.ask(Request { path: text.clone(), doing, writes: true, is_conditional: false, effect }).await?;
        Ok(Box::new(Upload { view: self.clone(), path: text, id, parts: 0 }))
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        let text = path.to_string();
        let doing = match Kind::of(&text) {
            // Where it can't be copied inside the store it is read to be published.
            Kind::Staged(_) => Doing::Publishing,
            Kind::State => Doing::Reading,
            _ => self.doing(&text, false, false),
        };
        let at = text.clone();
        let effect: Effect<Object> = Arc::new(move |state| state.objects.get(&at).map(Done::Now));
        let object = self.ask(Request { path: text, doing, writes: false, is_conditional: false, effect }).await?;
        let all = 0..object.bytes.len() as u64;
        let range: Range<u64> = match options.range {
            Some(GetRange::Bounded(range)) => range.start..range.end.min(all.end),
            _ => all,
        };
        let bytes = object.bytes.slice(range.start as usize..range.end as usize);
        Ok(GetResult {
            payload: GetResultPayload::Stream(futures::stream::once(std::future::ready(Ok(bytes))).boxed()),
            meta: meta(path.as_ref(), &object),
            range,
            attributes: Attributes::default(),
            extensions: Default::default(),
        })
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let view = self.clone();
        let delete = move |path: Result<Path>| {
            let view = view.clone();
            async move {
                let path = path?;
                let (text, doing) = (path.to_string(), view.doing(path.as_ref(), false, true));
                let at = text.clone();
                let effect: Effect<()> = Arc::new(move |state| {
                    state.delete(&at);
                    Ok(Done::Now(()))
                });
                view.ask(Request { path: text, doing, writes: true, is_conditional: false, effect }).await?;
                Ok(path)
            }
        };
        paths.then(delete).boxed()
    }

    /// Page by page, each at its own time: a listing is no snapshot.
    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let folder = prefix.map(ToString::to_string).unwrap_or_default();
        let size = self.world.with(|state| state.plan.page);
        let pages = futures::stream::try_unfold((self.clone(), Some(None::<String>)), move |(view, from)| {
            let folder = folder.clone();
            async move {
                let Some(after) = from else { return Ok::<_, Error>(None) };
                let doing = view.doing(&folder, true, false);
                let below = folder.clone();
                let effect: Effect<Vec<(String, Object)>> =
                    Arc::new(move |state| Ok(Done::Now(state.objects.page(&below, after.as_deref(), size))));
                let mut tries = 0;
                let found = loop {
                    let (path, effect) = (folder.clone(), Arc::clone(&effect));
                    let request = Request { path, doing, writes: false, is_conditional: false, effect };
                    match view.ask(request).await {
                        Err(Error::Generic { .. }) if tries < PAGE_TRIES => tries += 1,
                        answer => break answer?,
                    }
                };
                let next = (found.len() == size).then(|| found.last().map(|(path, _)| path.clone()));
                let page: Vec<ObjectMeta> = found.iter().map(|(path, object)| meta(path, object)).collect();
                Ok(Some((futures::stream::iter(page.into_iter().map(Ok)), (view, next))))
            }
        });
        pages.try_flatten().boxed()
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> Result<ListResult> {
        Err(Error::NotImplemented { operation: "list_with_delimiter".to_owned(), implementer: self.to_string() })
    }

    /// As S3 does it: the source is read first, and the copy appears, if nothing is there, when it is complete.
    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let is_conditional = matches!(options.mode, CopyMode::Create);
        let (source, target, attempt) = (from.to_string(), to.to_string(), self.attempt.clone());
        let effect: Effect<()> = Arc::new(move |state| {
            let object = state.objects.get(&source).inspect_err(|_| state.count_gone(&attempt, &target))?;
            let target = target.clone();
            Ok(Done::Then(Box::new(move |state| state.put(&target, object.bytes, is_conditional))))
        });
        let (path, doing) = (to.to_string(), Doing::Publishing);
        self.ask(Request { path, doing, writes: true, is_conditional, effect }).await
    }
}

/// An upload in parts.
#[derive(Debug)]
struct Upload {
    view: View,
    path: String,
    id: u64,
    parts: usize,
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (view, path, id, part) = (self.view.clone(), self.path.clone(), self.id, self.parts);
        self.parts += 1;
        let bytes = Bytes::from(data);
        let effect: Effect<()> = Arc::new(move |state| {
            let parts = state.objects.uploads.get_mut(&id).ok_or_else(no_such_upload)?;
            parts.insert(part, bytes.clone());
            Ok(Done::Now(()))
        });
        let request = Request { path, doing: Doing::Staging, writes: true, is_conditional: false, effect };
        Box::pin(async move { view.ask(request).await })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let (at, id, count) = (self.path.clone(), self.id, self.parts);
        let effect: Effect<PutResult> = Arc::new(move |state| {
            let parts = state.objects.uploads.get(&id).ok_or_else(no_such_upload)?;
            if parts.len() != count {
                return Err(Error::Generic { store: "simulation", source: "400 InvalidPart".into() });
            }
            let whole: Vec<u8> = parts.values().flat_map(|part| part.iter().copied()).collect();
            state.objects.uploads.remove(&id);
            state.put(&at, Bytes::from(whole), false)?;
            Ok(Done::Now(put_result()))
        });
        let (path, doing) = (self.path.clone(), Doing::Staging);
        self.view.ask(Request { path, doing, writes: true, is_conditional: false, effect }).await
    }

    async fn abort(&mut self) -> Result<()> {
        let id = self.id;
        self.view.world.with(|state| state.objects.uploads.remove(&id));
        Ok(())
    }
}

fn no_such_upload() -> Error {
    Error::Generic { store: "simulation", source: "404 NoSuchUpload".into() }
}
