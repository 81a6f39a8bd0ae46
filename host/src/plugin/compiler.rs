//! Compiling in a process of its own, one plugin at a time: the memory and the time that it takes are not those of the host, which has
//! records to process meanwhile.
//!
//! The host writes the component's length and the component to the child's stdin, and keeps that open for as long as it waits: a child
//! that sees the end of it has no host any more, and ends. Its answer is compiled code on stdout, or a reason on stderr and [`REFUSED`].

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{self, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use rustix::process::{Resource, Rlimit, getrlimit, nice, setrlimit};
use wasmtime::OutOfMemory;

use super::engine::Engine;
use super::limits::human;

/// Memory that compiling may take: private and writable, as `RLIMIT_DATA` counts it. The address space would be the wrong thing to
/// bound: the C library sets 64 MiB of it aside for each thread, unused.
///
/// The largest plugins that are known, interpreters of Python and JavaScript with their libraries (12 to 18 MiB), take 520 MiB on two cores.
/// Four times that leaves room for more code, and for more cores, on which more functions are compiled at once.
const MAX_BYTES: u64 = 2 << 30;
/// Processor time that compiling may take: such interpreters take 15 s.
const MAX_SECONDS: u64 = 300;
/// What the child lowers its priority by, so that the workers' threads come first.
const NICE: i32 = 10;
/// The exit code of a child that says why on stderr: that of the command line for bad input.
const REFUSED: i32 = 2;

/// Who compiles.
pub(super) struct Compiler {
    /// Makes the command that compiles. None: this process does it by itself.
    command: Option<Box<dyn Fn() -> Command + Send + Sync>>,
    turn: Mutex<()>,
}

impl Compiler {
    pub(super) fn new(command: Option<Box<dyn Fn() -> Command + Send + Sync>>) -> Self {
        Self { command, turn: Mutex::new(()) }
    }

    /// Whoever holds it is the only one in this process who has something compiled.
    pub(super) fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The compiled code of a component, or why there is none.
    pub(super) fn compile(&self, engine: &Engine, component: &[u8]) -> Result<Vec<u8>, String> {
        match &self.command {
            Some(command) => compile_in_child(command(), component),
            None => compile(engine, component),
        }
    }
}

fn compile(engine: &Engine, component: &[u8]) -> Result<Vec<u8>, String> {
    engine.wasm().precompile_component(component).map_err(|error| match error.is::<OutOfMemory>() {
        true => too_much_memory(),
        false => format!("it is no valid component: {error:#}"),
    })
}

fn compile_in_child(mut command: Command, component: &[u8]) -> Result<Vec<u8>, String> {
    // Nothing that is said to the host is a compiler's business, passwords least of all.
    command.env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("its compiler can't be started: {error}"))?;
    let mut stdin = child.stdin.take();
    let sent = stdin.as_mut().map_or(Ok(()), |stdin| {
        stdin.write_all(&(component.len() as u64).to_le_bytes()).and_then(|()| stdin.write_all(component))
    });
    let output = child.wait_with_output().map_err(|error| format!("its compiler can't be heard: {error}"))?;
    // Not before: it ends when this does.
    drop(stdin);
    let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    match (output.status.code(), sent) {
        (Some(0), Ok(())) => Ok(output.stdout),
        (Some(0), Err(error)) => Err(format!("its compiler did not take it: {error}")),
        (Some(REFUSED), _) => Err(words),
        // What could not be sent is a consequence.
        _ => Err(why(output.status, &words)),
    }
}

/// Why a child ended in the middle.
fn why(status: ExitStatus, words: &str) -> String {
    match status.signal() {
        Some(libc::SIGXCPU) => format!("compiling it took more than {MAX_SECONDS} s of processor time"),
        // That is how Rust's programs end that get no memory.
        Some(libc::SIGABRT) => too_much_memory(),
        Some(libc::SIGKILL) => {
            "compiling it was stopped by SIGKILL, which is what the system sends when memory is short".to_owned()
        }
        _ => format!("compiling it failed with {status}: {words}"),
    }
}

fn too_much_memory() -> String {
    format!("compiling it took more memory than it may, which is {} at most", human(MAX_BYTES))
}

/// The child's part: reads a component from stdin and writes its compiled code to stdout. Ends the process when its parent is gone.
///
/// # Errors
/// The reason, for whoever wrote the plugin.
pub fn compile_for_parent() -> Result<(), String> {
    limit_this_process().map_err(|error| format!("its compiler can't be kept within bounds: {error}"))?;
    let component =
        read_component(&mut io::stdin()).map_err(|error| format!("its compiler did not get it: {error}"))?;
    let watch = || {
        // The parent sends nothing more: this returns when it is gone.
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        process::exit(1);
    };
    let watch = thread::Builder::new().name("parent".to_owned()).spawn(watch);
    watch.map_err(|error| format!("its compiler can't watch for the end: {error}"))?;
    let engine = Engine::new(None).map_err(|error| error.to_string())?;
    let code = compile(&engine, &component)?;
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(&code).and_then(|()| stdout.flush());
    written.map_err(|error| format!("nobody takes what was compiled: {error}"))
}

fn read_component(stdin: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut length = [0; size_of::<u64>()];
    stdin.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    let mut component = Vec::new();
    stdin.take(length).read_to_end(&mut component)?;
    if (component.len() as u64) < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(component)
}

/// Sets the bounds for what this process will do, which has no other thread yet.
fn limit_this_process() -> io::Result<()> {
    lower(Resource::Data, MAX_BYTES)?;
    lower(Resource::Cpu, MAX_SECONDS)?;
    // A compiler that dies at its bounds leaves no gigabytes behind.
    lower(Resource::Core, 0)?;
    nice(NICE)?;
    // Where memory is short this goes first, and not the host. Other systems than Linux have no such thing.
    let _ = fs::write("/proc/self/oom_score_adj", "1000");
    Ok(())
}

/// Lowers a limit, if it isn't lower. The hard one stays: at that of processor time the end is a SIGKILL, which doesn't say why.
fn lower(resource: Resource, most: u64) -> io::Result<()> {
    let limit = getrlimit(resource);
    let current = limit.current.map_or(most, |current| current.min(most));
    Ok(setrlimit(resource, Rlimit { current: Some(current), ..limit })?)
}
