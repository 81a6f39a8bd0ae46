//! Compiled plugins, kept between runs: compiling takes from 50 ms (Rust) to 10 s (Python), loading a few.
//!
//! A file is named after the digest of the plugin and what the engine's settings and version hash to, so it never
//! needs to be invalidated. It starts with a checksum of the rest.

use std::fs::{self, File};
use std::hash::{Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use wasmtime::component::Component;
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use super::{PluginError, bounds};

const CHECKSUM_BYTES: usize = size_of::<u128>();

/// A folder of compiled plugins that only this user can write.
pub(super) struct Cache {
    folder: PathBuf,
    /// The user whose files are trusted: the one that this process runs as.
    user: u32,
    /// Hash of all that compiled code depends on beside the plugin, and of the bounds that the plugin was held to.
    engine: u64,
}

impl Cache {
    /// Makes the folder if need be, and private to this user.
    pub(super) fn open(folder: PathBuf, engine: &wasmtime::Engine) -> Result<Self, PluginError> {
        let refused = |error: &dyn std::fmt::Display| {
            PluginError::Engine(format!("the cache of compiled plugins, {}: {error}", folder.display()))
        };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(|error| refused(&error))?;
        // Fails for a folder of someone else's.
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).map_err(|error| refused(&error))?;
        let user = own_user(&folder).map_err(|error| refused(&error))?;
        if fs::metadata(&folder).map_err(|error| refused(&error))?.uid() != user {
            return Err(refused(&"belongs to another user; choose a folder of your own"));
        }
        let mut hasher = Xxh3::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        // What was compiled under wider bounds is looked at again.
        bounds::ALL.hash(&mut hasher);
        Ok(Self { user, engine: hasher.finish(), folder })
    }

    fn path(&self, digest: &str) -> PathBuf {
        self.folder.join(format!("{digest}-{:016x}.cwasm", self.engine))
    }

    /// The compiled plugin, if it is here and intact.
    pub(super) fn get(&self, engine: &wasmtime::Engine, digest: &str) -> Option<Component> {
        let path = self.path(digest);
        let code = match self.read(&path) {
            Ok(code) => code,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(file = %path.display(), %error, "compiling a plugin again: its compiled code can't be used");
                return None;
            }
        };
        // SAFETY: this runs machine code that was found in a file. `read` has seen, on the open file, that it is of this
        // process's own user and that no other may write it, so it was written by `put` (or by someone who can run
        // code as this user anyway), and its checksum says that it is still what was written then. The name and the
        // header that wasmtime checks say that it was made for this engine, version and processor.
        match unsafe { Component::deserialize(engine, &code) } {
            Ok(component) => Some(component),
            Err(error) => {
                tracing::warn!(file = %path.display(), error = %format!("{error:#}"), "compiling a plugin again");
                None
            }
        }
    }

    /// The code in a file of this user's whose checksum is right.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let metadata = file.metadata()?;
        if metadata.uid() != self.user || metadata.mode() & 0o022 != 0 {
            return Err(io::Error::other("others could have written it"));
        }
        let mut checksum = [0; CHECKSUM_BYTES];
        let mut code = Vec::with_capacity(metadata.len() as usize);
        file.read_exact(&mut checksum)?;
        file.read_to_end(&mut code)?;
        if u128::from_le_bytes(checksum) != xxh3_128(&code) {
            return Err(io::Error::other("it is damaged"));
        }
        Ok(code)
    }

    /// Keeps a compiled plugin. A failure is logged and costs the next start some time.
    pub(super) fn put(&self, digest: &str, code: &[u8]) {
        let path = self.path(digest);
        if let Err(error) = write_whole(&path, code) {
            tracing::warn!(file = %path.display(), %error, "can't keep a compiled plugin");
        }
    }
}

/// Writes the file under another name first, so that no reader ever sees half of it.
fn write_whole(path: &Path, code: &[u8]) -> io::Result<()> {
    let temporary = temporary_name(path);
    let write = || {
        let mut file = private_file(&temporary)?;
        file.write_all(&xxh3_128(code).to_le_bytes())?;
        file.write_all(code)?;
        fs::rename(&temporary, path)
    };
    write().inspect_err(|_| drop(fs::remove_file(&temporary)))
}

fn temporary_name(path: &Path) -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    // Unique among the processes and threads that share the folder on this machine.
    let unique = format!("{}-{}.tmp", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    path.with_extension(unique)
}

fn private_file(path: &Path) -> io::Result<File> {
    fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

/// The user that files of this process belong to, as a new file in the folder shows.
fn own_user(folder: &Path) -> io::Result<u32> {
    let path = temporary_name(&folder.join("probe"));
    let user = private_file(&path)?.metadata()?.uid();
    fs::remove_file(path)?;
    Ok(user)
}
