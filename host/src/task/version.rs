//! A version of a pipeline: what its tasks work by, and how it does while it is on probation.
//!
//! What never happens: an epoch is made by two versions. A task changes between epochs, or begins anew from its last COMMIT.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use super::{Plan, Recent};
use crate::batch::{RecordBatch, Rows};
use crate::metrics::cpu_time;
use crate::plugin::{BatchTime, Chain, ChainError, Dead, PluginError, Plugins, Refusal};

/// Makes the plugin instances of a version, for one worker.
pub type OpenPlugins = Arc<dyn Fn() -> Result<Plugins, PluginError> + Send + Sync>;

/// Fewer rejected messages say nothing.
const FEW_REJECTED: u64 = 20;
/// Time per row is compared over this many rows, and this much time, at least.
const TIMED_ROWS: u64 = 10_000;
const TIMED: Duration = Duration::from_millis(10);
/// Nobody notices less: the whole way of a row takes four times as long.
const NOTICED_NS_PER_ROW: f64 = 200.0;
/// So many instances that had to be replaced for their memory are a leak, where the version before had none.
const MANY_GROWN: u64 = 3;

/// A version of a pipeline.
pub struct Version {
    /// Differs between all versions of all pipelines, and between both sides of an exchange.
    id: u64,
    /// What its tasks have in common.
    pub plan: Arc<Plan>,
    /// Makes instances of its plugins.
    pub open: OpenPlugins,
    /// The pipeline's newest batches, whichever version they went through.
    pub recent: Arc<Recent>,
    /// What has gone through it.
    pub stats: Arc<Stats>,
    /// It has to prove itself.
    probation: Option<Probation>,
}

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
    /// Where its tasks go back to; `None` once it is over.
    back: Mutex<Option<Arc<Version>>>,
    limits: ProbationLimits,
    failure: Arc<OnceLock<String>>,
}

/// What a version may do on probation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ProbationLimits {
    /// CPU time per row, as a multiple of the time that the version before took.
    pub max_slower: f64,
    /// Rejected messages, as a share of all, above what the version before rejected.
    pub max_rejected: f64,
}

/// Why a batch did not go through.
#[derive(Debug)]
pub(super) enum Stopped {
    /// The version is at fault, and the one before it is there.
    GoesBack(String),
    /// The plugins can't go on.
    Chain(ChainError),
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Version").field("id", &self.id).field("plugins", &self.plan.plugins).finish_non_exhaustive()
    }
}

impl Version {
    /// A version of the pipeline that `plan` is of.
    pub fn new(plan: Arc<Plan>, open: OpenPlugins, recent: Arc<Recent>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Self { id, plan, open, recent, stats: Arc::default(), probation: None }
    }

    /// On probation: where it fails its tasks go back to `back`, or, where that is on probation itself, to the one before.
    ///
    /// `failure` is why, once it has failed: the same for both sides of an exchange.
    pub fn on_probation(
        mut self,
        back: &Arc<Version>,
        limits: ProbationLimits,
        failure: &Arc<OnceLock<String>>,
    ) -> Self {
        let back = back.back().unwrap_or_else(|| Arc::new(back.gone_back_to()));
        self.probation = Some(Probation { back: Mutex::new(Some(back)), limits, failure: Arc::clone(failure) });
        self
    }

    /// The same version, for tasks that another one has been through: what that has added to states goes.
    fn gone_back_to(&self) -> Self {
        let mut plan = (*self.plan).clone();
        if let Some(aggregate) = &mut plan.aggregate {
            aggregate.allow_dropped = true;
        }
        let stats = Arc::clone(&self.stats);
        Self { stats, ..Self::new(Arc::new(plan), Arc::clone(&self.open), Arc::clone(&self.recent)) }
    }

    /// What tells it from all others.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Why its tasks go back, if they do.
    pub fn failure(&self) -> Option<&str> {
        self.probation.as_ref().and_then(|probation| probation.failure.get()).map(String::as_str)
    }

    /// The version that its tasks go back to if it fails; `None` if it isn't on probation.
    pub fn back(&self) -> Option<Arc<Version>> {
        self.probation.as_ref().and_then(|probation| lock(&probation.back).clone())
    }

    /// Ends its probation. What has failed stays failed.
    pub fn settle(&self) {
        if let Some(probation) = &self.probation
            && probation.failure.get().is_none()
        {
            *lock(&probation.back) = None;
        }
    }

    /// Takes note that it has failed; returns the reason that counts, which is the first. `None`: it isn't on probation.
    pub(super) fn fail(&self, reason: String) -> Option<String> {
        let probation = self.probation.as_ref()?;
        self.back()?;
        Some(probation.failure.get_or_init(|| reason).clone())
    }

