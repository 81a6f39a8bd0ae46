//! What can go wrong with a plugin, in words for whoever wrote the pipeline or the plugin.

use std::path::PathBuf;

/// A plugin that can't be loaded or doesn't accept what the pipeline offers it. The pipeline does not start.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// The file can't be read.
    #[error("can't read the plugin {}: {source}", path.display())]
    Unreadable {
        /// The plugin's file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The file is no WebAssembly, or none that this host can run.
    #[error("{} can't be loaded: {reason}", path.display())]
    Unloadable {
        /// The plugin's file.
        path: PathBuf,
        /// What is wrong with it and what to do.
        reason: String,
    },
    /// A setting is missing, unknown or has a bad value, says the plugin. Values of settings are not in the text.
    #[error("{} does not accept its settings{names}: {reason}", path.display())]
    InvalidSetting {
        /// The plugin's file.
        path: PathBuf,
        /// The plugin's words.
        reason: String,
        /// ` (a, b)`: the names of the settings it was given; empty if none.
        names: String,
    },
    /// The plugin can't work with the columns that it is offered.
    #[error("{} can't work with these columns: {reason}; it was offered {columns}", path.display())]
    UnsupportedSchema {
        /// The plugin's file.
        path: PathBuf,
        /// The plugin's words.
        reason: String,
        /// The columns that it was offered, with their types.
        columns: String,
    },
    /// `open` trapped, took too long, or failed.
    #[error("{} failed to open: {reason}", path.display())]
    Open {
        /// The plugin's file.
        path: PathBuf,
        /// What happened.
        reason: String,
    },
    /// What `open` announces is not a set of tables the host can write.
    #[error("{} announces tables that can't be: {reason}", path.display())]
    InvalidTables {
        /// The plugin's file.
        path: PathBuf,
        /// What is wrong with them.
        reason: String,
    },
    /// Two plugins of one pipeline write to the same named output.
    #[error("both {} and {} write to the output `{table}`: rename it in one of them", first.display(), second.display())]
    TableTwice {
        /// The first plugin's file.
        first: PathBuf,
        /// The second plugin's file.
        second: PathBuf,
        /// The output's name.
        table: String,
    },
    /// The engine or its cache of compiled plugins can't be set up.
    #[error("can't set up the plugin engine: {0}")]
    Engine(String),
}

/// A call of `apply` that failed as a whole. Its rows are tried again in halves.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// The plugin trapped, or the host stopped it at its memory limit or at a call to what plugins don't have.
    #[error("trap: {0}")]
    Trap(String),
    /// The plugin took longer than its limit for one batch.
    #[error("time limit of {0} for a batch exceeded")]
    TimedOut(String),
    /// The plugin returned `error.other`, or refused in `apply` what it had accepted in `open`.
    #[error("{0}")]
    Failed(String),
    /// What the plugin returned is not what it announced, or no valid columns.
    #[error("plugin returned {0}")]
    Invalid(String),
    /// A fresh instance, needed after a trap, could not be made or announces other tables than the first.
    #[error("{0}")]
    Reopen(String),
}

/// A pipeline's transforms fail whatever they are given: the pipeline must stop. Nothing of the batch is committed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// Message after message fails alone.
    #[error(
        "{plugin} failed on {failures} messages in a row, the last time with: {reason}. The pipeline stops before these \
         messages; none of them is lost, and they are read again when it starts again"
    )]
    Failing {
        /// The plugin's file.
        plugin: String,
        /// How many messages failed one after another.
        failures: usize,
        /// What the last of them failed with.
        reason: String,
    },
    /// Messages fail, and there was no time left to find out which.
    #[error("there was no time left to look for the messages that fail with: {reason}")]
    OutOfTime {
        /// What the last of them failed with.
        reason: String,
    },
    /// The plugin can't be started anew after a failure.
    #[error(
        "{plugin} can't be started again: {reason}. The pipeline stops before these messages; none of them is lost, and \
         they are read again when it starts again"
    )]
    Reopen {
        /// The plugin's file.
        plugin: String,
        /// Why not.
        reason: String,
    },
}
