//! The object store behind tables and control files: opened by URL, and probed for what the protocol stands on.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use indexmap::IndexMap;
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    BackoffConfig, Error as StoreError, ObjectStore, ObjectStoreExt, ObjectStoreScheme, PutMode, RetryConfig,
};
use tokio::time::Instant;
use url::Url;

/// How long a host that starts waits for its store, if that answers nothing or an error that may pass.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where the tables and the control files go: `[store]` in pipelines.toml.
#[derive(Clone, PartialEq)]
pub struct StoreOptions {
    /// Where the tables go: `file:./lake`, `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix`.
    pub url: String,
    /// Where `_rillgate/` goes, if not beside the tables: for when a crawler walks the whole bucket.
    pub control: Option<String>,
    /// Options of the store, named as object_store names them: `aws_region`, `aws_endpoint`, `aws_access_key_id` ...
    /// What is not given here is taken from the environment (`AWS_...`, `GOOGLE_...`, `AZURE_...`).
    pub options: IndexMap<String, String>,
}

impl std::fmt::Debug for StoreOptions {
    /// Values of options are left out: they may be secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let options: Vec<&String> = self.options.keys().collect();
        f.debug_struct("StoreOptions")
            .field("url", &self.url)
            .field("control", &self.control)
            .field("options", &options)
            .finish()
    }
}

/// Why a store can't be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL or an option is wrong: mend the configuration.
    #[error("store `{url}`: {reason}")]
    Invalid {
        /// The URL as configured.
        url: String,
        /// What is wrong with it, and what would be right.
        reason: String,
    },
    /// The store doesn't answer, or refuses us.
    #[error("store `{url}` can't be reached: {source}")]
    Unreachable {
        /// The URL as configured.
        url: String,
        /// What the store's client says.
        source: StoreError,
    },
    /// The store answers, but can't do what exactly-once delivery stands on.
    #[error(
        "store `{url}` has no {missing}, which exactly-once delivery needs; \
         choose another store, or say `delivery = \"at-least-once\"` in the pipeline"
    )]
    NoConditionalCreate {
        /// The URL as configured.
        url: String,
        /// The operation that is missing.
        missing: &'static str,
    },
}

/// The volume of local files.
const LOCAL: &str = "file:";

/// A place in a store: a client, and the path below which everything of ours lies.
#[derive(Debug, Clone)]
pub struct Location {
    /// The URL as configured, for messages.
    pub url: String,
    /// The client.
    pub store: Arc<dyn ObjectStore>,
    /// The path within the store.
    pub root: Path,
    /// Bucket, container or file system: locations with the same one can copy from one another.
    volume: String,
}

impl Location {
    /// A place in a store of a test's own. Places of one `volume` must be reached by one client.
    #[cfg(test)]
    pub(super) fn of(store: Arc<dyn ObjectStore>, root: &str, volume: &str) -> Self {
        let url = format!("{volume}/{root}");
        Self { url, store, root: Path::from(root), volume: volume.to_owned() }
    }

    /// The path of `relative` (as written in the commit log) below this location.
    pub fn path(&self, relative: &str) -> Result<Path, StoreError> {
        let whole = match self.root.as_ref() {
            "" => relative.to_owned(),
            root => format!("{root}/{relative}"),
        };
        Ok(Path::parse(whole)?)
    }

    /// Where `relative` lies on this machine, if it does.
    pub(super) fn local_path(&self, relative: &str) -> Option<PathBuf> {
        let path = self.path(relative).ok()?;
        (self.volume == LOCAL).then(|| LocalFileSystem::new().path_to_filesystem(&path).ok())?
    }
}

/// The two places that a host writes to.
#[derive(Debug, Clone)]
pub struct Store {
    /// Tables, and dead letters beside them.
    pub tables: Location,
    /// `_rillgate/`: commit logs and what is staged.
    pub control: Location,
}

impl Store {
    /// Opens both places. Nothing is read or written yet.
    pub fn open(options: &StoreOptions) -> Result<Self, OpenError> {
        let tables = open_location(&options.url, &options.options)?;
        let control = match &options.control {
            None => tables.clone(),
            Some(url) => {
                let control = open_location(url, &options.options)?;
                // One client for both where it reaches both, so that publishing is a copy inside the store.
                if control.volume == tables.volume {
                    Location { store: Arc::clone(&tables.store), ..control }
                } else {
                    control
                }
            }
        };
        Ok(Self { tables, control })
    }

