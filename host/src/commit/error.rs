//! Why a task's log can't be worked with, and whether waiting mends it.

use object_store::Error as StoreError;

use super::machine::ProtocolError;
use super::retry::may_pass;

/// Why a task's log can't be worked with.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Another attempt has the task. Drop what isn't decided; whoever owns the partition begins anew.
    #[error("fenced by {by}")]
    Fenced {
        /// The attempt that has it.
        by: String,
    },
    /// The log itself is damaged, or not ours.
    #[error("commit log {folder}: {source}")]
    Protocol {
        /// The task's control folder.
        folder: String,
        /// What is wrong.
        source: ProtocolError,
    },
    /// An entry can't be read as one.
    #[error("commit log entry {path} can't be read: {reason}; restore it, or move {folder} away to begin anew")]
    BadEntry {
        /// The entry.
        path: String,
        /// The task's control folder.
        folder: String,
        /// What is wrong.
        reason: String,
    },
    /// A table holds a file of a name that we decided on, with other content.
    #[error(
        "{path} is there already with other content ({found}, decided {decided}); \
         it isn't ours: move it away and start again"
    )]
    Conflict {
        /// The file.
        path: String,
        /// Size and checksum of what is there.
        found: String,
        /// Size and checksum in the COMMIT.
        decided: String,
    },
    /// A decided file is gone, staged and published.
    #[error("{path} was decided, but neither it nor {staged} is there; someone removed it")]
    Lost {
        /// The final name.
        path: String,
        /// The staged name.
        staged: String,
    },
    /// Decided records are gone from the stage, and Kafka doesn't have them.
    #[error("records for {topic} were decided, but they were not sent, and {staged} is not there; someone removed it")]
    Unsent {
        /// The topic.
        topic: String,
        /// The staged name.
        staged: String,
    },
    /// A staged file isn't what was decided.
    #[error("{staged} has other content than was decided for {topic} ({found}, decided {decided}); restore it")]
    Damaged {
        /// The topic.
        topic: String,
        /// The staged name.
        staged: String,
        /// Size and checksum of what is there.
        found: String,
        /// Size and checksum in the COMMIT.
        decided: String,
    },
    /// Kafka no longer knows which epoch it was sent last.
    #[error(
        "whether entry {mark} of the commit log was sent to {topics} can't be told: Kafka has forgotten the offsets of the \
         group that keeps it. Look into the topics: if it was, remove {staged} and start again; if not, start once with \
         delivery = \"at-least-once\""
    )]
    Forgotten {
        /// The COMMIT's number and attempt.
        mark: String,
        /// The topics.
        topics: String,
        /// The staged names.
        staged: String,
    },
    /// Kafka doesn't take the records.
    #[error("{reason}")]
    Topics {
        /// Why.
        reason: String,
        /// Whether waiting may mend it.
        may_pass: bool,
    },
    /// A file of the task's state isn't what was decided.
    #[error(
        "state {path} {wrong}; restore it, or move {folder} away to begin anew, from the first offset and with nothing"
    )]
    BadState {
        /// The file.
        path: String,
        /// The task's control folder.
        folder: String,
        /// What is wrong.
        wrong: String,
    },
    /// A part of the task's state can't be made a file: it would be the same the next time.
    #[error("state {table} of {folder} can't be written: {reason}")]
    UnwritableState {
        /// The task's control folder.
        folder: String,
        /// The table of the state.
        table: &'static str,
        /// Why.
        reason: String,
    },
    /// Where to begin can't be told.
    #[error("{reason}")]
    FirstOffset {
        /// Why: Kafka is away, or data was lost.
        reason: String,
        /// Whether waiting may mend it.
        may_pass: bool,
    },
    /// The store refuses in a way that waiting doesn't mend.
    #[error("store: {0}")]
    Store(StoreError),
}

impl LogError {
    /// Whether the task should begin anew from its last COMMIT; otherwise its pipeline stops.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Fenced { .. } => true,
            Self::FirstOffset { may_pass, .. } | Self::Topics { may_pass, .. } => *may_pass,
            Self::Store(error) => may_pass(error),
            // Many at once: a pause lets one of them through.
            Self::Protocol { source: ProtocolError::TooManyClaims, .. } => true,
            _ => false,
        }
    }
}
