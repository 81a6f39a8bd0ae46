//! A `rillgate` whose CPU time and memory are measured. Linux tells both in /proc, of a process that has ended too, until it
//! is waited for.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Unit of times in /proc/*/stat: Linux promises a hundred a second to programs, whatever it counts in.
const TICKS_PER_SECOND: f64 = 100.0;
/// How often the process is looked at, which is how exact the wall time is.
const TICK: Duration = Duration::from_millis(5);

/// What a run took.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// Seconds from its start to its end.
    pub wall: f64,
    /// Seconds of CPU, user and system, of all its threads.
    pub cpu: f64,
    /// Most memory that it ever had resident, in MiB.
    pub memory: f64,
}

/// Runs the command to its end; panics, showing what it wrote to `log`, where it fails.
pub fn measure(command: &mut Command, log: &Path) -> Usage {
    let file = File::create(log).expect("a file for what it writes");
    let begin = Instant::now();
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file).spawn().expect("it starts");
    let folder = Path::new("/proc").join(child.id().to_string());
    let mut memory = 0.0_f64;
    let (wall, cpu) = loop {
        let stat = fs::read_to_string(folder.join("stat")).expect("a process that was not waited for");
        // Its name may hold spaces, and ends with the last parenthesis: the state comes next.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        if fields[0] == "Z" {
            let ticks = |field: &str| field.parse::<f64>().expect("a number of ticks");
            break (begin.elapsed().as_secs_f64(), (ticks(fields[11]) + ticks(fields[12])) / TICKS_PER_SECOND);
        }
        // The kernel keeps the most there was; what is lost is what came after the last look.
        memory = memory.max(peak(&folder).unwrap_or_default());
        std::thread::sleep(TICK);
    };
    let status = child.wait().expect("it has ended");
    let written = fs::read_to_string(log).unwrap_or_default();
    assert!(status.success(), "{status}; it wrote:\n{written}");
    Usage { wall, cpu, memory }
}

/// Most memory resident so far, in MiB; nothing of a process that is ending.
fn peak(folder: &Path) -> Option<f64> {
    let status = fs::read_to_string(folder.join("status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse::<f64>().ok().map(|kib| kib / 1024.0)
}