    /// A store in memory, for unit tests and simulation.
    pub fn in_memory() -> Self {
        let location = Location {
            url: "memory:".to_owned(),
            store: Arc::new(InMemory::new()),
            root: Path::default(),
            volume: "memory:".to_owned(),
        };
        Self { tables: location.clone(), control: location }
    }

    /// Whether a staged file becomes a table's file by a copy inside one store.
    pub fn copies_inside(&self) -> bool {
        self.tables.volume == self.control.volume
    }

    /// Tries what the protocol stands on: create-if-absent in the control place, copy- or create-if-absent for tables.
    /// Leaves nothing behind. What may pass is tried again for a while: a cut connection is no reason not to start.
    pub async fn probe(&self) -> Result<(), OpenError> {
        let begin = Instant::now();
        let pauses = ExponentialBuilder::default()
            .with_jitter()
            .with_min_delay(Duration::from_millis(100))
            .with_max_delay(Duration::from_secs(5))
            .without_max_times();
        let may_pass = |error: &OpenError| {
            let passes = matches!(error, OpenError::Unreachable { source: StoreError::Generic { .. }, .. });
            passes && begin.elapsed() < PATIENCE
        };
        (|| self.probe_once()).retry(pauses).when(may_pass).await
    }

    async fn probe_once(&self) -> Result<(), OpenError> {
        // Never the same names again: what an unanswered request does late can't be taken for another's.
        let name = format!("_rillgate/probe/{}", uuid::Uuid::new_v4());
        let (first, second) = (format!("{name}-1"), format!("{name}-2"));
        let answer = self.probe_with(&first, &second).await;
        for (location, relative) in [(&self.control, &first), (&self.control, &second), (&self.tables, &second)] {
            if let Ok(path) = location.path(relative) {
                // Best effort: a probe file that stays is harmless, it lies outside every table.
                let _ = location.store.delete(&path).await;
            }
        }
        answer
    }

    async fn probe_with(&self, first: &str, second: &str) -> Result<(), OpenError> {
        let control = &self.control;
        let from = control.path(first).map_err(|source| unreachable_store(control, source))?;
        create_twice(control, &from).await?;
        let tables = &self.tables;
        let to = tables.path(second).map_err(|source| unreachable_store(tables, source))?;
        if !self.copies_inside() {
            return create_twice(tables, &to).await;
        }
        for attempt in 0..2 {
            match tables.store.copy_if_not_exists(&from, &to).await {
                Ok(()) if attempt == 0 => {}
                Err(StoreError::AlreadyExists { .. } | StoreError::Precondition { .. }) => {}
                Ok(()) | Err(StoreError::NotSupported { .. } | StoreError::NotImplemented { .. }) => {
                    return Err(lacks(tables, "copy-if-absent"));
                }
                Err(source) => return Err(unreachable_store(tables, source)),
            }
        }
        Ok(())
    }
}

async fn create_twice(location: &Location, path: &Path) -> Result<(), OpenError> {
    for attempt in 0..2 {
        match location.store.put_opts(path, "probe".into(), PutMode::Create.into()).await {
            Ok(_) if attempt == 0 => {}
            // At the first attempt too: its name is new, so it was created by us, and the answer got lost.
            Err(StoreError::AlreadyExists { .. } | StoreError::Precondition { .. }) => {}
            Ok(_) | Err(StoreError::NotSupported { .. } | StoreError::NotImplemented { .. }) => {
                return Err(lacks(location, "create-if-absent"));
            }
            Err(source) => return Err(unreachable_store(location, source)),
        }
    }
    Ok(())
}

fn lacks(location: &Location, missing: &'static str) -> OpenError {
    OpenError::NoConditionalCreate { url: location.url.clone(), missing }
}

fn unreachable_store(location: &Location, source: StoreError) -> OpenError {
    OpenError::Unreachable { url: location.url.clone(), source }
}

