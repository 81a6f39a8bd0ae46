//! `rillgate plugin`.

use std::path::PathBuf;

use clap::Subcommand;

use super::{Exit, Say, engine};
use crate::plugin::inspect;

#[derive(Debug, Subcommand)]
pub(super) enum PluginCommand {
    /// Say what a plugin is: its kind, digest, size, exports and imports.
    Inspect {
        /// The component's file.
        file: PathBuf,
    },
}

pub(super) fn plugin(command: &PluginCommand, json: bool) -> Exit {
    let PluginCommand::Inspect { file } = command;
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
