//! Places that tables are written to: a folder, or a prefix of a bucket; seen as anyone sees them who just lists and reads.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path as FilePath;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::TryStreamExt;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{BackoffConfig, ObjectStore, ObjectStoreExt, RetryConfig};
use tempfile::TempDir;

use super::servers::{S3, servers, unique};

/// A fresh place, empty at first.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "a test has a handful of these")]
pub enum Place {
    /// A folder that is removed with the last clone of this.
    Local(Arc<TempDir>),
    /// A prefix of a bucket.
    S3 {
        /// The server as the tests reach it.
        server: S3,
        /// The server as the host reaches it: the same, or a proxy before it.
        seen_by_host: S3,
        /// The prefix.
        prefix: String,
    },
}

impl Place {
    /// A folder.
    pub fn local() -> Self {
        Self::Local(Arc::new(tempfile::Builder::new().prefix("rillgate-lake-").tempdir().unwrap()))
    }

    /// A prefix on the shared S3 server.
    pub fn s3() -> Self {
        Self::on(&servers().s3)
    }

    /// A prefix on a server of the test's own.
    pub fn on(server: &S3) -> Self {
        Self::S3 { server: server.clone(), seen_by_host: server.clone(), prefix: unique("lake") }
    }

    /// The same place, which the host reaches by `address` (`host:port`) only.
    pub fn through(&self, address: &str) -> Self {
        match self {
            Self::Local(_) => panic!("files are not behind a proxy"),
            Self::S3 { server, prefix, .. } => {
                Self::S3 { server: server.clone(), seen_by_host: server.through(address), prefix: prefix.clone() }
            }
        }
    }

    /// The section `[store]` for the host.
    pub fn toml(&self) -> String {
        let mut toml = "[store]\n".to_owned();
        match self {
            Self::Local(folder) => {
                // A path is a valid TOML literal string unless it has a quote in it.
                writeln!(toml, "url = 'file:{}'", folder.path().display()).unwrap();
            }
            Self::S3 { seen_by_host: s3, prefix, .. } => {
                writeln!(toml, "url = \"s3://{}/{prefix}\"", s3.bucket).unwrap();
                writeln!(toml, "aws_endpoint = \"{}\"", s3.endpoint).unwrap();
                writeln!(toml, "aws_access_key_id = \"{}\"", s3.key).unwrap();
                writeln!(toml, "aws_secret_access_key = \"{}\"", s3.secret).unwrap();
                writeln!(toml, "aws_region = \"us-east-1\"\naws_allow_http = \"true\"").unwrap();
            }
        }
        toml
    }

    /// Every file below `folder`: its path below the place, and its size in bytes. Names of all kinds: nothing is hidden.
    pub fn list(&self, folder: &str) -> BTreeMap<String, u64> {
        match self {
            Self::Local(root) => {
                let mut found = BTreeMap::new();
                walk(root.path(), &root.path().join(folder), &mut found);
                found
            }
            Self::S3 { server, prefix, .. } => {
                let start = Path::from(format!("{prefix}/{folder}"));
                let listing = client(server).list(Some(&start));
                let objects: Vec<_> = runtime().block_on(listing.try_collect()).unwrap();
                let relative = |path: &Path| path.as_ref()[prefix.len() + 1..].to_owned();
                objects.iter().map(|object| (relative(&object.location), object.size)).collect()
            }
        }
    }

    /// Writes a file, as the host never does: what was there is gone.
    pub fn write(&self, path: &str, bytes: &[u8]) {
        match self {
            Self::Local(root) => {
                let path = root.path().join(path);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                // Nobody is to see half of it.
                let staged = tempfile::NamedTempFile::new_in(root.path()).unwrap();
                std::fs::write(staged.path(), bytes).unwrap();
                staged.persist(path).unwrap();
            }
            Self::S3 { server, prefix, .. } => {
                let object = Path::from(format!("{prefix}/{path}"));
                runtime().block_on(client(server).put(&object, bytes.to_vec().into())).unwrap();
            }
        }
    }

    /// The bytes of a file, by its path below the place; `None` where there is none.
    pub fn read(&self, path: &str) -> Option<Vec<u8>> {
        match self {
            Self::Local(root) => std::fs::read(root.path().join(path)).ok(),
            Self::S3 { server, prefix, .. } => {
                let object = Path::from(format!("{prefix}/{path}"));
                let bytes = runtime().block_on(async { client(server).get(&object).await?.bytes().await });
                match bytes {
                    Ok(bytes) => Some(bytes.to_vec()),
                    Err(object_store::Error::NotFound { .. }) => None,
                    Err(error) => panic!("{path}: {error}"),
                }
            }
        }
    }
}

/// Adds the files below `folder`. What goes while we look is not there, as for anyone who lists.
fn walk(root: &FilePath, folder: &FilePath, found: &mut BTreeMap<String, u64>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => walk(root, &path, found),
            Ok(metadata) => {
                let relative = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                found.insert(relative, metadata.len());
            }
            Err(_) => {}
        }
    }
}

fn client(server: &S3) -> AmazonS3 {
    AmazonS3Builder::new()
        .with_endpoint(&server.endpoint)
        .with_bucket_name(&server.bucket)
        .with_access_key_id(&server.key)
        .with_secret_access_key(&server.secret)
        .with_region("us-east-1")
        .with_allow_http(true)
        // A server that a test kills is back in a while.
        .with_retry(RetryConfig {
            backoff: BackoffConfig { max_backoff: Duration::from_secs(1), ..BackoffConfig::default() },
            max_retries: 100,
            retry_timeout: Duration::from_secs(60),
        })
        .build()
        .unwrap()
}

/// The runtime that all tests share for what is async.
pub fn runtime() -> &'static tokio::runtime::Runtime {
    static RUNTIME: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap())
}
