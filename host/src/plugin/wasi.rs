//! WASI 0.2 with nothing behind it, as far as the standard libraries of languages ask for it.
//!
//! There are no arguments, no environment, no files, no network, no time but the batch's and no random numbers but
//! those that follow from it. What is written to stdout and stderr is kept for the reason of a trap. Nothing waits. All
//! else that a component imports under `wasi:` is there, and calling it is a trap that names it.

use wasmtime::StoreContextMut;
use wasmtime::component::types::{ComponentExtern, ComponentItem};
use wasmtime::component::{ComponentType, Linker, LinkerInstance, Lower, Resource, ResourceType, WasmList};

use super::instance::{Host, Stopped};

/// The most random bytes that one call gives: more than any seed, little enough not to matter.
const MAX_RANDOM_BYTES: u64 = 64 << 10;
/// What a stream takes at a time.
const STREAM_BYTES: u64 = 64 << 10;

/// Any resource of WASI's. There is nothing behind any of them, so none need be told from another.
struct Handle;

/// `wasi:io/streams#stream-error`
#[derive(ComponentType, Lower)]
#[component(variant)]
enum StreamError {
    #[component(name = "last-operation-failed")]
    #[expect(dead_code, reason = "writing never fails; the case is part of the type")]
    LastOperationFailed(Resource<Handle>),
    #[component(name = "closed")]
    Closed,
}

/// `wasi:clocks/wall-clock#datetime`
#[derive(ComponentType, Lower)]
#[component(record)]
struct Datetime {
    seconds: u64,
    nanoseconds: u32,
}

/// Defines all that a component imports of one WASI interface.
///
/// # Errors
/// For an import that can't be defined. One whose type is not WASI's is found when the component is linked.
pub(super) fn define<'a>(
    linker: &mut Linker<Host>,
    interface: &str,
    items: impl Iterator<Item = (&'a str, ComponentExtern<'a>)>,
) -> wasmtime::Result<()> {
    // Without what is before the first colon and the version: `cli/stderr`.
    let short = interface.trim_start_matches("wasi:");
    let (short, version) = short.split_once('@').unwrap_or((short, ""));
    let mut linker = linker.instance(interface)?;
    for (name, item) in items {
        match item.ty {
            ComponentItem::Resource(_) => {
                linker.resource(name, ResourceType::host::<Handle>(), |_, _| Ok(()))?;
            }
            ComponentItem::ComponentFunc(_) => {
                let known = version.starts_with("0.2.") && define_known(&mut linker, short, name)?;
                if !known {
                    define_trap(&mut linker, interface, name)?;
                }
            }
            // Types need no definition, and what else an interface can't have is refused when it is linked.
            _ => {}
        }
    }
    Ok(())
}

/// A function that stops the plugin, with its name in the reason.
fn define_trap(linker: &mut LinkerInstance<Host>, interface: &str, name: &str) -> wasmtime::Result<()> {
    let interface_name = interface.split('@').next().unwrap_or(interface);
    let why = match interface_name {
        "wasi:clocks/monotonic-clock" | "wasi:io/poll" => "plugins can't wait",
        _ => "plugins have no network, files or environment",
    };
    let reason = format!("the plugin called {interface_name}#{name}: {why}");
    linker.func_new(name, move |_, _, _, _| Err(Stopped::Refused(reason.clone()).into()))
}

/// Defines a function that has an answer; says whether it has.
fn define_known(linker: &mut LinkerInstance<Host>, interface: &str, name: &str) -> wasmtime::Result<bool> {
    match interface {
        "cli/environment" | "cli/exit" | "filesystem/preopens" => define_surroundings(linker, interface, name),
        "cli/stdin"
        | "cli/stdout"
        | "cli/stderr"
        | "cli/terminal-stdin"
        | "cli/terminal-stdout"
        | "cli/terminal-stderr"
        | "io/streams"
        | "io/poll" => define_streams(linker, interface, name),
        "clocks/monotonic-clock" | "clocks/wall-clock" => define_clocks(linker, interface, name),
        "random/random" | "random/insecure" | "random/insecure-seed" => define_random(linker, name),
        _ => Ok(false),
    }
}

