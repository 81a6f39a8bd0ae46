//! What becomes of a version that is on probation, and what it is judged by.
//!
//! What never happens: a version goes back that has proved itself, or proves itself when it has gone back; one side of an exchange
//! goes back without the other.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::Version;

/// Fewer rejected messages say nothing.
const FEW_REJECTED: u64 = 20;
/// What a version rejects is compared with what so many rows, at least, have shown of the one before.
const KNOWN_ROWS: u64 = 1_000;
/// Time per row is compared over this many rows, and this much time, at least.
const TIMED_ROWS: u64 = 10_000;
const TIMED: Duration = Duration::from_millis(10);
/// Nobody notices less: the whole way of a row takes four times as long.
const NOTICED_NS_PER_ROW: f64 = 200.0;
/// So many instances that had to be replaced for their memory are a leak, where the version before had none.
const MANY_GROWN: u64 = 3;

/// What has gone through a version on this instance.
#[derive(Debug, Default)]
pub struct Stats {
    rows: AtomicU64,
    rejected: AtomicU64,
    /// CPU time in its plugins, and in the host's part of calling them.
    nanoseconds: AtomicU64,
    grown: AtomicU64,
}

/// A version that has to prove itself beside the one before it.
pub struct Probation {
    /// Where its tasks go back to; `None` once it has proved itself.
    back: Mutex<Option<Arc<Version>>>,
    limits: ProbationLimits,
    trial: Arc<Trial>,
}

/// What a probation comes to: one for both sides of an exchange. It is decided once, whoever is first.
#[derive(Debug, Default)]
pub struct Trial {
    /// `Err` says why it has failed.
    verdict: OnceLock<Result<(), String>>,
    /// When the first row went through: before that it shows nothing.
    began: OnceLock<Instant>,
}

/// What a version may do on probation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ProbationLimits {
    /// CPU time per row, as a multiple of the time that the version before took.
    pub max_slower: f64,
    /// Rejected messages, as a share of all, above what the version before rejected.
    pub max_rejected: f64,
    /// It ends with the first COMMIT: what that remembers is of no use to the version before.
    pub until_committed: bool,
}

impl Probation {
    pub(super) fn new(back: Arc<Version>, limits: ProbationLimits, trial: &Arc<Trial>) -> Self {
        Self { back: Mutex::new(Some(back)), limits, trial: Arc::clone(trial) }
    }

    pub(super) fn failure(&self) -> Option<&str> {
        self.trial.verdict.get()?.as_ref().err().map(String::as_str)
    }

    pub(super) fn back(&self) -> Option<Arc<Version>> {
        match self.trial.verdict.get() {
            Some(Ok(())) => None,
            Some(Err(_)) | None => lock(&self.back).clone(),
        }
    }

    /// Returns whether it has proved itself.
    pub(super) fn settle(&self) -> bool {
        let proved = self.trial.verdict.get_or_init(|| Ok(())).is_ok();
        if proved {
            // Its plugins go.
            *lock(&self.back) = None;
        }
        proved
    }

    /// Returns why it has failed, unless it has proved itself before.
    pub(super) fn fail(&self, reason: String) -> Option<String> {
        self.trial.verdict.get_or_init(|| Err(reason)).clone().err()
    }

    pub(super) fn begin(&self) {
        self.trial.began.get_or_init(Instant::now);
    }

    /// Before an epoch is decided. Returns whether it may be.
    pub(super) fn commits(&self) -> bool {
        !self.limits.until_committed || self.settle()
    }

    pub(super) fn has_lasted(&self, time: Duration) -> bool {
        let has_proved = matches!(self.trial.verdict.get(), Some(Ok(())));
        has_proved || self.trial.began.get().is_some_and(|began| began.elapsed() >= time)
    }

    /// Whether a version did well enough beside the one before it; `Err` says what is wrong.
    pub(super) fn judge(&self, stats: &Stats, before: &Stats) -> Result<(), String> {
        stats.judge(before, self.limits)
    }
}