fn open_location(text: &str, options: &IndexMap<String, String>) -> Result<Location, OpenError> {
    let invalid = |reason: String| OpenError::Invalid { url: text.to_owned(), reason };
    if let Some(path) = local_path(text) {
        return open_local(text, path).map_err(invalid);
    }
    let url = Url::parse(text).map_err(|error| invalid(error.to_string()))?;
    let (scheme, root) = ObjectStoreScheme::parse(&url).map_err(|_| {
        invalid("expected file:PATH, s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or az://CONTAINER/PREFIX".to_owned())
    })?;
    // Only what the environment gives these builders, then the URL, then what the file says.
    macro_rules! build {
        ($builder:expr) => {{
            let mut builder = $builder.with_url(text).with_retry(retries());
            for (name, value) in options {
                let key = name
                    .to_ascii_lowercase()
                    .parse()
                    .map_err(|_| invalid(format!("`{name}` is no option of this kind of store")))?;
                builder = builder.with_config(key, value);
            }
            Arc::new(builder.build().map_err(|error| invalid(error.to_string()))?) as Arc<dyn ObjectStore>
        }};
    }
    let store = match scheme {
        ObjectStoreScheme::Memory => Arc::new(InMemory::new()) as Arc<dyn ObjectStore>,
        ObjectStoreScheme::AmazonS3 => {
            // S3 has no conditional copy; completing a multipart upload if absent is one.
            let multipart = object_store::aws::S3CopyIfNotExists::Multipart;
            build!(AmazonS3Builder::from_env().with_copy_if_not_exists(multipart))
        }
        ObjectStoreScheme::GoogleCloudStorage => build!(GoogleCloudStorageBuilder::from_env()),
        ObjectStoreScheme::MicrosoftAzure => build!(MicrosoftAzureBuilder::from_env()),
        _ => return Err(invalid("expected a file, s3, gs or az URL".to_owned())),
    };
    let volume = format!("{}://{}", url.scheme(), url.host_str().unwrap_or_default());
    Ok(Location { url: text.to_owned(), store, root, volume })
}

/// The path of a local store: `file:relative`, `file:///absolute`, or a plain path.
fn local_path(url: &str) -> Option<&str> {
    match url.split_once(':') {
        Some(("file", rest)) => Some(rest.strip_prefix("//").unwrap_or(rest)),
        Some((scheme, _)) if scheme.chars().all(|c| c.is_ascii_alphanumeric()) && scheme.len() > 1 => None,
        _ => Some(url),
    }
}

fn open_local(url: &str, path: &str) -> Result<Location, String> {
    if path.is_empty() {
        return Err("the path is empty; write file:./lake".to_owned());
    }
    std::fs::create_dir_all(path).map_err(|error| format!("the folder can't be made: {error}"))?;
    let absolute = std::fs::canonicalize(path).map_err(|error| error.to_string())?;
    let root = Path::from_absolute_path(&absolute).map_err(|error| error.to_string())?;
    // A decided file must survive the machine, not only the process: fsync, which object_store leaves off.
    let store = Arc::new(LocalFileSystem::new().with_fsync(true));
    Ok(Location { url: url.to_owned(), store, root, volume: LOCAL.to_owned() })
}

/// A store that refuses for minutes is waited for: what has not been decided can be done again, but not sooner.
fn retries() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(5),
            base: 2.0,
        },
        max_retries: 100,
        retry_timeout: Duration::from_secs(120),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(url: &str) -> StoreOptions {
        StoreOptions { url: url.to_owned(), control: None, options: IndexMap::new() }
    }

    #[tokio::test]
    async fn the_probe_passes_on_local_files_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut options = options(&format!("file:{}/lake", folder.path().display()));
        options.control = Some(format!("file:{}/control", folder.path().display()));
        let store = Store::open(&options).unwrap();
        assert!(store.copies_inside());
        store.probe().await.unwrap();
        let left = walk(folder.path());
        assert!(left.is_empty(), "{left:?}");
    }

    fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { files.extend(walk(&path)) } else { files.push(path) }
        }
        files
    }

    #[test]
    fn urls_are_read_as_written_or_refused_by_name() {
        let check = |url: &str, expect: &str| {
            let found = match open_location(url, &IndexMap::new()) {
                Ok(location) => format!("{}|{}", location.volume, location.root),
                Err(error) => error.to_string(),
            };
            assert!(found.contains(expect), "{url}: {found}");
        };
        check("s3://bucket/a/b", "s3://bucket|a/b");
        check("gs://bucket", "gs://bucket|");
        check("ftp://host/x", "expected file:PATH");
        check("file:", "the path is empty");
        check("memory:", "memory://|");
    }

    #[test]
    fn an_option_of_another_store_is_refused() {
        let mut options = options("s3://bucket");
        options.options.insert("azure_storage_account_name".to_owned(), "x".to_owned());
        let error = Store::open(&options).unwrap_err().to_string();
        assert!(error.contains("`azure_storage_account_name` is no option"), "{error}");
    }
}
