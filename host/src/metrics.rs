//! The names of all metrics, with what they count.

use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, Unit};
use rustix::time::{ClockId, clock_gettime};

/// Messages taken from Kafka.
pub const MESSAGES: &str = "rillgate_messages_total";
/// Bytes of keys and values taken from Kafka.
pub const MESSAGE_BYTES: &str = "rillgate_message_bytes_total";
/// Rows written to tables, or staged for topics.
pub const ROWS: &str = "rillgate_rows_total";
/// Messages skipped because their value was null or empty.
pub const SKIPPED: &str = "rillgate_skipped_total";
/// Messages that became dead letters.
pub const DEAD_LETTERS: &str = "rillgate_dead_letters_total";
/// Rows that came too late for all their windows.
pub const LATE_ROWS: &str = "rillgate_late_rows_total";
/// Rows that were dropped because their like had been seen.
pub const DUPLICATES: &str = "rillgate_duplicate_rows_total";
/// Groups in a task's state.
pub const GROUPS: &str = "rillgate_groups";
/// Memory that a task's state takes, about.
pub const STATE_BYTES: &str = "rillgate_state_bytes";
/// Epochs decided and published.
pub const COMMITS: &str = "rillgate_commits_total";
/// From an epoch's last row to its files being published and its records sent.
pub const COMMIT_SECONDS: &str = "rillgate_commit_seconds";
/// The offset after the last one committed.
pub const COMMITTED_OFFSET: &str = "rillgate_committed_offset";
/// Tasks that began anew from their last COMMIT.
pub const RESTARTS: &str = "rillgate_task_restarts_total";
/// Records sent to topics, in transactions that were committed.
pub const RECORDS: &str = "rillgate_records_total";
/// Transactions aborted and begun again.
pub const ABORTED: &str = "rillgate_transactions_aborted_total";
/// What a task does between two batches to go on with another version of its pipeline.
pub const SWAP_PAUSE_SECONDS: &str = "rillgate_swap_pause_seconds";
/// From the end of a task's last batch by one version of its pipeline to the beginning of its first by the next, by whether the task goes on or
/// begins anew. Waiting for records is in it: under load that is the time from one burst of them to the next.
pub const SWAP_GAP_SECONDS: &str = "rillgate_swap_gap_seconds";
/// What [`SWAP_GAP_SECONDS`] is to be compared with: the longest time between two batches of a task by one version, once for each version.
pub const BATCH_GAP_SECONDS: &str = "rillgate_batch_gap_seconds";
/// Versions of a pipeline that came, by what became of them.
pub const SWAPS: &str = "rillgate_swaps_total";
/// Configurations that were read while running, by whether they were taken.
pub const RELOADS: &str = "rillgate_reloads_total";
/// 1 while a pipeline runs, 0 once it has failed.
pub const PIPELINE_UP: &str = "rillgate_pipeline_up";

/// CPU time of this thread so far: what else the machine does is nobody's fault.
pub fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

/// Tells the exporter what the metrics are. Once, at start.
pub fn describe() {
    let counters = [
        (MESSAGES, Unit::Count, "Messages taken from Kafka"),
        (MESSAGE_BYTES, Unit::Bytes, "Bytes of keys and values taken from Kafka"),
        (ROWS, Unit::Count, "Rows written to tables, or staged for topics"),
        (SKIPPED, Unit::Count, "Messages skipped because their value was null or empty"),
        (DEAD_LETTERS, Unit::Count, "Messages that became dead letters"),
        (LATE_ROWS, Unit::Count, "Rows that came too late for all their windows"),
        (DUPLICATES, Unit::Count, "Rows that were dropped because their like had been seen"),
        (COMMITS, Unit::Count, "Epochs decided and published"),
        (RESTARTS, Unit::Count, "Tasks that began anew from their last COMMIT"),
        (RECORDS, Unit::Count, "Records sent to topics, in transactions that were committed"),
        (ABORTED, Unit::Count, "Transactions aborted and begun again"),
        (SWAPS, Unit::Count, "Versions of a pipeline that came, by what became of them"),
        (RELOADS, Unit::Count, "Configurations that were read while running, by whether they were taken"),
    ];
    for (name, unit, text) in counters {
        metrics::describe_counter!(name, unit, text);
    }
    metrics::describe_histogram!(
        COMMIT_SECONDS,
        Unit::Seconds,
        "From an epoch's last row to its files being published and its records sent"
    );
    metrics::describe_histogram!(
        SWAP_PAUSE_SECONDS,
        Unit::Seconds,
        "What a task does between two batches to go on with another version of its pipeline"
    );
    metrics::describe_histogram!(
        SWAP_GAP_SECONDS,
        Unit::Seconds,
        "From the end of a task's last batch by one version of its pipeline to the beginning of its first by the next"
    );
    metrics::describe_histogram!(
        BATCH_GAP_SECONDS,
        Unit::Seconds,
        "The longest time between two batches of a task by one version of its pipeline"
    );
    metrics::describe_gauge!(COMMITTED_OFFSET, Unit::Count, "The offset after the last one committed");
    metrics::describe_gauge!(GROUPS, Unit::Count, "Groups in a task's state");
    metrics::describe_gauge!(STATE_BYTES, Unit::Bytes, "Memory that a task's state takes, about");
    metrics::describe_gauge!(PIPELINE_UP, Unit::Count, "1 while a pipeline runs, 0 once it has failed");
}

/// The metrics of one task, looked up once.
#[derive(Clone)]
pub struct TaskMetrics {
    /// [`MESSAGES`]
    pub messages: Counter,
    /// [`MESSAGE_BYTES`]
    pub message_bytes: Counter,
    /// [`ROWS`]
    pub rows: Counter,
    /// [`SKIPPED`]
    pub skipped: Counter,
    /// [`DEAD_LETTERS`]
    pub dead_letters: Counter,
    /// [`LATE_ROWS`]
    pub late_rows: Counter,
    /// [`DUPLICATES`]
    pub duplicates: Counter,
    /// [`GROUPS`]
    pub groups: Gauge,
    /// [`STATE_BYTES`]
    pub state_bytes: Gauge,
    /// [`COMMITS`]
    pub commits: Counter,
    /// [`COMMIT_SECONDS`]
    pub commit_seconds: Histogram,
    /// [`COMMITTED_OFFSET`]
    pub committed_offset: Gauge,
}

impl TaskMetrics {
    /// The metrics of a task by its labels.
    pub fn new(pipeline: &str, topic: &str, partition: i32) -> Self {
        let labels =
            [("pipeline", pipeline.to_owned()), ("topic", topic.to_owned()), ("partition", partition.to_string())];
        Self {
            messages: metrics::counter!(MESSAGES, &labels),
            message_bytes: metrics::counter!(MESSAGE_BYTES, &labels),
            rows: metrics::counter!(ROWS, &labels),
            skipped: metrics::counter!(SKIPPED, &labels),
            dead_letters: metrics::counter!(DEAD_LETTERS, &labels),
            late_rows: metrics::counter!(LATE_ROWS, &labels),
            duplicates: metrics::counter!(DUPLICATES, &labels),
            groups: metrics::gauge!(GROUPS, &labels),
            state_bytes: metrics::gauge!(STATE_BYTES, &labels),
            commits: metrics::counter!(COMMITS, &labels),
            commit_seconds: metrics::histogram!(COMMIT_SECONDS, &labels),
            committed_offset: metrics::gauge!(COMMITTED_OFFSET, &labels),
        }
    }
}

impl std::fmt::Debug for TaskMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TaskMetrics")
    }
}
