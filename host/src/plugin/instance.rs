//! One running plugin: its store, what it may use of the host, and what its failures are called.

use std::sync::Arc;

use wasmtime::component;
use wasmtime::{ResourceLimiter, Store, Trap};

use super::limits::human;
use super::log::{self, Lines};
use super::output::LastOutput;
use super::secrets::Secrets;
use super::{ApplyError, Limits, Plugin, engine};

/// Instances, memories and tables that one plugin may be made of. Those of Python, the largest, are under a hundred.
const MAX_INSTANCES: usize = 1000;
const MAX_TABLES: usize = 1000;
const MAX_MEMORIES: usize = 32;
/// What wasmtime keeps for an element of a table.
const TABLE_ELEMENT_BYTES: usize = size_of::<usize>();
/// Longer reasons, of rejections as of traps, are cut.
pub(super) const MAX_REASON_BYTES: usize = 1000;

/// What a plugin's clock and random numbers are made from, so that its answer depends on its input alone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BatchTime {
    /// The time that the plugin sees for as long as the call takes, milliseconds since 1970-01-01T00:00:00Z.
    pub timestamp_ms: i64,
    /// Where its random numbers begin.
    pub seed: u64,
}

/// The host as one instance sees it.
pub(super) struct Host {
    pub(super) lines: Arc<Lines>,
    /// Taken out of all that the plugin says.
    pub(super) secrets: Secrets,
    pub(super) now: BatchTime,
    /// State of the random numbers.
    pub(super) random: u64,
    /// What it wrote to stdout and stderr in this call.
    pub(super) output: LastOutput,
    memory: Memory,
}

/// An instance of a plugin, with the limits that it runs under. `G` is what it exports.
pub(super) struct Instance<G> {
    store: Store<Host>,
    guest: G,
    limits: Limits,
}

impl<G> Instance<G> {
    /// An instance of which `load` finds the exports.
    pub(super) fn new(
        plugin: &Plugin,
        limits: &Limits,
        secrets: &Secrets,
        load: impl FnOnce(&mut Store<Host>, &component::Instance) -> wasmtime::Result<G>,
    ) -> Result<Self, ApplyError> {
        let host = Host {
            lines: Arc::clone(&plugin.lines),
            secrets: secrets.clone(),
            now: BatchTime::default(),
            random: 0,
            output: LastOutput::default(),
            memory: Memory { used: 0, growing: 0, limit: usize::try_from(limits.memory).unwrap_or(usize::MAX) },
        };
        let mut store = Store::new(plugin.engine.wasm(), host);
        store.limiter(|host| &mut host.memory);
        // Counts every byte that a call hands to the host, as often as it is handed over: lists that overlap in
        // the plugin's memory can't grow into more than this here.
        store.set_hostcall_fuel(usize::try_from(limits.output).unwrap_or(usize::MAX));
        store.set_epoch_deadline(engine::ticks(limits.time));
        match plugin.pre.instantiate(&mut store).and_then(|instance| load(&mut store, &instance)) {
            Ok(guest) => Ok(Self { store, guest, limits: limits.clone() }),
            Err(error) => Err(failure(&error, store.data(), limits)),
        }
    }

    /// Calls one of its exports, within its limits.
    pub(super) fn call<R>(
        &mut self,
        now: BatchTime,
        call: impl FnOnce(&G, &mut Store<Host>) -> wasmtime::Result<R>,
    ) -> Result<R, ApplyError> {
        self.store.set_epoch_deadline(engine::ticks(self.limits.time));
        let host = self.store.data_mut();
        host.now = now;
        host.random = now.seed;
        host.output.clear();
        let result = call(&self.guest, &mut self.store);
        let host = self.store.data();
        result.map_err(|error| failure(&error, host, &self.limits))
    }

    /// Whether it uses so much of its memory that it should be replaced before it fails.
    pub(super) fn has_grown(&self) -> bool {
        let memory = &self.store.data().memory;
        memory.used > memory.limit / 2
    }
}

/// Why the host stopped a plugin, in words that are shown as they are.
#[derive(Debug, thiserror::Error)]
pub(super) enum Stopped {
    #[error("memory limit of {} exceeded", human(*.0 as u64))]
    Memory(usize),
    #[error("the plugin exited")]
    Exited,
    #[error("{0}")]
    Refused(String),
}

/// What a failed call is called. Panics and the like are found in what the plugin wrote last.
fn failure(error: &wasmtime::Error, host: &Host, limits: &Limits) -> ApplyError {
    let secrets = &host.secrets;
    tracing::debug!(error = format!("{error:?}"), output = host.output.text(secrets), "a plugin failed");
    let last_words = host.output.last_words(secrets);
    let reason = match (error.downcast_ref(), error.downcast_ref()) {
        (_, Some(Trap::Interrupt)) => {
            return ApplyError::TimedOut(humantime::format_duration(limits.time).to_string());
        }
        (Some(Stopped::Exited), _) => {
            last_words.map_or_else(|| Stopped::Exited.to_string(), |words| format!("{}: {words}", Stopped::Exited))
        }
        (Some(stopped), _) => stopped.to_string(),
        (None, Some(trap)) => {
            let trap = trap.to_string();
            last_words.unwrap_or_else(|| trap.trim_start_matches("wasm trap: ").to_owned())
        }
        (None, None) => {
            let cause = error.root_cause().to_string();
            // wasmtime keeps the type of this error to itself.
            if cause.contains("fuel allocated for hostcalls has been exhausted") {
                return ApplyError::Invalid(format!("more than its output limit of {}", human(limits.output)));
            }
            cause
        }
    };
    ApplyError::Trap(log::reason(&reason, secrets, "without words that can be shown"))
}

/// Memory of one instance: all of its linear memories and tables.
struct Memory {
    /// bytes
    used: usize,
    /// bytes that were granted last and are taken back if they can't be had
    growing: usize,
    /// bytes
    limit: usize,
}

impl Memory {
    /// A trap instead of a failed allocation: what a language's runtime makes of that says little.
    fn grow(&mut self, by: usize) -> wasmtime::Result<bool> {
        self.growing = by;
        self.used = self.used.saturating_add(by);
        if self.used > self.limit {
            return Err(Stopped::Memory(self.limit).into());
        }
        Ok(true)
    }

    fn take_back(&mut self) -> wasmtime::Result<()> {
        self.used -= std::mem::take(&mut self.growing);
        Ok(())
    }
}

impl ResourceLimiter for Memory {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        self.grow(desired.saturating_sub(current))
    }

    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.take_back()
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        self.grow(desired.saturating_sub(current).saturating_mul(TABLE_ELEMENT_BYTES))
    }

    fn table_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.take_back()
    }

    fn instances(&self) -> usize {
        MAX_INSTANCES
    }

    fn tables(&self) -> usize {
        MAX_TABLES
    }

    fn memories(&self) -> usize {
        MAX_MEMORIES
    }
}
