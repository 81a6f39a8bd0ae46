//! The `rillgate` command as a process: started, signalled, killed, awaited.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::kafka::Cluster;
use super::servers::target;
use super::store::Place;

/// A pipelines.toml in a folder of its own.
#[derive(Debug, Clone)]
pub struct Config {
    folder: Arc<tempfile::TempDir>,
}

impl Config {
    /// `pipelines` are the sections `[pipeline...]`, as they stand.
    pub fn new(cluster: &Cluster, place: &Place, pipelines: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("rillgate-config-").tempdir().unwrap();
        // Many hosts run side by side in the tests: each listens where there is room.
        let http = "[http]\nlisten = \"127.0.0.1:0\"\n";
        let toml = format!("{}\n{}\n{http}\n{pipelines}", cluster.toml(), place.toml());
        std::fs::write(folder.path().join("pipelines.toml"), toml).unwrap();
        Self { folder: Arc::new(folder) }
    }

    /// Where the file is.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("pipelines.toml")
    }

    /// Starts `rillgate run`, which goes on until it is told to stop.
    pub fn run(&self) -> Host {
        self.host(&["run"])
    }

    /// The same, and its log says more (`RILLGATE_LOG`).
    pub fn run_logging(&self, filter: &str) -> Host {
        self.host_with(&["run"], &[("RILLGATE_LOG", filter)])
    }

    /// Runs until everything that the topics had at the start is committed. Panics if that fails or takes longer than `bound`.
    pub fn catch_up(&self, bound: Duration) {
        self.host(&["run", "--until-caught-up"]).ends_within(bound).expect_code(0);
    }

    /// `rillgate verify`; panics unless the log and the tables agree.
    pub fn verify(&self) {
        self.host(&["verify"]).ends_within(Duration::from_secs(120)).expect_code(0);
    }

    /// Starts the command with these arguments and this configuration.
    pub fn host(&self, arguments: &[&str]) -> Host {
        self.host_with(arguments, &[])
    }

    /// The same with these variables in its environment.
    pub fn host_with(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Host {
        let path = self.path();
        let mut all: Vec<&str> = arguments.to_vec();
        all.extend(["--config", path.to_str().unwrap()]);
        Host::start_with(&all, environment)
    }
}

/// A running `rillgate`; killed when dropped.
#[derive(Debug)]
pub struct Host {
    child: Child,
    written: Arc<Mutex<String>>,
    /// Says nothing, and ends when the process has closed its output.
    closed: Receiver<()>,
}

/// How a `rillgate` ended.
#[derive(Debug)]
pub struct Ended {
    /// The exit code; `None` after a signal.
    pub code: Option<i32>,
    /// What it wrote, both streams.
    pub output: String,
}

impl Ended {
    /// Panics, showing the output, if it ended otherwise.
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "exit code; it wrote:\n{}", tail(&self.output));
        self
    }

    /// Panics, showing the output, unless it wrote `text` (in upper or lower case).
    #[track_caller]
    pub fn expect_output(self, text: &str) -> Self {
        assert!(self.output.to_lowercase().contains(&text.to_lowercase()), "no {text:?} in:\n{}", tail(&self.output));
        self
    }
}

impl Host {
    /// Starts `rillgate` with these arguments: the one that `RILLGATE_BIN` names, or what was built beside this test.
    pub fn start(arguments: &[&str]) -> Self {
        Self::start_with(arguments, &[])
    }

    /// The same with these variables in its environment.
    pub fn start_with(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(binary());
        command.args(arguments).envs(environment.iter().copied());
        Self::spawn(command)
    }

    /// The same as [`Host::start`], of a process whose files may be limited later: a write that is too much fails, as on a full
    /// disk, where it would end the process otherwise.
    pub fn start_limitable(arguments: &[&str]) -> Self {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(binary()).args(arguments);
        Self::spawn(command)
    }

    /// The same as [`Host::start_with`], of a process that gets so much memory (private and writable) and no more, and so do its children.
    pub fn start_confined(arguments: &[&str], memory_mib: u64, environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new("prlimit");
        command.arg(format!("--data={}", memory_mib << 20)).arg(binary()).args(arguments);
        command.envs(environment.iter().copied());
        Self::spawn(command)
    }

    fn spawn(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let written = Arc::new(Mutex::new(String::new()));
        let (open, closed) = mpsc::channel::<()>();
        collect(child.stderr.take().unwrap(), &written, open.clone());
        collect(child.stdout.take().unwrap(), &written, open);
        Self { child, written, closed }
    }

    /// How it ends, if it does so within `bound`.
    pub fn ends(&mut self, bound: Duration) -> Option<Ended> {
        match self.closed.recv_timeout(bound) {
            Err(RecvTimeoutError::Timeout) => None,
            Ok(()) | Err(RecvTimeoutError::Disconnected) => {
                let code = self.child.wait().unwrap().code();
                Some(Ended { code, output: self.output() })
            }
        }
    }

    /// How it ends; panics if it doesn't within `bound`.
    #[track_caller]
    pub fn ends_within(mut self, bound: Duration) -> Ended {
        let ended = self.ends(bound);
        ended.unwrap_or_else(|| panic!("still running after {bound:?}; it wrote:\n{}", tail(&self.output())))
    }

    /// Lets it run for `time`, then kills it (SIGKILL). Panics if it ends by itself before.
    #[track_caller]
    pub fn kill_after(mut self, time: Duration) {
        if let Some(ended) = self.ends(time) {
            panic!("ended by itself with {:?}; it wrote:\n{}", ended.code, tail(&ended.output));
        }
        self.kill();
    }

    /// Kills it (SIGKILL), and returns when it is gone, with what it wrote; the code tells whether it had ended by itself.
    pub fn kill(mut self) -> Ended {
        self.child.kill().unwrap();
        self.ends_within(Duration::from_secs(30))
    }

