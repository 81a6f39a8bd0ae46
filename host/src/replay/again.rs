//! Dead letters on the way that records take: decoded, through the plugins, up to what would take their rows.

use std::sync::Arc;

use tokio::runtime::Handle;

use super::Letter;
use crate::batch::Rejection;
use crate::decode::Decoder;
use crate::encode::TargetWriter;
use crate::pipeline::{AggregateStep, Pipeline};
use crate::plugin::{ChainError, Dead, Plugins};
use crate::registry::Registry;
use crate::task::{PluginFold, batch_time, check, refusal};
use crate::window::Aggregation;

/// A pipeline that dead letters are put to the test by, one at a time.
pub struct Again {
    topics: Vec<String>,
    decoder: Decoder,
    registry: Option<Arc<Registry>>,
    runtime: Handle,
    plugins: Plugins,
    aggregate: Option<AggregateStep>,
    writers: Vec<Option<TargetWriter>>,
}

/// What has become of a dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It would be processed now.
    Passes,
    /// It would be a dead letter again.
    Fails {
        /// The stage that can't process it.
        stage: String,
        /// Why.
        reason: String,
    },
    /// It is no record of the pipeline's topics: what it holds was made of some.
    NoRecord,
}

impl Again {
    /// Opens what a task has.
    ///
    /// # Errors
    /// What wasn't so when the pipeline was opened.
    pub fn new(pipeline: &Pipeline, registry: Option<Arc<Registry>>, runtime: Handle) -> Result<Self, String> {
        let mut decoder = pipeline.decoder().map_err(|error| error.to_string())?;
        if let Some(registry) = &registry {
            decoder.look_up_in(Arc::clone(registry.schemas()));
        }
        let writers = pipeline
            .tables()
            .iter()
            .map(|table| table.target.as_ref().map(|target| TargetWriter::new(target, &table.schema)).transpose());
        Ok(Self {
            topics: pipeline.options().topics.clone(),
            decoder,
            registry,
            runtime,
            plugins: pipeline.open_plugins().map_err(|error| error.to_string())?,
            aggregate: pipeline.aggregate().cloned(),
            writers: writers.collect::<Result<_, _>>().map_err(|error| error.to_string())?,
        })
    }

    /// Puts a dead letter to the test, alone: in groups of its own, if rows are aggregated. Waits for schemas that it names.
    ///
    /// # Errors
    /// A plugin that can't be started again.
    pub fn test(&mut self, letter: &Letter) -> Result<Verdict, String> {
        if !self.topics.contains(&letter.topic) || letter.is_row() {
            return Ok(Verdict::NoRecord);
        }
        let messages = letter.messages();
        let lacking = self.decoder.prepare(&messages);
        if let Some(registry) = self.registry.as_ref().filter(|_| !lacking.is_empty()) {
            self.runtime.block_on(registry.fetch(&lacking));
            self.decoder.prepare(&messages);
        }
        let decoded = self.decoder.decode(&messages);
        if let Some(Rejection { reason, .. }) = decoded.rejected.into_iter().next() {
            return Ok(Verdict::Fails { stage: "decode".to_owned(), reason });
        }
        let now = batch_time(&messages);
        let groups = |step: &AggregateStep| Aggregation::new(&step.window, &step.rows, &step.state);
        let mut groups = self.aggregate.as_ref().map(groups).transpose().map_err(|error| error.to_string())?;
        let (writers, aggregate) = (&self.writers, &mut self.plugins.aggregate);
        let mut take = |table: usize, batch: &_| match (table, &mut groups, &mut *aggregate) {
            (0, Some(groups), Some(plugin)) => match groups.fold(batch, &mut PluginFold { plugin, now }) {
                Ok(_) => Ok(()),
                Err(refused) => Err(refusal(refused, plugin)),
            },
            _ => check(writers, table, batch),
        };
        let mut dead = Vec::new();
        match self.plugins.chain.apply(&decoded.rows, now, &mut take, &mut dead) {
            Ok(_) => Ok(match dead.into_iter().next() {
                Some(Dead { stage, reason, .. }) => Verdict::Fails { stage, reason },
                None => Verdict::Passes,
            }),
            // So many in a row are nothing to stop for here: each has its own verdict.
            Err(ChainError::Failing { reason, .. }) => Ok(Verdict::Fails { stage: "transform".to_owned(), reason }),
            Err(error) => Err(error.to_string()),
        }
    }
}
