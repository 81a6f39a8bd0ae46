//! Processes whose CPU time and memory are measured. Linux tells both in /proc, of a process that has ended too, until it
//! is waited for.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Unit of times in /proc/*/stat: Linux promises a hundred a second to programs, whatever it counts in.
const TICKS_PER_SECOND: f64 = 100.0;
/// How often a process is looked at, which is how exact the wall time is.
const TICK: Duration = Duration::from_millis(5);
/// Memory is at rest when it has not changed by more than this, in MiB, over so many looks.
const REST: (f64, usize) = (0.25, 20);
/// How long is waited for that, and between two looks.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(100);

/// What a run took.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// Seconds from its start to its end.
    pub wall: f64,
    /// Seconds of CPU, user and system, of all its threads and of all its children that it has waited for.
    pub cpu: f64,
    /// Most memory that it ever had resident, in MiB; without that of its children.
    pub memory: f64,
}

/// Runs the command to its end; panics, showing what it wrote to `log`, where it fails.
pub fn measure(command: &mut Command, log: &Path) -> Usage {
    let begin = Instant::now();
    let mut process = Process::start(command, log);
    let mut memory = 0.0_f64;
    let (wall, cpu) = loop {
        let stat = stat(&process.folder);
        if stat[0] == "Z" {
            break (begin.elapsed().as_secs_f64(), cpu(&stat));
        }
        // The kernel keeps the most there was; what is lost is what came after the last look.
        memory = memory.max(process.memory("VmHWM:").unwrap_or_default());
        std::thread::sleep(TICK);
    };
    let status = process.child.wait().expect("it has ended");
    assert!(status.success(), "{status}; it wrote:\n{}", process.written());
    Usage { wall, cpu, memory }
}

/// Seconds of CPU that this process has used so far, in all its threads.
pub fn own_cpu() -> f64 {
    cpu(&stat(Path::new("/proc/self")))
}

/// A process that runs; killed when dropped.
pub struct Process {
    child: Child,
    folder: PathBuf,
    log: PathBuf,
}

impl Process {
    /// Starts it; what it writes to stderr goes to `log`.
    pub fn start(command: &mut Command, log: &Path) -> Self {
        let file = File::create(log).expect("a file for what it writes");
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file).spawn();
        let child = child.unwrap_or_else(|error| panic!("{}: {error}", command.get_program().display()));
        let folder = Path::new("/proc").join(child.id().to_string());
        Self { child, folder, log: log.to_owned() }
    }

    /// What it has written to stderr.
    pub fn written(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Panics, showing what it wrote, if it has ended.
    pub fn expect_running(&mut self) {
        let ended = self.child.try_wait().expect("a child of ours");
        assert!(ended.is_none(), "it has ended; it wrote:\n{}", self.written());
    }

    /// Asks it to end, as an operator does, and waits until it has: the broker knows at once that it has gone.
    pub fn stop(mut self) {
        let asked = Command::new("kill").arg(self.child.id().to_string()).status();
        assert!(asked.is_ok_and(|status| status.success()), "it can't be asked to end");
        let status = self.child.wait().expect("a child of ours");
        assert!(status.success(), "{status}; it wrote:\n{}", self.written());
    }

    /// Memory resident once it doesn't change any more, MiB.
    pub fn memory_at_rest(&mut self) -> f64 {
        let deadline = Instant::now() + PATIENCE;
        let mut seen: Vec<f64> = Vec::new();
        loop {
            self.expect_running();
            seen.push(self.memory("VmRSS:").expect("a process that runs"));
            let last = &seen[seen.len().saturating_sub(REST.1)..];
            let (least, most) = last.iter().fold((f64::MAX, 0.0_f64), |(l, m), value| (l.min(*value), m.max(*value)));
            if last.len() == REST.1 && most - least <= REST.0 {
                return most;
            }
            assert!(Instant::now() < deadline, "its memory does not come to rest: {last:?}");
            std::thread::sleep(LOOK);
        }
    }

    /// A line of /proc/*/status, in MiB; nothing of a process that is ending.
    fn memory(&self, name: &str) -> Option<f64> {
        let status = fs::read_to_string(self.folder.join("status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<f64>().ok().map(|kib| kib / 1024.0)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail when it has ended already, which is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The fields of /proc/*/stat from the state on: its name, before that, may hold spaces, and ends with the last parenthesis.
fn stat(folder: &Path) -> Vec<String> {
    let stat = fs::read_to_string(folder.join("stat")).expect("a process that was not waited for");
    stat.rsplit(')').next().unwrap_or_default().split_whitespace().map(str::to_owned).collect()
}

/// User and system time, its own and of the children that it has waited for, and theirs.
fn cpu(stat: &[String]) -> f64 {
    let ticks = |field: &String| field.parse::<f64>().expect("a number of ticks");
    stat[11..15].iter().map(ticks).sum::<f64>() / TICKS_PER_SECOND
}