    /// Asks it to stop (SIGTERM) and expects that it does so in order; returns what it wrote.
    #[track_caller]
    pub fn stop(self) -> String {
        self.signal("TERM");
        self.ends_within(Duration::from_secs(60)).expect_code(0).output
    }

    /// Sends a signal: `TERM`, `HUP`, `STOP`, `CONT`, `KILL`.
    pub fn signal(&self, name: &str) {
        assert!(signal(self.pid(), name), "no process to send {name} to");
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The memory that it has now, in MiB, rounded up; `None` once it has ended.
    pub fn memory_mib(&self) -> Option<u64> {
        self.status_mib("VmRSS:")
    }

    /// The most memory that it has had so far, in MiB, rounded up; `None` once it has ended.
    pub fn peak_mib(&self) -> Option<u64> {
        self.status_mib("VmHWM:")
    }

    fn status_mib(&self, name: &str) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()?.div_ceil(1024))
    }

    /// Its metrics, as Prometheus gets them.
    pub fn metrics(&self) -> String {
        let (status, answer) = self.ask("GET", "/metrics", &[]);
        assert_eq!(status, 200, "{answer}");
        answer
    }

    /// Where its HTTP side listens, once it does.
    pub fn url(&self) -> String {
        super::wait::until(Duration::from_secs(30), "the address of its page", || {
            let output = self.output();
            let (_, rest) = output.split_once("http://")?;
            rest.split_once("/ shows the pipelines").map(|(address, _)| format!("http://{address}"))
        })
    }

    /// Asks its HTTP side as an operator does; returns the status and the body.
    pub fn ask(&self, method: &str, path: &str, body: &[u8]) -> (u16, String) {
        let url = self.url();
        let address = url.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).unwrap();
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nx-rillgate: 1\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        (status.unwrap_or_else(|| panic!("no status in {answer:?}")), body.to_owned())
    }

    /// The sum of a metric over its labels; 0 where there is none.
    pub fn metric(&self, name: &str) -> f64 {
        let of = |line: &str| line.strip_prefix(name)?.strip_prefix('{')?.split_once("} ")?.1.parse::<f64>().ok();
        self.metrics().lines().filter_map(of).sum()
    }

    /// What it has written so far, both streams.
    pub fn output(&self) -> String {
        self.written.lock().unwrap().clone()
    }

    /// Panics, showing what it wrote, if it has ended.
    #[track_caller]
    pub fn expect_running(&mut self) {
        if let Some(ended) = self.ends(Duration::ZERO) {
            panic!("ended with {:?}; it wrote:\n{}", ended.code, tail(&ended.output));
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("a host wrote:\n{}", tail(&self.output()));
        }
        // Both fail when it has ended already, which is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal to a process; `false` if there is none any more.
pub fn signal(pid: u32, name: &str) -> bool {
    Command::new("kill").args([format!("-{name}"), pid.to_string()]).stderr(Stdio::null()).status().unwrap().success()
}

/// Lets a process have so many seconds of processor time; it is told when they are over (SIGXCPU).
pub fn limit_processor_time(pid: u32, seconds: u64) {
    let limited = Command::new("prlimit").args(["--pid", &pid.to_string(), &format!("--cpu={seconds}:")]).status();
    assert!(limited.expect("prlimit, of util-linux").success());
}

/// Limits the size to which a process may write files from now on; `None` is no limit.
pub fn limit_file_size(pid: u32, bytes: Option<u64>) {
    let limit = bytes.map_or("unlimited".to_owned(), |bytes| bytes.to_string());
    // The soft limit alone: what is lowered may be raised again.
    let limited = Command::new("prlimit").args(["--pid", &pid.to_string(), &format!("--fsize={limit}:")]).status();
    assert!(limited.expect("prlimit, of util-linux").success());
}

/// The command: the one that `RILLGATE_BIN` names, or what was built beside this test.
pub fn binary() -> PathBuf {
    let binary = std::env::var_os("RILLGATE_BIN").map_or_else(|| target().join("release/rillgate"), PathBuf::from);
    assert!(binary.is_file(), "{} is missing: run `make build`", binary.display());
    binary
}

/// Gathers the lines of a stream; holds `open` until the stream ends.
fn collect(stream: impl std::io::Read + Send + 'static, written: &Arc<Mutex<String>>, open: mpsc::Sender<()>) {
    let written = Arc::clone(written);
    std::thread::spawn(move || {
        for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
            let mut written = written.lock().unwrap();
            written.push_str(&String::from_utf8_lossy(&line));
            written.push('\n');
        }
        drop(open);
    });
}

/// The last lines of a text: the reason is at the end.
fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(60)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Host {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        Host::spawn(command)
    }

    #[test]
    fn output_and_exit_code_are_seen() {
        let ended = shell("echo out; echo err >&2; exit 3").ends_within(Duration::from_secs(30));
        ended.expect_code(3).expect_output("out").expect_output("ERR");
    }

    #[test]
    fn a_process_that_runs_is_awaited_signalled_and_killed() {
        let mut host = shell("echo ready; exec cat /dev/zero >/dev/null");
        super::super::wait::until(Duration::from_secs(30), "the process", || {
            host.output().contains("ready").then_some(())
        });
        host.expect_running();
        assert!(host.ends(Duration::from_millis(1)).is_none());
        host.signal("STOP");
        host.signal("CONT");
        host.kill_after(Duration::from_millis(1));
    }

    #[test]
    #[should_panic(expected = "ended by itself with Some(0)")]
    fn a_process_that_ends_before_it_is_killed_is_noticed() {
        shell("exit 0").kill_after(Duration::from_secs(30));
    }
}