fn define_surroundings(linker: &mut LinkerInstance<Host>, interface: &str, name: &str) -> wasmtime::Result<bool> {
    match (interface, name) {
        ("cli/environment", "get-environment") => {
            linker.func_wrap(name, |_, ()| Ok((Vec::<(String, String)>::new(),)))?;
        }
        ("cli/environment", "get-arguments") => linker.func_wrap(name, |_, ()| Ok((Vec::<String>::new(),)))?,
        ("cli/environment", "initial-cwd") => linker.func_wrap(name, |_, ()| Ok((None::<String>,)))?,
        ("cli/exit", "exit") => {
            linker.func_wrap(name, |_, (_,): (Result<(), ()>,)| Err::<(), _>(Stopped::Exited.into()))?;
        }
        ("cli/exit", "exit-with-code") => {
            linker.func_wrap(name, |_, (_,): (u8,)| Err::<(), _>(Stopped::Exited.into()))?;
        }
        ("filesystem/preopens", "get-directories") => {
            linker.func_wrap(name, |_, ()| Ok((Vec::<(Resource<Handle>, String)>::new(),)))?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// Input is at its end, output is kept, and both are always ready: no call waits.
fn define_streams(linker: &mut LinkerInstance<Host>, interface: &str, name: &str) -> wasmtime::Result<bool> {
    type Written = Result<(), StreamError>;
    let handle = || Resource::<Handle>::new_own(0);
    match (interface, name) {
        (_, "get-stdin" | "get-stdout" | "get-stderr") => linker.func_wrap(name, move |_, ()| Ok((handle(),)))?,
        (_, "get-terminal-stdin" | "get-terminal-stdout" | "get-terminal-stderr") => {
            linker.func_wrap(name, |_, ()| Ok((None::<Resource<Handle>>,)))?;
        }
        ("io/streams", "[method]input-stream.read" | "[method]input-stream.blocking-read") => {
            linker
                .func_wrap(name, |_, (_, _): (Resource<Handle>, u64)| Ok((Err::<Vec<u8>, _>(StreamError::Closed),)))?;
        }
        ("io/streams", "[method]input-stream.skip" | "[method]input-stream.blocking-skip") => {
            linker.func_wrap(name, |_, (_, _): (Resource<Handle>, u64)| Ok((Err::<u64, _>(StreamError::Closed),)))?;
        }
        ("io/streams", "[method]output-stream.check-write") => {
            linker.func_wrap(name, |_, (_,): (Resource<Handle>,)| Ok((Ok::<_, StreamError>(STREAM_BYTES),)))?;
        }
        ("io/streams", "[method]output-stream.write" | "[method]output-stream.blocking-write-and-flush") => {
            let write = |mut store: StoreContextMut<Host>, (_, bytes): (Resource<Handle>, WasmList<u8>)| {
                let mut output = std::mem::take(&mut store.data_mut().output);
                output.push(bytes.as_le_slice(&store));
                store.data_mut().output = output;
                Ok((Written::Ok(()),))
            };
            linker.func_wrap(name, write)?;
        }
        ("io/streams", "[method]output-stream.flush" | "[method]output-stream.blocking-flush") => {
            linker.func_wrap(name, |_, (_,): (Resource<Handle>,)| Ok((Written::Ok(()),)))?;
        }
        ("io/streams", "[method]input-stream.subscribe" | "[method]output-stream.subscribe") => {
            linker.func_wrap(name, move |_, (_,): (Resource<Handle>,)| Ok((handle(),)))?;
        }
        ("io/poll", "[method]pollable.ready") => {
            linker.func_wrap(name, |_, (_,): (Resource<Handle>,)| Ok((true,)))?;
        }
        ("io/poll", "[method]pollable.block") => linker.func_wrap(name, |_, (_,): (Resource<Handle>,)| Ok(()))?,
        ("io/poll", "poll") => {
            linker.func_wrap(name, |_, (pollables,): (Vec<Resource<Handle>>,)| {
                Ok(((0..pollables.len() as u32).collect::<Vec<u32>>(),))
            })?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// Both clocks stand still at the batch's time for as long as a call takes.
fn define_clocks(linker: &mut LinkerInstance<Host>, interface: &str, name: &str) -> wasmtime::Result<bool> {
    /// Since 1970, in milliseconds, which is also what both clocks resolve.
    fn now(store: &StoreContextMut<Host>) -> u64 {
        u64::try_from(store.data().now.timestamp_ms).unwrap_or(0)
    }
    match (interface, name) {
        ("clocks/monotonic-clock", "now") => {
            linker.func_wrap(name, |store, ()| Ok((now(&store).saturating_mul(1_000_000),)))?;
        }
        ("clocks/monotonic-clock", "resolution") => linker.func_wrap(name, |_, ()| Ok((1_000_000u64,)))?,
        ("clocks/wall-clock", "now") => linker.func_wrap(name, |store, ()| {
            let now = now(&store);
            Ok((Datetime { seconds: now / 1000, nanoseconds: (now % 1000) as u32 * 1_000_000 },))
        })?,
        ("clocks/wall-clock", "resolution") => {
            linker.func_wrap(name, |_, ()| Ok((Datetime { seconds: 0, nanoseconds: 1_000_000 },)))?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn define_random(linker: &mut LinkerInstance<Host>, name: &str) -> wasmtime::Result<bool> {
    match name {
        "get-random-u64" | "get-insecure-random-u64" => {
            linker.func_wrap(name, |mut store, ()| Ok((random(&mut store),)))?;
        }
        "insecure-seed" => linker.func_wrap(name, |mut store, ()| Ok(((random(&mut store), random(&mut store)),)))?,
        "get-random-bytes" | "get-insecure-random-bytes" => {
            linker.func_wrap(name, |mut store, (length,): (u64,)| {
                if length > MAX_RANDOM_BYTES {
                    let reason = format!("the plugin asked for {length} random bytes at once");
                    return Err(Stopped::Refused(reason).into());
                }
                let length = length as usize;
                let mut bytes: Vec<u8> =
                    (0..length.div_ceil(8)).flat_map(|_| random(&mut store).to_le_bytes()).collect();
                bytes.truncate(length);
                Ok((bytes,))
            })?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// SplitMix64 (Steele, Lea and Flood, 2014): all that a hash map's keys or a sample need. Nothing here is secret.
fn random(store: &mut StoreContextMut<Host>) -> u64 {
    let state = &mut store.data_mut().random;
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
