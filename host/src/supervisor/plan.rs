//! What a pipeline's options mean to the source, to its tasks and to the store.

use std::sync::Arc;

use crate::commit::{self, LogOptions};
use crate::config::{Delivery, OnDataLoss, PipelineOptions, Start, StoreOptions};
use crate::encode;
use crate::pipeline::Pipeline;
use crate::registry::Registry;
use crate::source::{self, SourceOptions};
use crate::task::{Plan, Trigger};

impl StoreOptions {
    /// As the commit protocol's store takes them.
    pub fn for_commit(&self) -> commit::StoreOptions {
        commit::StoreOptions { url: self.url.clone(), control: self.control.clone(), options: self.options.0.clone() }
    }
}

pub(super) fn source(options: &PipelineOptions) -> SourceOptions {
    SourceOptions {
        properties: options.kafka.0.clone(),
        group: options.group.clone(),
        topics: options.topics.clone(),
        start: match options.start {
            Start::Earliest => source::Start::Earliest,
            Start::Latest => source::Start::Latest,
            Start::At(time) => source::Start::Timestamp(time.timestamp_millis()),
        },
        on_data_loss: match options.on_data_loss {
            OnDataLoss::Fail => source::OnDataLoss::Fail,
            OnDataLoss::Continue => source::OnDataLoss::Continue,
        },
    }
}

pub(super) fn is_exactly_once(options: &PipelineOptions) -> bool {
    options.delivery == Delivery::ExactlyOnce
}

pub(super) fn log(options: &PipelineOptions) -> LogOptions {
    LogOptions::new(options.log_retention, is_exactly_once(options))
}

pub(super) fn plan(pipeline: &Pipeline, registry: Option<Arc<Registry>>) -> Plan {
    let options = pipeline.options();
    Plan {
        pipeline: pipeline.name().to_owned(),
        decode: options.decode.clone(),
        columns: options.columns.clone(),
        registry: registry.filter(|_| options.decode.avro().is_some()),
        tables: pipeline
            .tables()
            .iter()
            .map(|table| table.options.clone().map(|to| (to, table.schema.clone())))
            .collect(),
        dead_letters: match options.dead_letters.format {
            crate::config::DeadLetterFormat::Json => encode::DeadLetterFormat::Json,
            crate::config::DeadLetterFormat::Parquet => encode::DeadLetterFormat::Parquet,
        },
        trigger: trigger(options),
        batch_rows: options.max_batch_rows,
        plugins: pipeline.digests(),
        config: options.digest(),
    }
}

/// All files of a task are closed at once: the sink that wants it first decides.
fn trigger(options: &PipelineOptions) -> Trigger {
    let sinks = || options.sinks().map(|(_, sink)| sink);
    Trigger {
        every: sinks().map(|sink| sink.every).min().unwrap_or_default(),
        bytes: sinks().map(|sink| sink.size).min().unwrap_or(u64::MAX),
        rows: sinks().filter_map(|sink| sink.rows).min().unwrap_or(u64::MAX),
    }
}
