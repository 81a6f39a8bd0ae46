//! Which files are watched, and what is found at them: free of any notice by the system, and of the clock.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a file must have been the same before it is reported. Programs that write pause for less, and the clocks by which file systems
/// date a change tick faster: two writes that bear the same time are both done by then.
pub(super) const SETTLING: Duration = Duration::from_millis(150);

/// What tells a file from another one at the same path, and from itself when it had other content. None of it needs a look inside.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fingerprint {
    /// Where links lead to.
    path: PathBuf,
    device: u64,
    inode: u64,
    bytes: u64,
    /// Seconds and nanoseconds, as all times here.
    modified: (i64, i64),
    /// Of the inode: also when a program sets the other one back, as `rsync --times` does.
    changed: (i64, i64),
}

impl Fingerprint {
    /// `None` if there is no file.
    fn of(path: &Path) -> Option<Self> {
        let path = fs::canonicalize(path).ok()?;
        let found = fs::metadata(&path).ok().filter(fs::Metadata::is_file)?;
        Some(Self {
            path,
            device: found.dev(),
            inode: found.ino(),
            bytes: found.len(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        })
    }
}

/// A file, if there is one.
#[derive(Debug)]
struct File {
    /// What was reported last, or was there when the watch began.
    reported: Option<Fingerprint>,
    /// What was found last.
    found: Option<Fingerprint>,
    /// When that was found first.
    since: Instant,
}

impl File {
    /// When it is to be reported, if it stays as it is.
    fn due(&self) -> Option<Instant> {
        let is_news = self.found.is_some() && self.found != self.reported;
        is_news.then(|| self.since + SETTLING)
    }
}

/// Watched paths, and the files that are at them or could be.
#[derive(Debug, Default)]
pub(super) struct Files {
    watched: BTreeSet<PathBuf>,
    files: BTreeMap<PathBuf, File>,
}

impl Files {
    /// Watches these paths and no others. What is at a new one is known already.
    pub(super) fn set(&mut self, paths: BTreeSet<PathBuf>, now: Instant) {
        self.files.retain(|path, _| {
            let is_within = path.parent().is_some_and(|folder| paths.contains(folder));
            is_within || paths.contains(path)
        });
        for path in paths.difference(&self.watched).flat_map(|path| files_at(path)) {
            let found = Fingerprint::of(&path);
            self.files.entry(path).or_insert(File { reported: found.clone(), found, since: now });
        }
        self.watched = paths;
    }

    /// All paths at which something may happen: those that are watched, and the files that are in folders among them.
    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.watched.iter().chain(self.files.keys()).map(PathBuf::as_path)
    }

    /// Looks at all of them: gives those that are others than reported, and have been what they are for [`SETTLING`].
    pub(super) fn look(&mut self, now: Instant) -> Vec<PathBuf> {
        for path in self.watched.iter().flat_map(|path| files_at(path)) {
            self.files.entry(path).or_insert(File { reported: None, found: None, since: now });
        }
        let mut changed = Vec::new();
        for (path, file) in &mut self.files {
            let found = Fingerprint::of(path);
            if found != file.found {
                (file.found, file.since) = (found, now);
            }
            if file.due().is_some_and(|due| due <= now) {
                file.reported.clone_from(&file.found);
                changed.push(path.clone());
            }
        }
        // What was in a folder is forgotten when it goes: names may come and go there for ever.
        self.files.retain(|path, file| file.found.is_some() || self.watched.contains(path));
        changed
    }

    /// When the next of them is to be reported, if it stays as it is.
    pub(super) fn due(&self) -> Option<Instant> {
        self.files.values().filter_map(File::due).min()
    }
}

/// The plugins in a folder, or the path itself if it is none. What begins with a dot is another program's, on its way to its name.
fn files_at(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(path) else { return vec![path.to_owned()] };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let is_plugin = |path: &PathBuf| {
        let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        !is_hidden && path.extension().is_some_and(|extension| extension == "wasm")
    };
    paths.filter(is_plugin).collect()
}
