//! Plugins are compiled by a process of its own, which is bounded, comes after the host, knows nothing and ends with it.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use support::host::{Host, limit_processor_time};
use support::wait::{seconds, until};

/// What a host may take that has others compile.
const HOST_PEAK_MIB: u64 = 64;

/// A plugin that is within all bounds and keeps a compiler busy for long, and an empty cache.
struct Slow {
    folder: TempDir,
}

impl Slow {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let sets: String = (0..256).map(|variable| format!("(local.set {variable} (i32.const {variable}))")).collect();
        // In loops, one in another, so that the compiler must expect each value of each variable everywhere.
        let code = format!(
            "{} {sets} {}",
            "loop ".repeat(256),
            (0..256).map(|variable| format!("(br_if 0 (local.get {variable})) end ")).collect::<String>()
        );
        let function = format!("(func (local {}) {code})", "i32 ".repeat(256));
        let text = format!("(component (core module {}))", function.repeat(64));
        fs::write(folder.path().join("slow.wasm"), wat::parse_str(text).unwrap()).unwrap();
        Self { folder }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("slow.wasm")
    }

    fn environment(&self) -> [(&str, &str); 2] {
        [("XDG_CACHE_HOME", self.folder.path().to_str().unwrap()), ("AWS_SECRET_ACCESS_KEY", "hunter2")]
    }

    fn inspect(&self) -> Host {
        Host::start_with(&["plugin", "inspect", self.file().to_str().unwrap()], &self.environment())
    }
}

/// The compiler that a host has started, when it has set its bounds.
fn compiler_of(host: &mut Host) -> u32 {
    until(seconds(60), "the compiler", || {
        host.expect_running();
        let child = children_of(host.pid()).pop()?;
        // The last of them.
        let adjusted = fs::read_to_string(format!("/proc/{child}/oom_score_adj")).ok()?;
        (adjusted.trim() == "1000").then_some(child)
    })
}

fn children_of(parent: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").unwrap();
    let ids = processes.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse::<u32>().ok());
    ids.filter(|id| stat(*id, 4).is_some_and(|of| of == parent.to_string())).collect()
}

/// A field of a process's `stat`, by its number in proc(5). `None` if there is no such process, or only what is left of it.
fn stat(process: u32, field: usize) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // After the name, which is the second and can hold anything.
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    (fields[0] != "Z").then(|| fields[field - 3].to_owned())
}

#[test]
fn the_compiler_is_bounded_and_alone_and_ends_when_its_host_is_killed() {
    let slow = Slow::new();
    let mut host = slow.inspect();
    let compiler = compiler_of(&mut host);
    assert_eq!(stat(compiler, 19).unwrap(), "10", "its priority");
    let limits = fs::read_to_string(format!("/proc/{compiler}/limits")).unwrap();
    for (name, limit) in [("Max data size", 2_u64 << 30), ("Max cpu time", 300), ("Max core file size", 0)] {
        let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        assert_eq!(line.split_whitespace().next(), Some(limit.to_string().as_str()), "{name}");
    }
    assert_eq!(fs::read_to_string(format!("/proc/{compiler}/environ")).unwrap(), "");
    assert_eq!(fs::read(format!("/proc/{compiler}/cmdline")).unwrap(), b"rillgate\0plugin\0compile\0");
    // It is at work, and the host isn't.
    until(seconds(60), "the compiler at work", || {
        let ticks: u64 = stat(compiler, 14).expect("the compiler").parse().unwrap();
        (ticks > 50).then_some(())
    });
    let peak = host.peak_mib().unwrap();
    assert!((1..=HOST_PEAK_MIB).contains(&peak), "the host took {peak} MiB; {HOST_PEAK_MIB} are stated");
    host.kill();
    until(seconds(60), "the end of the compiler", || stat(compiler, 4).is_none().then_some(()));
}

#[test]
fn what_takes_too_long_to_compile_is_refused() {
    let slow = Slow::new();
    let mut host = slow.inspect();
    limit_processor_time(compiler_of(&mut host), 1);
    let ended = host.ends_within(seconds(60)).expect_code(2);
    ended.expect_output("slow.wasm can't be loaded: compiling it took more than 300 s of processor time");
}

#[test]
fn what_takes_too_much_memory_to_compile_is_refused() {
    let slow = Slow::new();
    let file = slow.file();
    let host = Host::start_confined(&["plugin", "inspect", file.to_str().unwrap()], 64, &slow.environment());
    let ended = host.ends_within(seconds(600)).expect_code(2);
    ended.expect_output("slow.wasm can't be loaded: compiling it took more memory than it may, which is 2 GiB at most");
}

#[test]
fn what_can_not_be_compiled_is_refused_in_the_words_of_the_compiler() {
    let slow = Slow::new();
    // Code of a type that it doesn't have, which nothing looks at before the compiler does.
    let wrong = wat::parse_str("(component (core module (func (result i32) (i64.const 1))))").unwrap();
    fs::write(slow.file(), wrong).unwrap();
    let ended = slow.inspect().ends_within(seconds(60)).expect_code(2);
    ended.expect_output("slow.wasm can't be loaded: it is no valid component: ").expect_output("type mismatch");
}

/// Half of what was promised, as from a host that dies.
#[test]
fn a_compiler_whose_host_ends_in_the_middle_of_a_component_ends() {
    let mut command = Command::new(support::host::binary());
    command.args(["plugin", "compile"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut compiler = command.spawn().unwrap();
    let mut stdin = compiler.stdin.take().unwrap();
    stdin.write_all(&100_u64.to_le_bytes()).unwrap();
    stdin.write_all(b"\0asm").unwrap();
    drop(stdin);
    let output = compiler.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stdout), (Some(2), Vec::new()));
    let words = String::from_utf8(output.stderr).unwrap();
    assert!(words.starts_with("its compiler did not get it: "), "{words}");
}
