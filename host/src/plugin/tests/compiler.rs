//! Compiling in another process, whose part shell scripts play here.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use super::*;

/// An engine whose compiler is a script. It is started in the folder, where the component is not.
fn engine(folder: &Path, script: &str, cache: Option<PathBuf>) -> (Engine, Arc<AtomicUsize>) {
    let started = Arc::new(AtomicUsize::new(0));
    let (folder, script, count) = (folder.to_owned(), script.to_owned(), Arc::clone(&started));
    let compiler = move || {
        count.fetch_add(1, Ordering::Relaxed);
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &script]).current_dir(&folder).env("SECRET", "hunter2");
        command
    };
    (Engine::with_compiler(cache, compiler).unwrap(), started)
}

fn component(code: &str) -> Vec<u8> {
    Guest { code: &(identity("", "", "") + code), ..Guest::default() }.build()
}

/// Takes all of a component of so many bytes.
fn take(component: &[u8]) -> String {
    format!("head -c {} >/dev/null", size_of::<u64>() + component.len())
}

#[test]
fn what_a_compiler_answers_is_used_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let component = component("");
    let path = file(&folder, &component);
    std::fs::write(folder.path().join("code"), ENGINE.wasm().precompile_component(&component).unwrap()).unwrap();
    let cache = folder.path().join("cache");
    let (engine, started) = engine(folder.path(), &(take(&component) + " && cat code"), Some(cache.clone()));
    // All at once: one of them has it compiled, the others find it compiled when it is their turn.
    let all = Barrier::new(8);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                all.wait();
                let mut transform = open(&engine.load(&path).unwrap(), &limits()).unwrap();
                assert_eq!(transform.apply(&batch(9), now()).unwrap().batches, [batch(9)]);
            });
        }
    });
    assert_eq!(started.load(Ordering::Relaxed), 1);
    let (other, started) = self::engine(folder.path(), "exit 1", Some(cache));
    other.load(&path).unwrap();
    assert_eq!(started.load(Ordering::Relaxed), 0);
}

#[test]
fn a_compiler_that_fails_is_a_plugin_that_can_not_be_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let component = component("");
    let path = file(&folder, &component);
    let words = |script: &str| {
        let (engine, _) = engine(folder.path(), &format!("{} && {script}", take(&component)), None);
        words(engine.load(&path).unwrap_err())
    };
    assert_eq!(
        words("echo it is no valid component: so there >&2; exit 2"),
        "can't be loaded: it is no valid component: so there"
    );
    assert_eq!(words("kill -XCPU $$"), "can't be loaded: compiling it took more than 300 s of processor time");
    assert_eq!(
        words("kill -ABRT $$"),
        "can't be loaded: compiling it took more memory than it may, which is 2 GiB at most"
    );
    assert_eq!(
        words("kill -KILL $$"),
        "can't be loaded: compiling it was stopped by SIGKILL, which is what the system sends when memory is short"
    );
    assert_eq!(
        words("echo panicked >&2; exit 101"),
        "can't be loaded: compiling it failed with exit status: 101: panicked"
    );
    for nonsense in ["echo nonsense", "true"] {
        let words = words(nonsense);
        assert!(words.starts_with("can't be loaded: its compiled code can't be used: "), "{words}");
    }
    assert_eq!(words("echo secret: $SECRET >&2; exit 2"), "can't be loaded: secret:");
    let nowhere = Engine::with_compiler(None, || Command::new("/nowhere")).unwrap();
    assert_eq!(
        super::words(nowhere.load(&path).unwrap_err()),
        "can't be loaded: its compiler can't be started: No such file or directory (os error 2)"
    );
}

#[test]
fn a_compiler_that_takes_or_says_much_or_little_does_not_stop_the_host() {
    let folder = tempfile::tempdir().unwrap();
    // More than a pipe holds, in both directions.
    let component = component(&"(func (drop (i64.const 1)))".repeat(20_000));
    assert!(component.len() > 1 << 16);
    let path = file(&folder, &component);
    let words = |script: &str| words(engine(folder.path(), script, None).0.load(&path).unwrap_err());
    let much = "head -c 300000 /dev/zero | tr '\\0' x";
    assert_eq!(words(&format!("{}; {much} >&2; {much}; exit 2", take(&component))).len(), 300_017);
    // It doesn't read what it is given.
    assert_eq!(words("echo no >&2; exit 2"), "can't be loaded: no");
    let did_not = words("exit 0");
    assert!(did_not.starts_with("can't be loaded: its compiler did not take it: "), "{did_not}");
}

#[test]
fn one_plugin_is_compiled_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, &component(""));
    // A folder can be made once.
    let script = "mkdir turn || exit 3; ls / >/dev/null; ls / >/dev/null; rmdir turn; echo done >&2; exit 2";
    let (engine, started) = engine(folder.path(), script, None);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(words(engine.load(&path).unwrap_err()), "can't be loaded: done"));
        }
    });
    assert_eq!(started.load(Ordering::Relaxed), 8);
}
