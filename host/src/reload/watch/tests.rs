//! Real files that change as editors, deployments and Kubernetes change them.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use notify::event::{AccessKind, AccessMode, CreateKind, Event, EventKind, ModifyKind};
use tempfile::TempDir;

use super::files::{Files, SETTLING};
use super::folders::is_news;
use super::{Bell, POLL, Watcher};

const HOUR: Duration = Duration::from_secs(3600);
/// Longer than any machine takes.
const LONG: Duration = Duration::from_secs(60);

/// A folder for one test.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        path
    }

    fn link(&self, name: &str, target: &str) -> PathBuf {
        let path = self.path(name);
        symlink(target, &path).unwrap();
        path
    }

    fn folder(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(&path).unwrap();
        path
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }
}

/// Time as a test has it: looks at files are as far apart as it says, however long they take.
struct Looks {
    files: Files,
    now: Instant,
}

impl Looks {
    fn at(path: &Path) -> Self {
        let mut looks = Self { files: Files::default(), now: Instant::now() };
        looks.files.set(BTreeSet::from([path.to_owned()]), looks.now);
        looks
    }

    fn after(&mut self, time: Duration) -> Vec<PathBuf> {
        self.now += time;
        self.files.look(self.now)
    }

    /// What is reported when nothing happens any more.
    fn settled(&mut self) -> Vec<PathBuf> {
        assert_eq!(self.after(Duration::ZERO), Vec::<PathBuf>::new());
        let changed = self.after(SETTLING);
        assert_eq!(self.files.due(), None);
        changed
    }
}

const SHORTLY: Duration = Duration::from_millis(100);
const NOTHING: Vec<PathBuf> = Vec::new();

#[test]
fn a_file_that_grows_is_reported_when_it_has_stood_still() {
    let place = Place::new();
    let path = place.write("a.wasm", "old");
    let mut looks = Looks::at(&path);
    assert_eq!(looks.settled(), NOTHING);
    let mut file = fs::File::create(&path).unwrap();
    assert_eq!(looks.after(SHORTLY), NOTHING);
    file.write_all(b"first half").unwrap();
    assert_eq!(looks.after(SHORTLY), NOTHING);
    // Both looks find the same, but not for long enough.
    assert_eq!(looks.after(SHORTLY), NOTHING);
    assert_eq!(looks.files.due(), Some(looks.now + SETTLING - SHORTLY));
    file.write_all(b", second half").unwrap();
    assert_eq!(looks.after(SHORTLY), NOTHING);
    assert_eq!(looks.after(SHORTLY), NOTHING);
    assert_eq!(looks.after(SHORTLY), std::slice::from_ref(&path));
    assert_eq!(looks.settled(), NOTHING);
    // Its writer comes back after a long pause: reported again.
    file.write_all(b", and the rest").unwrap();
    assert_eq!(looks.settled(), [path]);
}

#[test]
fn a_file_that_vanishes_is_no_change_and_one_that_comes_back_is() {
    let place = Place::new();
    let path = place.write("a.wasm", "old");
    let mut looks = Looks::at(&path);
    fs::remove_file(&path).unwrap();
    assert_eq!(looks.settled(), NOTHING);
    place.write("a.wasm", "new one");
    assert_eq!(looks.settled(), std::slice::from_ref(&path));
    // As it was before, and not as it was reported last.
    fs::remove_file(&path).unwrap();
    assert_eq!(looks.settled(), NOTHING);
    // A folder is no file.
    fs::create_dir(&path).unwrap();
    assert_eq!(looks.settled(), NOTHING);
}

#[test]
fn the_same_written_again_is_reported_and_a_file_that_goes_and_returns_unchanged_is_not() {
    let place = Place::new();
    place.folder("mounted");
    place.write("mounted/a.wasm", "same");
    let path = place.path("link/a.wasm");
    let link = place.link("link", "mounted");
    let mut looks = Looks::at(&path);
    let date = |seconds| {
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
    };
    date(1_000_000_000);
    assert_eq!(looks.settled(), std::slice::from_ref(&path));
    date(2_000_000_000);
    assert_eq!(looks.settled(), std::slice::from_ref(&path));
    // Other content of the same length and date, as rsync leaves it. The clock of the file system may have to tick first.
    let changed = || fs::metadata(&path).map(|found| (found.ctime(), found.ctime_nsec())).unwrap();
    let before = changed();
    while changed() == before {
        fs::write(&path, "emas").unwrap();
        date(2_000_000_000);
    }
    assert_eq!(looks.settled(), std::slice::from_ref(&path));
    fs::remove_file(&link).unwrap();
    assert_eq!(looks.settled(), NOTHING);
    place.link("link", "mounted");
    assert_eq!(looks.settled(), NOTHING);
}

