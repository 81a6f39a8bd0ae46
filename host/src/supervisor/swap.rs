//! Pipelines that come, go, and change while the others run.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::running::swap_all;
use super::{Running, StartError, Supervisor, connect, plan};
use crate::batch::Rows;
use crate::pipeline::Pipeline;
use crate::plugin::{BatchTime, PluginError};
use crate::task::{Plan, ProbationLimits, Recent, Version};

/// Why a pipeline doesn't go on with another version. Nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum SwapError {
    /// It doesn't run.
    #[error("no pipeline `{0}` runs here")]
    Unknown(String),
    /// What is on its way through an exchange is of no use to it.
    #[error(
        "rows that are on their way through the exchange have other columns or another place than those of this version: give the \
         pipeline another name to begin anew"
    )]
    OnTheWay,
    /// What it needs isn't there.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A plugin.
    #[error(transparent)]
    Plugin(#[from] PluginError),
}

impl SwapError {
    /// Whether it is the version that can't, and not what is around it.
    pub fn is_of_version(&self) -> bool {
        match self {
            Self::OnTheWay | Self::Plugin(_) => true,
            Self::Start(error) => error.is_lasting(),
            Self::Unknown(_) => false,
        }
    }
}

impl Supervisor {
    /// Connects a pipeline and starts it, beside those that run. Blocks.
    ///
    /// # Errors
    /// As [`Supervisor::start`].
    pub fn add(&self, pipeline: &Arc<Pipeline>) -> Result<(), StartError> {
        if plan::is_exactly_once(pipeline.options()) {
            self.around.runtime.block_on(self.around.store.probe())?;
        }
        let parts = connect::connect(pipeline, &self.around)?;
        // Whoever stops all comes before, or finds these here: no task is left to workers that have ended.
        let mut pipelines = self.pipelines();
        if self.is_stopping() {
            return Ok(());
        }
        for part in &parts {
            let of = |source| StartError::Source { pipeline: part.name().to_owned(), source };
            part.join().map_err(of)?;
        }
        pipelines.running.extend(parts);
        pipelines.coming.remove(pipeline.name());
        Ok(())
    }

    /// Has a pipeline commit what it has, leave its group and go. Blocks until it has.
    pub fn remove(&self, name: &str) {
        self.end(name);
        self.pipelines().coming.remove(name);
    }

    /// Has a pipeline end in order and begin again. Where it can't, it is waited for until it is added, or removed.
    ///
    /// # Errors
    /// As [`Supervisor::add`].
    pub fn restart(&self, pipeline: &Arc<Pipeline>) -> Result<(), StartError> {
        self.pipelines().coming.insert(pipeline.name().to_owned());
        self.end(pipeline.name());
        self.add(pipeline)
    }

    fn end(&self, name: &str) {
        for part in self.parts(name) {
            part.stop();
        }
        self.pipelines().running.retain(|part| part.name() != name);
    }

    /// Has a pipeline go on with another version of itself: each task after its epoch at hand. With `limits` it is on probation, and
    /// goes back by itself; where it `goes_back` itself, what the version after it has added to states goes.
    ///
    /// The caller has seen that [`way`](super::way) says so. Blocks on the cluster where rows go to topics.
    ///
    /// # Errors
    /// See [`SwapError`]: nothing has changed then.
    pub fn swap(
        &self,
        pipeline: &Arc<Pipeline>,
        limits: Option<ProbationLimits>,
        goes_back: bool,
    ) -> Result<(), SwapError> {
        let (parts, trial) = (self.parts(pipeline.name()), Arc::default());
        let versions = parts.iter().zip(self.next(pipeline, goes_back)?).map(|(part, version)| match limits {
            Some(limits) => version.on_probation(&part.version(), limits, &trial),
            None => version,
        });
        Ok(swap_all(&parts, versions)?)
    }

    /// Has a pipeline go on with itself on probation, from which it goes back to the version `before`.
    ///
    /// # Errors
    /// As [`Supervisor::swap`].
    pub fn prove(
        &self,
        pipeline: &Arc<Pipeline>,
        before: &Arc<Pipeline>,
        limits: ProbationLimits,
    ) -> Result<(), SwapError> {
        let (parts, trial) = (self.parts(pipeline.name()), Arc::default());
        let versions = self.next(pipeline, false)?.into_iter().zip(self.next(before, true)?);
        let versions = versions.map(|(version, back)| version.on_probation(&Arc::new(back), limits, &trial));
        Ok(swap_all(&parts, versions)?)
    }

    /// Another version of a pipeline, for each of its parts.
    fn next(&self, pipeline: &Arc<Pipeline>, goes_back: bool) -> Result<Vec<Version>, SwapError> {
        let name = pipeline.name();
        let parts = self.parts(name);
        let Some(first) = parts.first() else { return Err(SwapError::Unknown(name.to_owned())) };
        let of_sink = |source| StartError::Sink { pipeline: name.to_owned(), source };
        let topics = plan::topics(pipeline, &self.around.runtime).map_err(of_sink)?;
        let schemas = plan::schemas(pipeline, self.around.registry.as_deref(), &self.around.runtime);
        let schemas = schemas.map_err(StartError::Registry)?;
        let mut next = plan::plan(pipeline, &topics, &schemas, self.around.registry.clone());
        if let Some(aggregate) = &mut next.aggregate {
            aggregate.allow_dropped |= goes_back;
        }
        let exchange = exchange(&first.version().plan, &next)?;
        let shadow_rows = pipeline.options().swap.shadow_rows;
        let recent = Arc::clone(&first.version().recent);
        let recent = if recent.max_rows() == shadow_rows { recent } else { Arc::new(Recent::new(shadow_rows)) };
        Ok(connect::versions(pipeline, next, exchange.as_ref(), &recent).into_iter().collect())
    }

    /// What a pipeline's tasks work by, on both sides of an exchange where there is one.
    pub fn versions(&self, name: &str) -> Vec<Arc<Version>> {
        self.parts(name).iter().map(|part| part.version()).collect()
    }

    /// The newest batches of a pipeline.
    pub fn recent(&self, name: &str) -> Vec<(Rows, BatchTime)> {
        self.parts(name).first().map(|part| part.version().recent.batches()).unwrap_or_default()
    }

    fn parts(&self, name: &str) -> Vec<Arc<Running>> {
        self.pipelines().running.iter().filter(|part| part.name() == name).map(Arc::clone).collect()
    }
}

/// The exchange of another version, which must leave what is on its way where it is.
fn exchange(from: &Plan, to: &Plan) -> Result<Option<crate::task::ExchangePlan>, SwapError> {
    let (Some(from), Some(to)) = (&from.aggregate, &to.aggregate) else { return Ok(None) };
    let Some((_, exchange)) = &from.exchange else { return Ok(None) };
    let topics: BTreeMap<String, u32> = exchange.topics.clone();
    let next = connect::through(to, exchange.placing.partitions(), topics).map_err(|_| SwapError::OnTheWay)?;
    match from.rows == to.rows && next.placing == exchange.placing {
        true => Ok(Some(next)),
        false => Err(SwapError::OnTheWay),
    }
}