    /// Takes rows through the transforms. On probation a batch that breaks is not taken apart, unless the version before breaks on
    /// it, too: then it is the message that is bad.
    pub(super) fn apply(
        &self,
        chain: &mut Chain,
        rows: &Rows,
        now: BatchTime,
        take: &mut dyn FnMut(usize, &RecordBatch) -> Result<(), Refusal>,
        dead: &mut Vec<Dead>,
    ) -> Result<Vec<Vec<RecordBatch>>, Stopped> {
        let (began, grown, dead_before) = (cpu_time(), chain.grown(), dead.len());
        let back = self.back();
        let whole = back.as_ref().map(|_| chain.apply_whole(rows, now, take, dead));
        let applied = match (whole, &back) {
            (Some(Err(error)), Some(back)) if !breaks(back, rows, now) => {
                return Err(match self.fail(error.to_string()) {
                    Some(reason) => Stopped::GoesBack(reason),
                    None => Stopped::Chain(error),
                });
            }
            (Some(Ok(tables)), _) => tables,
            _ => chain.apply(rows, now, take, dead).map_err(Stopped::Chain)?,
        };
        let rejected = (dead.len() - dead_before) as u64;
        self.stats.add(rows.batch.num_rows() as u64, rejected, cpu_time() - began, chain.grown() - grown);
        let judged = match (&self.probation, back) {
            (Some(probation), Some(back)) => self.stats.judge(&back.stats, probation.limits),
            _ => Ok(()),
        };
        match judged.map_err(|reason| self.fail(reason)) {
            Err(Some(reason)) => Err(Stopped::GoesBack(reason)),
            Ok(()) | Err(None) => Ok(applied),
        }
    }
}

/// Whether a version breaks on a batch, by instances of its own.
fn breaks(version: &Version, rows: &Rows, now: BatchTime) -> bool {
    let taken = |_, _: &RecordBatch| Ok(());
    let opened = (version.open)();
    opened.is_ok_and(|mut plugins| plugins.chain.apply_whole(rows, now, &mut { taken }, &mut Vec::new()).is_err())
}

impl Stats {
    fn add(&self, rows: u64, rejected: u64, time: Duration, grown: u64) {
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
        // A host that has begun with this version knows nothing of the one before.
        if rejected >= FEW_REJECTED && rows_before > 0 && share > share_before + limits.max_rejected {
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
    use indexmap::IndexMap;

    use super::*;
    use crate::decode::DecodeOptions;
    use crate::encode::DeadLetterFormat;
    use crate::plugin::tests::{batch, guest, identity};
    use crate::plugin::{Limits, Step};
    use crate::task::Trigger;

    const LIMITS: ProbationLimits = ProbationLimits { max_slower: 3.0, max_rejected: 0.01 };

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
    }

    /// A version whose plugin traps on a batch that has this number of passengers in it.
    fn breaking_on(passengers: i64) -> Version {
        let in_apply = format!(
            "(local $row i32)
             (block $done (loop $next
               (br_if $done (i32.eq (local.get $row) (local.get $rows)))
               (if (i64.eq (i64.const {passengers}) (i64.load (i32.add
                 (i32.load offset=36 (local.get $columns)) (i32.mul (local.get $row) (i32.const 8))))) (then unreachable))
               (local.set $row (i32.add (local.get $row) (i32.const 1)))
               (br $next)))"
        );
        let step = Step { plugin: guest(&identity("", &in_apply, "")), limits: Limits::default(), settings: vec![] };
        let plan = Plan {
            pipeline: "p".to_owned(),
            decode: DecodeOptions::Json {},
            columns: IndexMap::new(),
            registry: None,
            tables: vec![],
            aggregate: None,
            dead_letters: DeadLetterFormat::Json,
            trigger: Trigger { every: Duration::MAX, bytes: u64::MAX, rows: u64::MAX },
            batch_rows: 1,
            plugins: vec![],
            config: String::new(),
        };
        let open = move || {
            let chain = Chain::open(std::slice::from_ref(&step), &batch(0).schema())?;
            Ok(Plugins { chain, aggregate: None })
        };
        Version::new(Arc::new(plan), Arc::new(open), Arc::new(Recent::new(0)))
    }

    /// What becomes of ten messages: rows that come out, and messages that are dead.
    fn ten(version: &Version) -> Result<(usize, Vec<u32>), Stopped> {
        let rows = Rows { batch: batch(10), origin: (0..10).collect() };
        let (mut plugins, mut dead) = ((version.open)().unwrap(), Vec::new());
        let tables = version.apply(&mut plugins.chain, &rows, BatchTime::default(), &mut |_, _| Ok(()), &mut dead);
        let rows = tables?[0].iter().map(RecordBatch::num_rows).sum();
        Ok((rows, dead.into_iter().map(|dead| dead.message).collect()))
    }

    #[test]
    fn a_message_that_breaks_both_versions_is_bad_and_one_that_breaks_the_new_one_alone_is_not() {
        fn on_probation(version: Version, back: &Arc<Version>) -> Version {
            version.on_probation(back, LIMITS, &Arc::default())
        }
        let before = Arc::new(breaking_on(3));
        assert_eq!(ten(&before).unwrap(), (9, vec![3]), "it isn't on probation");

        let same = Arc::new(on_probation(breaking_on(3), &before));
        assert_eq!(ten(&same).unwrap(), (9, vec![3]));
        assert_eq!(same.failure(), None);

        let worse = on_probation(breaking_on(5), &before);
        let worse_than_good = on_probation(breaking_on(5), &Arc::new(breaking_on(-1)));
        assert_eq!(ten(&worse).unwrap(), (9, vec![5]), "the version before breaks on the same batch");
        assert!(matches!(ten(&worse_than_good), Err(Stopped::GoesBack(reason)) if reason.contains("unreachable")));
        assert!(worse_than_good.failure().is_some());

        // What goes live while another is on probation goes back to where that would.
        let next = on_probation(breaking_on(5), &same);
        assert!(Arc::ptr_eq(&next.back().unwrap(), &same.back().unwrap()));
        assert!(Arc::ptr_eq(&next.back().unwrap().stats, &before.stats));
        same.settle();
        assert!(same.back().is_none());
        assert!(Arc::ptr_eq(&on_probation(breaking_on(5), &same).back().unwrap().stats, &same.stats));
    }
}