#[test]
fn the_plugins_of_a_folder_are_those_that_end_so_and_begin_without_a_dot() {
    let place = Place::new();
    let folder = place.folder("plugins");
    place.write("plugins/old.wasm", "old");
    let mut looks = Looks::at(&folder);
    assert_eq!(looks.settled(), NOTHING);
    for name in ["b.wasm", "a.wasm", ".a.wasm", "a.wasm.part", "a.wat", "wasm"] {
        place.write(&format!("plugins/{name}"), name);
    }
    place.folder("plugins/folder.wasm");
    place.write("plugins/folder.wasm/within.wasm", "deeper");
    assert_eq!(looks.settled(), [folder.join("a.wasm"), folder.join("b.wasm")]);
    place.write("plugins/old.wasm", "changed");
    fs::remove_file(folder.join("a.wasm")).unwrap();
    assert_eq!(looks.settled(), [folder.join("old.wasm")]);
    // Names may come and go for ever.
    assert!(!looks.files.paths().any(|path| path.ends_with("a.wasm")));
    place.write("plugins/a.wasm", "again");
    assert_eq!(looks.settled(), [folder.join("a.wasm")]);
}

#[test]
fn paths_that_are_added_are_known_as_they_are_and_those_that_are_taken_out_are_not_looked_at() {
    let place = Place::new();
    let (a, b) = (place.write("a.wasm", "a"), place.write("b.wasm", "b"));
    let mut looks = Looks::at(&a);
    place.write("a.wasm", "changed");
    place.write("b.wasm", "changed");
    // What is watched already stays news.
    looks.files.set(BTreeSet::from([a.clone(), b.clone()]), looks.now);
    assert_eq!(looks.settled(), [a]);
    place.write("a.wasm", "changed again");
    place.write("b.wasm", "changed again");
    looks.files.set(BTreeSet::from([b.clone()]), looks.now);
    assert_eq!(looks.settled(), [b]);
}

/// A watcher that looks only when the system says something, or one to which it says nothing.
struct Watched {
    watcher: Watcher,
    is_told: bool,
    /// How, for names of files.
    how: &'static str,
}

impl Watched {
    /// Runs it with one of each kind.
    fn run(path: &Path, run: impl Fn(&mut Self)) {
        let path = || [path.to_owned()];
        run(&mut Self { watcher: Watcher::with(path(), HOUR, true), is_told: true, how: "told" });
        let poll = Duration::from_millis(10);
        run(&mut Self { watcher: Watcher::with(path(), poll, false), is_told: false, how: "untold" });
    }

    /// Makes a change of which the watcher must be told, if it is told at all.
    #[track_caller]
    fn notices(&mut self, change: impl FnOnce()) {
        // What was said of the change before.
        self.watcher.bell.sleep(Instant::now(), Instant::now());
        change();
        let (now, end) = (Instant::now(), Instant::now() + LONG);
        if self.is_told {
            assert!(!self.watcher.bell.sleep(now, end));
            assert!(Instant::now() < end, "nothing was said");
        }
    }

    /// Makes a change that must not be reported.
    #[track_caller]
    fn ignores(&mut self, change: impl FnOnce()) {
        self.notices(change);
        assert_eq!(self.watcher.wait(Duration::ZERO), NOTHING);
        assert_eq!(self.watcher.files.due(), None);
    }

    /// Makes a change by which this path, and nothing else, is to be reported.
    #[track_caller]
    fn reports(&mut self, path: &Path, change: impl FnOnce()) {
        self.notices(change);
        assert_eq!(self.watcher.wait(LONG), [path]);
        assert_eq!(self.watcher.files.due(), None);
    }
}

#[test]
fn files_that_are_written_renamed_and_made_again_are_reported() {
    let place = Place::new();
    let path = place.write("a.wasm", "old");
    Watched::run(&path, |watched| {
        let how = watched.how;
        watched.reports(&path, || drop(place.write("a.wasm", &format!("written in place, {how}"))));
        place.write("a.wasm.new", &format!("put in its place, {how}"));
        watched.reports(&path, || place.rename("a.wasm.new", "a.wasm"));
        watched.ignores(|| fs::remove_file(&path).unwrap());
        watched.reports(&path, || drop(place.write("a.wasm", &format!("made again, {how}"))));
    });
}

#[test]
fn links_that_lead_elsewhere_are_reported() {
    let place = Place::new();
    place.folder("links");
    place.folder("versions");
    let path = place.link("a.wasm", "nowhere");
    Watched::run(&path, |watched| {
        let how = watched.how;
        let version = |number: u32| {
            let name = format!("versions/{number}-{how}.wasm");
            place.write(&name, &name);
            name
        };
        // The link that is watched is swapped, once beside it and once where it leads to.
        place.link("a.wasm.new", &version(1));
        watched.reports(&path, || place.rename("a.wasm.new", "a.wasm"));
        place.link("links/current", &format!("../{}", version(2)));
        place.link("a.wasm.new", "links/current");
        watched.reports(&path, || place.rename("a.wasm.new", "a.wasm"));
        place.link("links/current.new", &format!("../{}", version(3)));
        watched.reports(&path, || place.rename("links/current.new", "links/current"));
        // And the file at the end of all links is written to.
        watched.reports(&path, || drop(place.write(&format!("versions/3-{how}.wasm"), "written in place")));
        watched.ignores(|| fs::remove_file(place.path("links/current")).unwrap());
    });
}