impl Stats {
    pub(super) fn add(&self, rows: u64, rejected: u64, time: Duration, grown: u64) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
        self.rejected.fetch_add(rejected, Ordering::Relaxed);
        self.nanoseconds.fetch_add(time.as_nanos() as u64, Ordering::Relaxed);
        self.grown.fetch_add(grown, Ordering::Relaxed);
    }

    /// Rows, rejected messages, CPU time in nanoseconds, instances replaced for their memory.
    pub fn get(&self) -> [u64; 4] {
        [&self.rows, &self.rejected, &self.nanoseconds, &self.grown].map(|count| count.load(Ordering::Relaxed))
    }

    /// Whether a version did well enough beside the one before it; `Err` says what is wrong.
    fn judge(&self, before: &Stats, limits: ProbationLimits) -> Result<(), String> {
        let ([rows, rejected, nanoseconds, grown], [rows_before, rejected_before, nanoseconds_before, grown_before]) =
            (self.get(), before.get());
        let per = |count: u64, rows: u64| count as f64 / rows.max(1) as f64;
        let (share, share_before) = (per(rejected, rows), per(rejected_before, rows_before));
        let is_known = rows_before >= KNOWN_ROWS && rejected >= FEW_REJECTED;
        if is_known && share > share_before + limits.max_rejected {
            return Err(format!(
                "it rejected {rejected} of {rows} messages ({:.1} %), and the version before it {:.1} %",
                share * 100.0,
                share_before * 100.0
            ));
        }
        let (time, time_before) = (per(nanoseconds, rows), per(nanoseconds_before, rows_before));
        let is_timed = rows.min(rows_before) >= TIMED_ROWS && u128::from(nanoseconds) >= TIMED.as_nanos();
        if is_timed && is_slower(time, time_before, limits.max_slower) {
            return Err(format!("it takes {time:.0} ns a row, and the version before it {time_before:.0} ns"));
        }
        if grown >= MANY_GROWN && grown_before == 0 {
            return Err(format!("its memory grew past half of its limit {grown} times"));
        }
        Ok(())
    }
}

/// Whether a version takes more than so many times as long as another, in nanoseconds a row, and so much that anyone would notice.
pub fn is_slower(ns_per_row: f64, before: f64, max_slower: f64) -> bool {
    ns_per_row > before * max_slower && ns_per_row - before > NOTICED_NS_PER_ROW
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: ProbationLimits = ProbationLimits { max_slower: 3.0, max_rejected: 0.01, until_committed: false };

    fn stats(rows: u64, rejected: u64, per_row_ns: u64, grown: u64) -> Stats {
        let stats = Stats::default();
        stats.add(rows, rejected, Duration::from_nanos(per_row_ns * rows), grown);
        stats
    }

    #[test]
    fn a_version_is_judged_by_what_the_one_before_did() {
        let before = stats(100_000, 1_000, 1_000, 0);
        for good in [
            stats(0, 0, 0, 0),
            stats(100_000, 2_000, 3_000, 2),
            // Too few to tell.
            stats(100, 19, 1_000, 0),
            stats(9_999, 0, 100_000, 0),
        ] {
            assert_eq!(good.judge(&before, LIMITS), Ok(()), "{good:?}");
        }
        for (bad, reason) in [
            (
                stats(100_000, 2_001, 0, 0),
                "it rejected 2001 of 100000 messages (2.0 %), and the version before it 1.0 %",
            ),
            (stats(20, 20, 0, 0), "it rejected 20 of 20 messages (100.0 %), and the version before it 1.0 %"),
            (stats(10_000, 0, 3_001, 0), "it takes 3001 ns a row, and the version before it 1000 ns"),
            (stats(10_000, 0, 0, 3), "its memory grew past half of its limit 3 times"),
        ] {
            assert_eq!(bad.judge(&before, LIMITS), Err(reason.to_owned()));
        }
        assert_eq!(stats(10_000, 0, 0, 3).judge(&stats(0, 0, 0, 1), LIMITS), Ok(()), "so did the one before");
        let quick = stats(100_000, 0, 100, 0);
        assert_eq!(
            stats(100_000, 0, 300, 0).judge(&quick, ProbationLimits { max_slower: 1.0, ..LIMITS }),
            Ok(()),
            "nobody notices"
        );
        assert!(stats(100_000, 0, 301, 0).judge(&quick, LIMITS).is_err());
        assert_eq!(stats(10_000, 0, 3_001, 0).judge(&stats(9_999, 0, 1, 0), LIMITS), Ok(()), "hardly known");
        // As right after the host's start, of a stream that always has as many.
        assert_eq!(stats(400, 20, 0, 0).judge(&stats(999, 0, 0, 0), LIMITS), Ok(()), "hardly known");
        assert!(stats(400, 20, 0, 0).judge(&stats(1_000, 0, 0, 0), LIMITS).is_err());
    }
}
