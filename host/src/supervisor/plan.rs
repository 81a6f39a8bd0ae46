//! What a pipeline's options mean to the source, to its tasks and to the store.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use crate::commit::{self, LogOptions};
use crate::config::{Delivery, Exchange, OnDataLoss, PipelineOptions, Properties, Start, StoreOptions};
use crate::encode::{self, RecordWriter, Target, TopicOptions};
use crate::pipeline::{LATE, Pipeline, PipelineTable};
use crate::registry::{Registry, RegistryError};
use crate::sink::{self, Difference, Found, SinkError};
use crate::source::{self, SourceOptions};
use crate::task::{AggregatePlan, OpenAggregate, Plan, Trigger};

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

/// How a pipeline that runs comes to another configuration or other plugins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// Its tasks go on with it, each after an epoch.
    Swap,
    /// It ends in order, and begins again: for this key.
    Restart(&'static str),
    /// Not at all: what it remembers would be of no use. In words, with the way out.
    Refused(String),
}

/// How a pipeline comes to another version.
pub fn way(from: &PipelineOptions, to: &PipelineOptions) -> Way {
    let restarts = [
        ("topics", from.topics == to.topics),
        ("group", from.group == to.group),
        ("kafka", from.kafka == to.kafka),
        ("delivery", from.delivery == to.delivery),
        ("on_data_loss", from.on_data_loss == to.on_data_loss),
        ("log_retention", from.log_retention == to.log_retention),
    ];
    match (&from.aggregate, &to.aggregate) {
        (Some(from), Some(to)) if !from.has_groups_of(to) => {
            return Way::Refused(
                "its groups would be others (key, time, window, dedup or exchange), and it remembers those that there are: give the \
                 pipeline another name to begin anew"
                    .to_owned(),
            );
        }
        (Some(_), None) | (None, Some(_)) => return Way::Restart("aggregate"),
        _ => {}
    }
    restarts.into_iter().find(|(_, same)| !same).map_or(Way::Swap, |(key, _)| Way::Restart(key))
}

/// Whether the results would be wrong if rows came from several partitions with no exchange between them and their groups.
pub(super) fn may_need_exchange(options: &PipelineOptions) -> bool {
    options.aggregate.as_ref().is_some_and(|aggregate| aggregate.exchange != Some(Exchange::None))
}

/// Whether rows go through an exchange, given how many partitions each topic has.
pub(super) fn needs_exchange(options: &PipelineOptions, topics: &BTreeMap<String, u32>) -> bool {
    let is_asked = options.aggregate.as_ref().is_some_and(|aggregate| aggregate.exchange == Some(Exchange::Kafka));
    may_need_exchange(options) && (is_asked || topics.values().sum::<u32>() > 1)
}

/// How the topic of an exchange is made. What was read stays for a week, should a task have to wait for that long.
pub(super) fn exchange_topic(topic: &str, partitions: u32) -> TopicOptions {
    let mut options = TopicOptions::new(topic);
    options.partitions = i32::try_from(partitions).ok();
    options.config.insert("max.message.bytes".to_owned(), (1 << 20).to_string());
    options.config.insert("cleanup.policy".to_owned(), "delete".to_owned());
    options.config.insert("retention.ms".to_owned(), (7 * 24 * 3_600_000_u64).to_string());
    options
}

/// What is behind an exchange waits for the commits before it, so these come soon, and are small.
pub(super) fn exchange_trigger(trigger: Trigger) -> Trigger {
    Trigger { every: trigger.every.min(EXCHANGE_EVERY), bytes: trigger.bytes.min(EXCHANGE_BYTES), ..trigger }
}

pub(super) fn log(options: &PipelineOptions) -> LogOptions {
    LogOptions::new(options.log_retention, is_exactly_once(options))
}

