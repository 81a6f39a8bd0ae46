//! The folders in which something must happen before another file is found at a path; the system says when.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf, absolute};
use std::sync::Arc;
use std::time::SystemTime;

use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};

use super::{Bell, POLL};

/// Links on the way to a file, as the kernel counts them.
const MAX_LINKS: usize = 40;

/// Folders whose changes ring a bell.
pub(super) struct Folders {
    /// `None` where the system can't say.
    watcher: Option<RecommendedWatcher>,
    watched: BTreeMap<PathBuf, Identity>,
    /// Whether it was said that some can't be watched.
    is_said: bool,
}

/// Tells a folder from one that was made at its path later. Inodes are used again, and so quickly that they alone don't tell.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    created: Option<SystemTime>,
}

impl Folders {
    /// Changes ring `bell`.
    pub(super) fn new(bell: Arc<Bell>) -> Self {
        let ring = move |event: notify::Result<Event>| {
            if is_news(&event) {
                bell.news();
            }
        };
        let mut folders = Self::untold();
        match notify::recommended_watcher(ring) {
            Ok(watcher) => folders.watcher = Some(watcher),
            Err(error) => folders.say(&error),
        }
        folders
    }

    /// Nothing is said about any.
    pub(super) fn untold() -> Self {
        Self { watcher: None, watched: BTreeMap::new(), is_said: false }
    }

    /// Watches the folders that matter to these paths now, and no others.
    pub(super) fn follow<'a>(&mut self, paths: impl Iterator<Item = &'a Path>) {
        let Some(watcher) = &mut self.watcher else { return };
        let mut wanted = BTreeMap::new();
        for path in paths {
            folders_of(path, &mut wanted);
        }
        let is_over = |folder: &PathBuf, identity: &mut Identity| wanted.get(folder) != Some(identity);
        for (folder, _) in self.watched.extract_if(.., is_over) {
            // It may be gone, and its watch with it.
            let _ = watcher.unwatch(&folder);
        }
        let mut refused = None;
        for (folder, identity) in wanted {
            if self.watched.contains_key(&folder) {
                continue;
            }
            match watcher.watch(&folder, RecursiveMode::NonRecursive) {
                Ok(()) => drop(self.watched.insert(folder, identity)),
                Err(error) => refused = Some(error),
            }
        }
        if let Some(error) = refused {
            self.say(&error);
        }
    }

    /// Says it once.
    fn say(&mut self, error: &notify::Error) {
        if !std::mem::replace(&mut self.is_said, true) {
            tracing::warn!(%error, "the system doesn't tell of all changes to files: they are looked for every {POLL:?}");
        }
    }
}

/// Whether files may be others than before. Whoever reads a folder makes events, too, as the watch itself does.
pub(super) fn is_news(event: &notify::Result<Event>) -> bool {
    !event.as_ref().is_ok_and(|event| event.kind.is_access())
}

/// Adds the folder that the file is in, the folder of each link on the way there, and the path itself if it is one. Of a path that leads
/// nowhere the last folder that there is.
fn folders_of(path: &Path, folders: &mut BTreeMap<PathBuf, Identity>) {
    let mut add = |folder: &Path| {
        if let Some(found) = fs::metadata(folder).ok().filter(fs::Metadata::is_dir) {
            let identity = Identity { device: found.dev(), inode: found.ino(), created: found.created().ok() };
            folders.insert(folder.to_owned(), identity);
        }
    };
    let Ok(path) = absolute(path) else { return };
    let mut here = PathBuf::new();
    let mut ahead = parts(&path);
    let mut links = 0;
    while let Some(part) = ahead.pop_front() {
        if part == ".." {
            here.pop();
            continue;
        }
        // What is absolute begins anew.
        let next = here.join(&part);
        match fs::symlink_metadata(&next) {
            Ok(found) if found.is_symlink() && links < MAX_LINKS => {
                links += 1;
                add(&here);
                let Ok(target) = fs::read_link(&next) else { return };
                let mut target = parts(&target);
                target.append(&mut ahead);
                ahead = target;
            }
            Ok(_) => {
                if ahead.is_empty() {
                    add(&here);
                }
                here = next;
            }
            Err(_) => return add(&here),
        }
    }
    add(&here);
}

/// A path in parts; the first may be the root.
fn parts(path: &Path) -> VecDeque<OsString> {
    let parts = path.components().filter(|part| *part != Component::CurDir);
    parts.map(|part| part.as_os_str().to_owned()).collect()
}
