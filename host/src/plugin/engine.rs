//! The WebAssembly engine that all plugins of a process share, and the clock that stops those that take too long.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use wasmtime::component::Component;
use wasmtime::{Config, EngineWeak};

use super::PluginError;
use super::cache::Cache;
use super::compiler::Compiler;

/// How often running plugins are checked against their time limit.
const TICK: Duration = Duration::from_millis(10);

/// Stack for a plugin's calls. It is the stack of the thread that calls: such threads need a stack of at least 2 MiB,
/// which is what Rust gives them.
const STACK_BYTES: usize = 1 << 20;

/// Compiles and runs plugins. Cheap to clone; ends with the last clone and the last plugin that it loaded.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

struct Shared {
    wasm: wasmtime::Engine,
    cache: Option<Cache>,
    compiler: Compiler,
    /// After `wasm`, of which it holds a weak reference.
    _ticker: Ticker,
}

impl Engine {
    /// An engine that keeps compiled plugins in the folder `cache`, or compiles them anew each time. It compiles in this process.
    ///
    /// The folder is made if it isn't there, and made private to this user.
    ///
    /// # Errors
    /// [`PluginError::Engine`] if the folder is someone else's or can't be written, or the machine can't run plugins.
    pub fn new(cache: Option<PathBuf>) -> Result<Self, PluginError> {
        Self::with(cache, Compiler::new(None))
    }

    /// The same, and it compiles in a process of its own, so that this one has its memory and time for records. `compiler` makes the command
    /// whose process calls [`super::compile_for_parent`]; it must be this very program: what it answers is run as machine code.
    ///
    /// # Errors
    /// As [`Engine::new`].
    pub fn with_compiler(
        cache: Option<PathBuf>,
        compiler: impl Fn() -> Command + Send + Sync + 'static,
    ) -> Result<Self, PluginError> {
        Self::with(cache, Compiler::new(Some(Box::new(compiler))))
    }

    fn with(cache: Option<PathBuf>, compiler: Compiler) -> Result<Self, PluginError> {
        let mut config = Config::new();
        config.epoch_interruption(true);
        // No plugin can wait for anything, so there is nothing to run concurrently within one.
        config.concurrency_support(false);
        config.max_wasm_stack(STACK_BYTES);
        // What the limits and the interface count in 32 bits stays in 32 bits.
        config.wasm_memory64(false);
        // The same input gives the same output on every machine.
        config.relaxed_simd_deterministic(true);
        let wasm = wasmtime::Engine::new(&config).map_err(|error| PluginError::Engine(format!("{error:#}")))?;
        let cache = cache.map(|folder| Cache::open(folder, &wasm)).transpose()?;
        let _ticker = Ticker::start(wasm.weak()).map_err(|error| PluginError::Engine(error.to_string()))?;
        Ok(Self { shared: Arc::new(Shared { wasm, cache, compiler, _ticker }) })
    }

    pub(super) fn wasm(&self) -> &wasmtime::Engine {
        &self.shared.wasm
    }

    /// A plugin that was compiled before, by its digest.
    pub(super) fn cached(&self, digest: &str) -> Option<Component> {
        self.shared.cache.as_ref()?.get(&self.shared.wasm, digest)
    }

    /// Compiles a plugin when nobody else in this process does, and keeps what comes out; `Err` says why nothing does.
    pub(super) fn compile(&self, digest: &str, file: &[u8]) -> Result<Component, String> {
        let Shared { wasm, cache, compiler, .. } = &*self.shared;
        let _turn = compiler.turn();
        // Another pipeline may have asked for the same.
        if let Some(component) = self.cached(digest) {
            return Ok(component);
        }
        let code = compiler.compile(self, file)?;
        // SAFETY: this runs machine code that came from wasmtime's own `precompile_component` a moment ago, with the same
        // configuration: in this process, or in one that this program was started as again, whose stdout is a pipe that nobody else has
        // (the contract of `with_compiler`). One that ended before it had answered whole did not end with 0, and `compile` gave no code.
        // The header that wasmtime checks says that it was made for this engine, version and processor.
        let component = unsafe { Component::deserialize(wasm, &code) }
            .map_err(|error| format!("its compiled code can't be used: {error:#}"))?;
        if let Some(cache) = cache {
            cache.put(digest, &code);
        }
        Ok(component)
    }
}

/// The deadline of a call that may take `limit`, in ticks from now; never less than `limit`.
pub(super) fn ticks(limit: Duration) -> u64 {
    // One more, since the tick that is under way may end at once.
    let ticks = limit.as_nanos().div_ceil(TICK.as_nanos()) + 1;
    // Half of the range, as the engine adds it to the ticks so far; 10^18 ticks are beyond any uptime.
    u64::try_from(ticks).unwrap_or(u64::MAX).min(u64::MAX / 2)
}

/// The thread that counts ticks. It ends when this is dropped.
struct Ticker {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    fn start(engine: EngineWeak) -> std::io::Result<Self> {
        let (stop, stopped) = mpsc::channel::<()>();
        let count = move || {
            while stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                match engine.upgrade() {
                    Some(engine) => engine.increment_epoch(),
                    None => return,
                }
            }
        };
        let thread = thread::Builder::new().name("plugin-clock".to_owned()).spawn(count)?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        // The thread waits on the other end of this, so it wakes at once.
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // It never panics, and there would be nobody to tell.
            let _ = thread.join();
        }
    }
}
