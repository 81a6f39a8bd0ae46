//! `rillgate plugin`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Subcommand;

use super::{Exit, Say, engine};
use crate::plugin::{compile_for_parent, inspect};

#[derive(Debug, Subcommand)]
pub(super) enum PluginCommand {
    /// Say what a plugin is: its kind, digest, size, exports and imports.
    Inspect {
        /// The component's file.
        file: PathBuf,
    },
    /// Compile the component on stdin, for the process that started this one.
    #[command(hide = true)]
    Compile,
}

pub(super) fn plugin(command: &PluginCommand, json: bool) -> Exit {
    match command {
        PluginCommand::Inspect { file } => inspect_file(file, json),
        PluginCommand::Compile => compile(),
    }
}

/// The other end is the plugin layer of the parent, which takes what is on stderr for the reason.
fn compile() -> Exit {
    let Err(reason) = compile_for_parent() else { return Exit::Fine };
    // Nobody is left to read it when it can't be written.
    let _ = writeln!(io::stderr(), "{reason}");
    Exit::BadInput
}

fn inspect_file(file: &Path, json: bool) -> Exit {
    let engine = match engine() {
        Ok(engine) => engine,
        Err(error) => return error.say("plugins"),
    };
    let inspection = match engine.load(file) {
        Ok(plugin) => inspect(&plugin),
        Err(error) => return (Exit::BadInput, error.to_string()).say("plugin"),
    };
    if json {
        return match serde_json::to_string(&inspection) {
            Ok(line) => {
                println!("{line}");
                Exit::Fine
            }
            Err(error) => (Exit::Failed, error.to_string()).say("plugin"),
        };
    }
    println!("{}: {:?}", file.display(), inspection.kind);
    println!("  sha256    {}", inspection.digest);
    println!("  size      {} bytes, {} compiled", inspection.bytes, inspection.compiled_bytes);
    println!("  exports   {}", inspection.exports.join(", "));
    println!("  imports   {}", inspection.imports.join(", "));
    Exit::Fine
}
