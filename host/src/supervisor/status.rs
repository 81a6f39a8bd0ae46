//! What pipelines are at, for people and for machines.

use serde::Serialize;

/// What a pipeline is at.
#[derive(Debug, Clone, Serialize)]
pub struct PipelineStatus {
    /// Its name.
    pub pipeline: String,
    /// Whether it runs.
    pub state: State,
    /// SHA-256 of its plugins, in order.
    pub plugins: Vec<String>,
    /// Its plugins have to prove themselves yet, and go back by themselves if they don't.
    pub on_probation: bool,
    /// Its tasks on this instance, in the order of their names.
    pub tasks: Vec<TaskStatus>,
}

/// Whether a pipeline runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It takes messages.
    Running,
    /// All that was there at the start has been committed.
    CaughtUp,
    /// It was asked to stop, and has committed what it had.
    Stopped,
    /// It can't go on, for this reason; nothing is lost.
    Failed(String),
}

/// What a task is at.
#[derive(Debug, Clone, Serialize)]
pub struct TaskStatus {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// The offset after the last one that every reader sees.
    pub committed: i64,
    /// The offset after the last message taken.
    pub position: i64,
}
