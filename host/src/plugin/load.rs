//! Loading a plugin: what is in the file, of what kind it is, and what it asks for.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use sha2::{Digest, Sha256};
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, InstancePre, Linker};

use super::engine::Engine;
use super::instance::Host;
use super::limits::human;
use super::log::{self, Lines};
use super::{PluginError, bounds, wasi};

/// The package whose interfaces plugins export, and the versions of it that this host speaks (`0.1.*`).
const PACKAGE: &str = "rillgate:plugin/";
const VERSION: &str = "0.1.0";

/// What a plugin does, read off what it exports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Turns batches of rows into batches of rows: exports `rillgate:plugin/transform`.
    Transform,
    /// Folds rows into states: exports `rillgate:plugin/aggregate`.
    Aggregate,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str(match self {
            Kind::Transform => "a transform",
            Kind::Aggregate => "an aggregate",
        })
    }
}

/// A plugin that is compiled and can be opened any number of times, on any thread.
pub struct Plugin {
    /// The file that it was loaded from.
    pub path: PathBuf,
    /// SHA-256 of the file, in hexadecimal.
    pub digest: String,
    /// What it does.
    pub kind: Kind,
    /// Whether it takes over states of other columns: it exports `rillgate:plugin/state-migration`.
    pub has_migration: bool,
    /// Size of the file in bytes.
    pub bytes: u64,
    pub(super) component: Component,
    pub(super) pre: InstancePre<Host>,
    /// The lines that it may still log.
    pub(super) lines: Arc<Lines>,
    /// Last, so that the engine's clock runs for as long as anything here can.
    pub(super) engine: Engine,
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.debug_struct("Plugin").field("path", &self.path).field("digest", &self.digest).finish_non_exhaustive()
    }
}

impl Engine {
    /// Reads, checks and compiles the plugin in a file. None of its code runs.
    ///
    /// # Errors
    /// [`PluginError::Unreadable`], or [`PluginError::Unloadable`] for what is no plugin of this host.
    pub fn load(&self, path: &Path) -> Result<Arc<Plugin>, PluginError> {
        let unreadable = |source| PluginError::Unreadable { path: path.to_owned(), source };
        let unloadable = |reason| PluginError::Unloadable { path: path.to_owned(), reason };
        // Not by its size, which a pipe or a device doesn't tell.
        let mut file = Vec::new();
        let opened = File::open(path).map_err(unreadable)?;
        opened.take(bounds::MAX_FILE_BYTES + 1).read_to_end(&mut file).map_err(unreadable)?;
        if file.len() as u64 > bounds::MAX_FILE_BYTES {
            return Err(unloadable(format!("it has more than {}", human(bounds::MAX_FILE_BYTES))));
        }
        self.load_bytes(path, &file)
    }

    /// The same for what was read before. `path` is where it is said to come from.
    ///
    /// # Errors
    /// [`PluginError::Unloadable`] for what is no plugin of this host.
    pub fn load_bytes(&self, path: &Path, file: &[u8]) -> Result<Arc<Plugin>, PluginError> {
        let unloadable = |reason| PluginError::Unloadable { path: path.to_owned(), reason };
        self.load_binary(path, file).map_err(unloadable)
    }

    fn load_binary(&self, path: &Path, file: &[u8]) -> Result<Arc<Plugin>, String> {
        check_format(file)?;
        let digest = sha256(file);
        let component = match self.cached(&digest) {
            Some(component) => component,
            None => {
                bounds::check(file)?;
                self.compile(&digest, file)?
            }
        };
        let (kind, has_migration) = kind(&component)?;
        let pre = link(&component)?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Arc::new(Plugin {
            path: path.to_owned(),
            digest,
            kind,
            has_migration,
            bytes: file.len() as u64,
            component,
            pre,
            lines: Arc::new(Lines::new(name)),
            engine: self.clone(),
        }))
    }
}