/// How long the cluster may take to say what its topics are like, or to make one.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// The longest epoch before an exchange, and the largest.
const EXCHANGE_EVERY: Duration = Duration::from_secs(5);
const EXCHANGE_BYTES: u64 = 32 << 20;

/// Makes the topics that the pipeline sends to, where they aren't there, and says what they are like. Blocks.
pub(super) fn topics(pipeline: &Pipeline, runtime: &Handle) -> Result<HashMap<String, Found>, SinkError> {
    let targets = pipeline.tables().iter().filter_map(|table| table.target.as_ref());
    let asked: Vec<&TopicOptions> = targets.filter_map(Target::topic).collect();
    if asked.is_empty() {
        return Ok(HashMap::new());
    }
    let found = sink::create_missing(&pipeline.options().kafka, &asked, runtime, PATIENCE)?;
    for options in asked {
        let Some(found) = found.get(&options.topic) else { continue };
        for difference in sink::differences(options, found) {
            let Difference { message, hint, is_error, .. } = difference;
            if is_error {
                return Err(SinkError::Differs(format!("{message}; {hint}")));
            }
            tracing::warn!(pipeline = pipeline.name(), "{message}; {hint}");
        }
    }
    Ok(found)
}

/// Registers the schemas of Avro values; the ids, in the order of the pipeline's tables. Blocks.
pub(super) fn schemas(
    pipeline: &Pipeline,
    registry: Option<&Registry>,
    runtime: &Handle,
) -> Result<Vec<Option<u32>>, RegistryError> {
    let register = |table: &PipelineTable| {
        // A writer could be made in `open`, so one can be made now.
        let topic = table.target.as_ref().and_then(Target::topic);
        let writer = topic.and_then(|topic| RecordWriter::new(topic, &table.schema).ok());
        let schema = writer.and_then(|writer| writer.avro_schema());
        let (Some(topic), Some(schema), Some(registry)) = (topic, schema, registry) else { return Ok(None) };
        runtime.block_on(registry.register(&format!("{}-value", topic.topic), &schema)).map(Some)
    };
    pipeline.tables().iter().map(register).collect()
}

pub(super) fn plan(
    pipeline: &Pipeline,
    topics: &HashMap<String, Found>,
    schemas: &[Option<u32>],
    registry: Option<Arc<Registry>>,
) -> Plan {
    let options = pipeline.options();
    Plan {
        pipeline: pipeline.name().to_owned(),
        decode: options.decode.clone(),
        columns: options.columns.clone(),
        registry: registry.filter(|_| options.decode.avro().is_some()),
        tables: pipeline
            .tables()
            .iter()
            .zip(schemas)
            .map(|(table, id)| {
                table.target.clone().map(|to| (as_found(to, topics, &options.kafka, *id), table.schema.clone()))
            })
            .collect(),
        aggregate: pipeline.aggregate().map(|aggregate| AggregatePlan {
            window: aggregate.window.clone(),
            rows: aggregate.rows.clone(),
            state: aggregate.state.clone(),
            late: pipeline.tables().iter().position(|table| table.output == LATE),
            idle_after: options.aggregate.as_ref().and_then(|aggregate| aggregate.idle_after),
            exchange: None,
            open: {
                let aggregate = aggregate.clone();
                let has_migration = aggregate.step.plugin.has_migration;
                OpenAggregate { has_migration, open: Arc::new(move || aggregate.open()) }
            },
            on_state_change: options.aggregate.as_ref().map(|aggregate| aggregate.on_state_change).unwrap_or_default(),
            allow_dropped: pipeline.is_gone_back_to(),
        }),
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

/// What a topic is really like goes over what was asked for.
fn as_found(mut target: Target, topics: &HashMap<String, Found>, kafka: &Properties, schema_id: Option<u32>) -> Target {
    if let Target::Topic(options) = &mut target {
        options.schema_id = schema_id;
        topics.get(&options.topic).unwrap_or(&Found::default()).apply_to(options, kafka);
    }
    target
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
