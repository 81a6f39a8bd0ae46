//! Files that are watched: a path is reported when there is another file at it, or the same with other content, that has stood still
//! for a moment.
//!
//! What the system says about folders only tells when to look. The truth is what is found by looking (`files.rs`), and that happens
//! every two seconds in any case, since network mounts say nothing and the system's watches are limited in number.

mod files;
mod folders;
#[cfg(test)]
mod tests;

use std::mem::take;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use files::Files;
use folders::Folders;

/// How often files are looked at when nothing is said about them.
pub const POLL: Duration = Duration::from_secs(2);
/// At least so long passes from one look to the next where much is said: something else may be busy in the same folder.
const GAP: Duration = Duration::from_millis(100);

/// Watches files, and folders of plugins. Belongs to one thread, which waits with it; others wake that by a [`Waker`].
///
/// A file that vanishes is no change, since nothing can be made of it; one that comes back is. What is reported may still be cut short,
/// where its writer pauses for long: who loads it finds out, and what is written later is reported again. So is what is written
/// again without a change: who loads it compares digests.
pub struct Watcher {
    files: Files,
    folders: Folders,
    bell: Arc<Bell>,
    poll: Duration,
}

/// Ends a wait of the [`Watcher`] that it comes from; of several in a row one is enough.
#[derive(Clone)]
pub struct Waker {
    bell: Arc<Bell>,
}

impl Watcher {
    /// Watches these paths. What is there now is known: watch first and load then, so that nothing is missed in between.
    ///
    /// A path may be missing as yet. If it is a folder, each `*.wasm` in it is watched that does not begin with a dot, also those that come
    /// later; folders within it are not.
    pub fn new(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        Self::with(paths, POLL, true)
    }

    /// The same, with another time between looks, and with or without being told about folders.
    fn with(paths: impl IntoIterator<Item = PathBuf>, poll: Duration, is_told: bool) -> Self {
        let bell = Arc::new(Bell::default());
        let folders = if is_told { Folders::new(Arc::clone(&bell)) } else { Folders::untold() };
        let mut watcher = Self { files: Files::default(), folders, bell, poll };
        watcher.set(paths);
        watcher
    }

    /// Watches these paths from now on, and no others. What is there now is known at those that were not watched before.
    pub fn set(&mut self, paths: impl IntoIterator<Item = PathBuf>) {
        self.files.set(paths.into_iter().collect(), Instant::now());
        self.folders.follow(self.files.paths());
    }

    /// What ends a wait from another thread.
    pub fn waker(&self) -> Waker {
        Waker { bell: Arc::clone(&self.bell) }
    }

    /// Waits until files have changed, and says which: paths as they were given, and for a folder the path of the file in it. Nothing if
    /// it was woken or `timeout` has passed.
    pub fn wait(&mut self, timeout: Duration) -> Vec<PathBuf> {
        let start = Instant::now();
        loop {
            // In this order: what happens after the look is told about.
            self.folders.follow(self.files.paths());
            let now = Instant::now();
            let changed = self.files.look(now);
            let left = timeout.saturating_sub(now - start);
            if !changed.is_empty() || left.is_zero() {
                return changed;
            }
            if self.bell.sleep(now + GAP, self.next_look(now, left)) {
                return Vec::new();
            }
        }
    }

    /// When to look again if nothing is said; `left` is what is left of the wait.
    fn next_look(&self, now: Instant, left: Duration) -> Instant {
        let poll = now + left.min(self.poll);
        self.files.due().map_or(poll, |due| due.min(poll))
    }
}

impl Waker {
    /// Ends the wait that is under way, or else the next one, as soon as it begins.
    pub fn wake(&self) {
        lock(&self.bell.rung).for_waiter = true;
        self.bell.rings.notify_all();
    }
}

/// What a watcher sleeps by.
#[derive(Default)]
struct Bell {
    rung: Mutex<Rung>,
    rings: Condvar,
}

#[derive(Default)]
struct Rung {
    /// Something happened in a folder.
    for_files: bool,
    /// Someone wants the thread that waits.
    for_waiter: bool,
}

impl Bell {
    /// Something happened in a folder.
    fn news(&self) {
        // Once is enough until there was a look.
        if !std::mem::replace(&mut lock(&self.rung).for_files, true) {
            self.rings.notify_all();
        }
    }

    /// Sleeps until `until`, or until there are news, but then not before `gap`. `true` as soon as someone calls for the waiter.
    fn sleep(&self, gap: Instant, until: Instant) -> bool {
        let mut rung = lock(&self.rung);
        loop {
            if take(&mut rung.for_waiter) {
                return true;
            }
            let end = if rung.for_files { gap.min(until) } else { until };
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                rung.for_files = false;
                return false;
            }
            rung = self.rings.wait_timeout(rung, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Locks it. Nothing that is done under this lock can panic half-way.
fn lock(rung: &Mutex<Rung>) -> MutexGuard<'_, Rung> {
    rung.lock().unwrap_or_else(PoisonError::into_inner)
}
