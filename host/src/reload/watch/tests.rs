//! Real files that change as editors, deployments and Kubernetes change them.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use notify::event::{AccessKind, AccessMode, CreateKind, Event, EventKind, ModifyKind};
use tempfile::TempDir;

use super::files::{Files, SETTLING};
use super::folders::is_news;
use super::{Bell, Watcher};

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
    assert_eq!(looks.after(SHORTLY), [path.clone()]);
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
    assert_eq!(looks.settled(), [path.clone()]);
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
    assert_eq!(looks.settled(), [path.clone()]);
    date(2_000_000_000);
    assert_eq!(looks.settled(), [path.clone()]);
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

/// Runs it with a watcher that looks only when the system tells of a change, and with one that is never told.
fn told_and_untold(path: &Path, run: impl Fn(&mut Watcher, &str)) {
    run(&mut Watcher::with([path.to_owned()], HOUR, true), "told");
    run(&mut Watcher::with([path.to_owned()], Duration::from_millis(10), false), "untold");
}

/// Waits until this path, and nothing else, is reported.
#[track_caller]
fn expect(watcher: &mut Watcher, path: &Path) {
    assert_eq!(watcher.wait(LONG), [path]);
    assert_eq!(watcher.files.due(), None);
}

#[test]
fn files_that_are_written_renamed_and_made_again_are_reported() {
    let place = Place::new();
    let path = place.write("a.wasm", "old");
    told_and_untold(&path, |watcher, how| {
        place.write("a.wasm", &format!("written in place, {how}"));
        expect(watcher, &path);
        place.write("a.wasm.new", &format!("put in its place, {how}"));
        place.rename("a.wasm.new", "a.wasm");
        expect(watcher, &path);
        fs::remove_file(&path).unwrap();
        assert_eq!(watcher.wait(Duration::ZERO), NOTHING);
        place.write("a.wasm", &format!("made again, {how}"));
        expect(watcher, &path);
    });
}

#[test]
fn links_that_lead_elsewhere_are_reported() {
    let place = Place::new();
    place.folder("versions");
    let path = place.link("a.wasm", "versions/a.wasm");
    told_and_untold(&path, |watcher, how| {
        let version = |number: u32| {
            let name = format!("{number}-{how}.wasm");
            place.write(&format!("versions/{name}"), &name);
            name
        };
        // The link that is watched is swapped, once beside it and once where it leads to.
        place.link("a.wasm.new", &format!("versions/{}", version(1)));
        place.rename("a.wasm.new", "a.wasm");
        expect(watcher, &path);
        place.link("a.wasm.new", "versions/current");
        place.link("versions/current", &version(2));
        place.rename("a.wasm.new", "a.wasm");
        expect(watcher, &path);
        place.link("versions/current.new", &version(3));
        place.rename("versions/current.new", "versions/current");
        expect(watcher, &path);
        // And the file at the end of all links is written to.
        place.write(&format!("versions/3-{how}.wasm"), "written in place");
        expect(watcher, &path);
        fs::remove_file(place.path("versions/current")).unwrap();
    });
}

/// A ConfigMap in a volume: `a.wasm -> ..data/a.wasm`, and `..data` is a link to a folder of the version, swapped by a rename.
#[test]
fn a_config_map_that_is_updated_is_reported() {
    let place = Place::new();
    let update = |version: &str| {
        place.folder(&format!("..{version}"));
        place.write(&format!("..{version}/a.wasm"), version);
        place.link("..data_tmp", &format!("..{version}"));
        place.rename("..data_tmp", "..data");
    };
    update("0");
    let file = place.link("a.wasm", "..data/a.wasm");
    // By its own name, and as one of the folder's.
    for path in [&file, place.0.path()] {
        let of = path.file_name().unwrap().to_str().unwrap();
        told_and_untold(path, |watcher, how| {
            for number in 1..3 {
                let before = fs::read_link(place.path("..data")).unwrap();
                update(&format!("{of}-{how}-{number}"));
                fs::remove_dir_all(place.0.path().join(before)).unwrap();
                expect(watcher, &file);
            }
        });
    }
}

#[test]
fn what_is_missing_is_reported_when_it_comes_with_its_folders() {
    let place = Place::new();
    for (name, is_folder) in [("x/y/a.wasm", false), ("x/y", true)] {
        let path = place.path(name);
        told_and_untold(&path, |watcher, how| {
            assert_eq!(watcher.wait(Duration::ZERO), NOTHING);
            // The folder is another one the second time, and may well have the same inode.
            for round in 0..2 {
                place.folder("x");
                assert_eq!(watcher.wait(Duration::ZERO), NOTHING);
                place.folder("x/y");
                assert_eq!(watcher.wait(Duration::ZERO), NOTHING);
                let file = place.write("x/y/a.wasm", &format!("{how}, {round}, {is_folder}"));
                expect(watcher, &file);
                fs::remove_dir_all(place.path("x")).unwrap();
                assert_eq!(watcher.wait(Duration::ZERO), NOTHING);
            }
        });
    }
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
