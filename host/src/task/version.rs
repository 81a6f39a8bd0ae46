//! A version of a pipeline: what its tasks work by, and how it does while it is on probation.
//!
//! What never happens: an epoch is made by two versions. A task changes between epochs, or begins anew from its last COMMIT.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::probation::{Probation, ProbationLimits, Stats, Trial};
use super::{Plan, PluginFold, Recent, refusal};
use crate::batch::{RecordBatch, Rows};
use crate::metrics::cpu_time;
use crate::plugin::{BatchTime, Chain, ChainError, Dead, PluginError, Plugins, Refusal};
use crate::window::Aggregation;

/// Makes the plugin instances of a version, for one worker.
pub type OpenPlugins = Arc<dyn Fn() -> Result<Plugins, PluginError> + Send + Sync>;

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
    pub(super) probation: Option<Probation>,
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
    /// `trial` is the same for both sides of an exchange.
    pub fn on_probation(mut self, back: &Arc<Version>, limits: ProbationLimits, trial: &Arc<Trial>) -> Self {
        let back = back.back().unwrap_or_else(|| Arc::new(back.gone_back_to()));
        self.probation = Some(Probation::new(back, limits, trial));
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
        self.probation.as_ref().and_then(Probation::failure)
    }

    /// The version that its tasks go back to if it fails, or since it has; `None` if it isn't on probation.
    pub fn back(&self) -> Option<Arc<Version>> {
        self.probation.as_ref().and_then(Probation::back)
    }

    /// Takes note that rows go through it, from where on its probation lasts.
    pub(super) fn begin(&self) {
        if let Some(probation) = &self.probation {
            probation.begin();
        }
    }

    /// Whether it is on probation and the first row went through it so long ago, on either side of an exchange.
    pub fn has_lasted(&self, time: Duration) -> bool {
        self.probation.as_ref().is_some_and(|probation| probation.has_lasted(time))
    }

    /// Ends its probation. What has failed stays failed: returns whether it has proved itself.
    pub fn settle(&self) -> bool {
        self.probation.as_ref().is_none_or(Probation::settle)
    }

    /// Takes note that it has failed; returns the reason that counts, which is the first. `None`: it isn't on probation.
    pub(super) fn fail(&self, reason: String) -> Option<String> {
        self.probation.as_ref()?.fail(reason)
    }

    /// Takes rows through the transforms, and what takes them. On probation what breaks makes it go back, unless the version before
    /// breaks on the same batch: then it is the message that is bad.
    pub(super) fn apply(
        &self,
        chain: &mut Chain,
        rows: &Rows,
        now: BatchTime,
        take: &mut dyn FnMut(usize, &RecordBatch) -> Result<(), Refusal>,
        dead: &mut Vec<Dead>,
    ) -> Result<Vec<Vec<RecordBatch>>, Stopped> {
        let (began, grown, dead_before) = (cpu_time(), chain.grown(), dead.len());
        if rows.batch.num_rows() > 0 {
            self.begin();
        }
        let back = self.back();
        let applied = match &back {
            Some(back) => self.apply_beside(back, chain, rows, now, take, dead)?,
            None => chain.apply(rows, now, take, dead).map_err(Stopped::Chain)?,
        };
        let rejected = (dead.len() - dead_before) as u64;
        self.stats.add(rows.batch.num_rows() as u64, rejected, cpu_time() - began, chain.grown() - grown);
        let judged = match (&self.probation, back) {
            (Some(probation), Some(back)) => probation.judge(&self.stats, &back.stats),
            _ => Ok(()),
        };
        match judged.map_err(|reason| self.fail(reason)) {
            Err(Some(reason)) => Err(Stopped::GoesBack(reason)),
            Ok(()) | Err(None) => Ok(applied),
        }
    }

    /// On probation. Where messages are searched for since one of them is refused, any may break a plugin as well.
    fn apply_beside(
        &self,
        back: &Version,
        chain: &mut Chain,
        rows: &Rows,
        now: BatchTime,
        take: &mut dyn FnMut(usize, &RecordBatch) -> Result<(), Refusal>,
        dead: &mut Vec<Dead>,
    ) -> Result<Vec<Vec<RecordBatch>>, Stopped> {
        let dead_before = dead.len();
        let whole = chain.apply_whole(rows, now, take, dead);
        let broke = match &whole {
            Ok(_) => dead[dead_before..].iter().find(|dead| dead.broke).map(|dead| dead.reason.clone()),
            Err(error) => Some(error.to_string()),
        };
        if let Some(reason) = broke
            && !breaks(back, rows, now)
            && let Some(reason) = self.fail(reason)
        {
            return Err(Stopped::GoesBack(reason));
        }
        match whole {
            // Nothing of it was taken.
            Err(ChainError::Broke { .. }) => chain.apply(rows, now, take, dead).map_err(Stopped::Chain),
            whole => whole.map_err(Stopped::Chain),
        }
    }
}

/// Whether a version breaks on a batch, by instances and into groups of its own.
fn breaks(version: &Version, rows: &Rows, now: BatchTime) -> bool {
    let Ok(Plugins { mut chain, mut aggregate }) = (version.open)() else { return false };
    let plan = version.plan.aggregate.as_ref().filter(|plan| plan.folds());
    let groups = plan.and_then(|plan| Aggregation::new(&plan.window, &plan.rows, &plan.state).ok());
    let mut groups = groups.map(Aggregation::told_event_time);
    let mut take = |table: usize, batch: &RecordBatch| match (table, &mut groups, &mut aggregate) {
        (0, Some(groups), Some(plugin)) => {
            let folded = groups.fold(batch, &mut PluginFold { plugin, now });
            folded.map(drop).map_err(|refused| refusal(refused, plugin))
        }
        _ => Ok(()),
    };
    let mut dead = Vec::new();
    let applied = chain.apply_whole(rows, now, &mut take, &mut dead);
    applied.is_err() || dead.iter().any(|dead| dead.broke)
}

#[cfg(test)]
pub(crate) mod tests;
