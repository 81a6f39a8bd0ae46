//! What a task does between two commits.

use std::time::Instant;

use super::Plan;
use crate::commit::{Commit, CommittedFile, CommittedRecords};
use crate::source::TopicPartition;

/// What is not decided yet: offsets `[start, end)`.
#[derive(Debug)]
pub(super) struct Epoch {
    pub(super) start: i64,
    pub(super) end: i64,
    pub(super) since: Option<Instant>,
    /// Number of the next file.
    files: u64,
    pub(super) skipped: u64,
    pub(super) dead_letters: u64,
}

impl Epoch {
    /// `files`: number of its first file.
    pub(super) fn new(start: i64, files: u64) -> Self {
        Self { start, end: start, since: None, files, skipped: 0, dead_letters: 0 }
    }

    /// The epoch after this one. Where this one holds no offsets it begins at the same one, and counts files on.
    pub(super) fn following(&self) -> Self {
        Self::new(self.end, if self.is_empty() { self.files } else { 0 })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.end == self.start
    }

    /// `<topic>-<partition>-<start offset>-<n>.<ext>`: no two epochs of a task begin at the same offset, unless the topic was
    /// made anew, which n then tells.
    pub(super) fn next_file(&mut self, partition: &TopicPartition, generation: u32, extension: &str) -> String {
        let n = u64::from(generation) * 1_000_000 + self.files;
        self.files += 1;
        // Readers take names that begin with _ or . for hidden.
        let topic = match partition.topic.strip_prefix(['_', '.']) {
            Some(rest) => format!("%{:02X}{rest}", partition.topic.as_bytes()[0]),
            None => partition.topic.clone(),
        };
        format!("{topic}-{}-{}-{n}.{extension}", partition.partition, self.start)
    }

    pub(super) fn decide(self, (files, records): (Vec<CommittedFile>, Vec<CommittedRecords>), plan: &Plan) -> Commit {
        Commit {
            start: self.start,
            end: self.end,
            skipped: self.skipped,
            dead_letters: self.dead_letters,
            plugins: plan.plugins.clone(),
            config: plan.config.clone(),
            next_file: if self.is_empty() { self.files } else { 0 },
            files,
            records,
            ..Commit::default()
        }
    }
}