/// Refuses what is no component, by its first bytes.
/// SHA-256 in hex: what plugins and configurations are known by.
pub fn sha256(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn check_format(file: &[u8]) -> Result<(), String> {
    let text = file.trim_ascii_start();
    Err(match file {
        // Magic, then version and layer: the Component Model's binary format says 13, 0, 1, 0.
        [b'\0', b'a', b's', b'm', 0x0d, 0, 1, 0, ..] => return Ok(()),
        [b'\0', b'a', b's', b'm', 1, 0, 0, 0, ..] => "it is a core module, not a component: build it with \
             `--target wasm32-wasip2`, or wrap it with `wasm-tools component new`"
            .to_owned(),
        [b'\0', b'a', b's', b'm', ..] => "it is WebAssembly of a version that this host does not know".to_owned(),
        [] => "the file is empty".to_owned(),
        _ if text.starts_with(b"(component") || text.starts_with(b"(module") => {
            "it is WebAssembly as text: turn it into a binary with `wasm-tools parse`".to_owned()
        }
        _ => "it is not WebAssembly".to_owned(),
    })
}

/// What the component exports, and so what it does; and whether it migrates states.
fn kind(component: &Component) -> Result<(Kind, bool), String> {
    let engine = component.engine();
    let component_type = component.component_type();
    let exports: Vec<&str> = component_type.exports(engine).map(|(name, _)| name).collect();
    let ours = |interface: &str| {
        exports.iter().find_map(|export| export.strip_prefix(PACKAGE)?.strip_prefix(interface)?.strip_prefix('@'))
    };
    let (version, kind) = match (ours("transform"), ours("aggregate")) {
        (Some(version), None) => (version, Kind::Transform),
        (None, Some(version)) => (version, Kind::Aggregate),
        (Some(_), Some(_)) => {
            return Err("it exports both `transform` and `aggregate`: a plugin is one of them".to_owned());
        }
        (None, None) => {
            let exports = match exports.as_slice() {
                [] => "nothing".to_owned(),
                names => format!("`{}`", names.join("`, `")),
            };
            return Err(format!(
                "it is a component of another world: it exports {exports}, and a plugin exports \
                 `{PACKAGE}transform@{VERSION}` or `{PACKAGE}aggregate@{VERSION}`"
            ));
        }
    };
    let migration = ours("state-migration");
    match [Some(version), migration].into_iter().flatten().find(|version| !speaks(version)) {
        None => Ok((kind, migration.is_some() && kind == Kind::Aggregate)),
        Some(version) => Err(format!(
            "it is built for version {version} of the plugin interface, and this host speaks {VERSION}: build it again \
             with an SDK of that version"
        )),
    }
}

/// Whether a version of the plugin interface is one of those that this host speaks.
fn speaks(version: &str) -> bool {
    version.starts_with("0.1.")
}

/// Gives the component what it imports: the log, and WASI with nothing behind it.
fn link(component: &Component) -> Result<InstancePre<Host>, String> {
    let engine = component.engine();
    let component_type = component.component_type();
    let mut linker = Linker::new(engine);
    for (name, import) in component_type.imports(engine) {
        let ComponentItem::ComponentInstance(interface) = &import.ty else {
            return Err(unknown_import(name));
        };
        let defined = match name.strip_prefix(PACKAGE).and_then(|rest| rest.split_once('@')) {
            // Nothing but types.
            Some(("table" | "common", version)) if speaks(version) => Ok(()),
            Some(("log", version)) if speaks(version) => log::define(&mut linker, name),
            _ if name.starts_with("wasi:") => wasi::define(&mut linker, name, interface.exports(engine)),
            _ => return Err(unknown_import(name)),
        };
        defined.map_err(|error| format!("its import `{name}` can't be met: {error:#}"))?;
    }
    linker.instantiate_pre(component).map_err(|error| format!("its imports can't be met: {error:#}"))
}

fn unknown_import(name: &str) -> String {
    format!(
        "it imports `{name}`, which this host does not have: a plugin can import `{PACKAGE}log@{VERSION}` and what \
         its language's standard library asks of WASI"
    )
}