/// A ConfigMap in a volume: `a.wasm -> ..data/a.wasm`, and `..data` is a link to a folder of the version, swapped by a rename.
#[test]
fn a_config_map_that_is_updated_is_reported() {
    let place = Place::new();
    let prepare = |version: &str| {
        place.folder(&format!("volume/..{version}"));
        place.write(&format!("volume/..{version}/a.wasm"), version);
        place.link("volume/..data_tmp", &format!("..{version}"));
    };
    let update = || place.rename("volume/..data_tmp", "volume/..data");
    prepare("0");
    update();
    let file = place.link("volume/a.wasm", "..data/a.wasm");
    // By its own name, and as one of the folder's.
    for (path, of) in [(file.clone(), "file"), (place.path("volume"), "folder")] {
        Watched::run(&path, |watched| {
            for number in 1..3 {
                let before = fs::read_link(place.path("volume/..data")).unwrap();
                prepare(&format!("{of}-{}-{number}", watched.how));
                watched.reports(&file, update);
                watched.ignores(|| fs::remove_dir_all(place.path("volume").join(before)).unwrap());
            }
        });
    }
}

#[test]
fn what_is_missing_is_reported_when_it_comes_with_its_folders() {
    let place = Place::new();
    for (name, is_folder) in [("x/y/a.wasm", false), ("x/y", true)] {
        Watched::run(&place.path(name), |watched| {
            // The folder is another one the second time, and may well have the same inode.
            for round in 0..2 {
                watched.ignores(|| drop(place.folder("x")));
                watched.ignores(|| drop(place.folder("x/y")));
                let content = format!("{}, {round}, {is_folder}", watched.how);
                watched.reports(&place.path("x/y/a.wasm"), || drop(place.write("x/y/a.wasm", &content)));
                watched.ignores(|| fs::remove_dir_all(place.path("x")).unwrap());
            }
            // It is made again before the watcher has looked.
            let whole = |content| {
                place.folder("x/y");
                place.write("x/y/a.wasm", content)
            };
            let file = place.path("x/y/a.wasm");
            watched.reports(&file, || drop(whole("first")));
            watched.reports(&file, || {
                fs::remove_dir_all(place.path("x")).unwrap();
                whole("second one");
            });
            watched.reports(&file, || drop(place.write("x/y/a.wasm", "and written to")));
            watched.ignores(|| fs::remove_dir_all(place.path("x")).unwrap());
        });
    }
}

#[test]
fn files_are_looked_at_again_when_one_is_due_or_a_while_has_passed() {
    let place = Place::new();
    let path = place.write("a.wasm", "old");
    let mut watcher = Watcher::with([path], POLL, false);
    let now = Instant::now();
    assert_eq!(watcher.next_look(now, HOUR), now + POLL);
    assert_eq!(watcher.next_look(now, SHORTLY), now + SHORTLY);
    place.write("a.wasm", "another");
    assert_eq!(watcher.wait(Duration::ZERO), NOTHING);
    let due = watcher.files.due().unwrap();
    assert_eq!(watcher.next_look(due - SHORTLY, HOUR), due);
    assert_eq!(watcher.next_look(due - 2 * SHORTLY, SHORTLY), due - SHORTLY);
}

#[test]
fn a_wait_ends_when_it_is_woken_or_its_time_is_over() {
    let place = Place::new();
    let path = place.write("a.wasm", "old");
    let mut watcher = Watcher::with([path.clone()], HOUR, false);
    // Before the wait, twice, which is as good as once; and from another thread.
    watcher.waker().wake();
    watcher.waker().clone().wake();
    assert_eq!(watcher.wait(HOUR), NOTHING);
    let waker = watcher.waker();
    let other = thread::spawn(move || waker.wake());
    assert_eq!(watcher.wait(HOUR), NOTHING);
    other.join().unwrap();
    let start = Instant::now();
    assert_eq!(watcher.wait(SHORTLY), NOTHING);
    assert!(start.elapsed() >= SHORTLY);
}

#[test]
fn news_end_a_sleep_and_not_before_the_gap() {
    let bell = Bell::default();
    let now = Instant::now();
    bell.news();
    bell.news();
    assert!(!bell.sleep(now + SHORTLY, now + HOUR));
    assert!(now.elapsed() >= SHORTLY);
    // They were taken.
    assert!(!bell.sleep(now, now + 2 * SHORTLY));
    assert!(now.elapsed() >= 2 * SHORTLY);
}

#[test]
fn what_is_only_read_is_no_news() {
    let event = |kind: EventKind| is_news(&Ok(Event::new(kind)));
    assert!(!event(EventKind::Access(AccessKind::Open(AccessMode::Any))));
    assert!(!event(EventKind::Access(AccessKind::Close(AccessMode::Write))));
    assert!(event(EventKind::Modify(ModifyKind::Any)) && event(EventKind::Create(CreateKind::Any)));
    // Events that were too many, and a watch that fails.
    assert!(event(EventKind::Other) && is_news(&Err(notify::Error::generic("gone"))));
}
