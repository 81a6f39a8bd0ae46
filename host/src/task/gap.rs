//! How long a task does nothing because it goes over to another version of its pipeline.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Task;
use crate::metrics::{BATCH_GAP_SECONDS, SWAP_GAP_SECONDS};

/// When a partition's last batch ended. It outlives the task, so that one that begins anew goes on with it.
#[derive(Debug, Default)]
pub struct LastBatch(Mutex<Option<Ended>>);

#[derive(Debug)]
struct Ended {
    at: Instant,
    /// The version that it went through.
    version: u64,
    /// The longest time so far between two batches of that version.
    longest_gap: Duration,
}

/// What lies between the last batch of a version and the first of the next.
#[derive(Debug, PartialEq)]
struct Gap {
    between: Duration,
    /// The longest time between two batches of the version before: what passes without a swap.
    longest_before: Duration,
}

impl LastBatch {
    /// A batch begins. `None`: the one before it went through the same version, or there was none.
    fn begin(&self, version: u64, now: Instant) -> Option<Gap> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let last = last.as_mut()?;
        let between = now.saturating_duration_since(last.at);
        if last.version != version {
            return Some(Gap { between, longest_before: last.longest_gap });
        }
        last.longest_gap = last.longest_gap.max(between);
        None
    }

    /// A batch has gone its way.
    fn end(&self, version: u64, now: Instant) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = last.as_ref().filter(|last| last.version == version);
        let longest_gap = before.map_or(Duration::ZERO, |last| last.longest_gap);
        *last = Some(Ended { at: now, version, longest_gap });
    }
}

impl Task {
    /// Takes note that a batch begins. What passes while no records wait is in the gap, too: nobody tells when they came.
    pub(super) fn batch_begins(&mut self, now: Instant) {
        let task = if self.has_worked { "goes_on" } else { "begins_anew" };
        self.has_worked = true;
        let Some(gap) = self.resources.last_batch.begin(self.version.id(), now) else { return };
        let labels = [("pipeline", self.plan.pipeline.clone()), ("task", task.to_owned())];
        metrics::histogram!(SWAP_GAP_SECONDS, &labels).record(gap.between);
        metrics::histogram!(BATCH_GAP_SECONDS, "pipeline" => self.plan.pipeline.clone()).record(gap.longest_before);
    }

    /// Takes note that a batch has gone its way.
    pub(super) fn batch_ended(&self) {
        self.resources.last_batch.end(self.version.id(), Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_from_the_last_batch_of_a_version_to_the_first_of_the_next() {
        let (start, last) = (Instant::now(), LastBatch::default());
        let at = |ms: u64| start + Duration::from_millis(ms);
        let gap = |between: u64, before: u64| {
            let [between, longest_before] = [between, before].map(Duration::from_millis);
            Some(Gap { between, longest_before })
        };
        assert_eq!(last.begin(1, at(0)), None, "the first of all");
        last.end(1, at(10));
        assert_eq!(last.begin(1, at(17)), None);
        last.end(1, at(20));
        assert_eq!(last.begin(1, at(23)), None);
        last.end(1, at(30));
        assert_eq!(last.begin(2, at(130)), gap(100, 7));
        // It failed, and the version that comes back does it again: nothing went its way since.
        assert_eq!(last.begin(3, at(150)), gap(120, 7));
        last.end(3, at(160));
        assert_eq!(last.begin(3, at(162)), None);
        last.end(3, at(170));
        assert_eq!(last.begin(4, at(171)), gap(1, 2), "gaps of the versions before are forgotten");
    }
}
