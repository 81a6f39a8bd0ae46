//! A pipeline connected to Kafka: as one part, or as two with an exchange between them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use arrow::error::ArrowError;
use tokio::runtime::Handle;

use super::plan;
use super::running::{Part, Running};
use super::{StartError, Surroundings};
use crate::encode::{Target, placed_schema};
use crate::exchange::{self, HEADER};
use crate::pipeline::Pipeline;
use crate::sink::{self, Sink};
use crate::source::{Consumer, SourceError, SourceOptions, TopicPartition};
use crate::task::{AggregatePlan, ExchangePlan, OpenPlugins, Plan, Recent, Side, Targets, Version};

/// Connects to Kafka. Nothing is consumed yet.
pub(super) fn connect(pipeline: &Arc<Pipeline>, around: &Surroundings) -> Result<Vec<Arc<Running>>, StartError> {
    let of_source = |source| StartError::Source { pipeline: pipeline.name().to_owned(), source };
    let of_sink = |source| StartError::Sink { pipeline: pipeline.name().to_owned(), source };
    let source = plan::source(pipeline.options());
    let consumer = Consumer::connect(source.clone()).map_err(of_source)?;
    let partitions = match plan::may_need_exchange(pipeline.options()) {
        true => count(partitions(&consumer, around.until_caught_up).map_err(of_source)?),
        false => BTreeMap::new(),
    };
    let topics = plan::topics(pipeline, &around.runtime).map_err(of_sink)?;
    let schemas = plan::schemas(pipeline, around.registry.as_deref(), &around.runtime)?;
    let plan = plan::plan(pipeline, &topics, &schemas, around.registry.clone());
    let targets = around.until_caught_up.then(Targets::default);
    if let Some(targets) = &targets {
        let ends = ends(&consumer).map_err(of_source)?;
        // Set once, here.
        let _ = targets.set(ends);
    }
    let exchange = plan::needs_exchange(pipeline.options(), &partitions)
        .then(|| exchange_of(pipeline, &plan, partitions, &around.runtime))
        .transpose()
        .map_err(of_sink)?;
    let log = plan::log(pipeline.options());
    let sink = Sink::new(pipeline.name(), &pipeline.options().kafka);
    let failure = Arc::new(OnceLock::new());
    let recent = Arc::new(Recent::new(pipeline.options().swap.shadow_rows));
    let mut versions = versions(pipeline, plan, exchange.as_ref(), &recent).into_iter().map(Arc::new);
    let part = |version: Arc<Version>, consumer, targets, before: Option<Arc<Running>>| Part {
        version,
        one_partition: exchange.is_none() && plan::may_need_exchange(pipeline.options()),
        log: log.clone(),
        sink: sink.clone(),
        consumer,
        targets,
        before,
        failure: Arc::clone(&failure),
    };
    let Some(first) = versions.next() else { return Ok(Vec::new()) };
    let mut parts = vec![Running::new(part(first, consumer, targets, None), around)];
    for version in versions {
        let behind = Consumer::connect(behind(source.clone(), &exchange::topic(pipeline.name()))).map_err(of_source)?;
        let targets = around.until_caught_up.then(Targets::default);
        let before = parts.last().map(Arc::clone);
        parts.push(Running::new(part(version, behind, targets, before), around));
    }
    Ok(parts)
}

/// What the tasks of a pipeline work by: one version of it, or one for each side of an exchange.
pub(super) fn versions(
    pipeline: &Arc<Pipeline>,
    plan: Plan,
    exchange: Option<&ExchangePlan>,
    recent: &Arc<Recent>,
) -> Vec<Version> {
    let of = Arc::clone(pipeline);
    let open: OpenPlugins = Arc::new(move || of.open_plugins());
    let Some(exchange) = exchange else { return vec![Version::new(Arc::new(plan), open, Arc::clone(recent))] };
    let of = Arc::clone(pipeline);
    let open_behind: OpenPlugins = Arc::new(move || of.open_plugins_behind_exchange());
    let (before, behind) = parted(plan, &exchange::topic(pipeline.name()), exchange);
    // A new version is tried on what its transforms are given.
    let nothing = Arc::new(Recent::new(0));
    vec![Version::new(Arc::new(before), open, Arc::clone(recent)), Version::new(Arc::new(behind), open_behind, nothing)]
}

/// The partitions of a consumer's topics. A topic that has just been made may not be known to all brokers yet. Blocks.
fn partitions(consumer: &Consumer, at_once: bool) -> Result<Vec<TopicPartition>, SourceError> {
    let deadline = Instant::now() + plan::PATIENCE;
    loop {
        match consumer.partitions() {
            Err(SourceError::UnknownTopic { topic, servers }) if !at_once => {
                if Instant::now() > deadline {
                    let why = "an aggregate has to know how many partitions it has";
                    return Err(SourceError::Kafka(format!(
                        "topic {topic} does not exist at {servers}; create it: {why}"
                    )));
                }
                std::thread::sleep(super::TICK);
            }
            other => return other,
        }
    }
}

/// Where each partition of a consumer's topics ends.
pub(super) fn ends(consumer: &Consumer) -> Result<HashMap<TopicPartition, i64>, SourceError> {
    let offsets = consumer.offsets();
    let end = |partition| {
        let (_, end) = offsets.bounds(&partition)?;
        Ok((partition, end))
    };
    consumer.partitions()?.into_iter().map(end).collect()
}

/// How many partitions each topic has.
fn count(partitions: Vec<TopicPartition>) -> BTreeMap<String, u32> {
    let mut topics = BTreeMap::new();
    for TopicPartition { topic, .. } in partitions {
        *topics.entry(topic).or_default() += 1;
    }
    topics
}

/// Makes the exchange's topic, unless it is there. Blocks.
fn exchange_of(
    pipeline: &Pipeline,
    plan: &Plan,
    topics: BTreeMap<String, u32>,
    runtime: &Handle,
) -> Result<ExchangePlan, sink::SinkError> {
    let differs = |reason: String| sink::SinkError::Differs(reason);
    let Some(aggregate) = &plan.aggregate else { return Err(differs("there are no groups".to_owned())) };
    let columns = aggregate.window.placed_by();
    let partitions = match columns.is_empty() {
        true => 1,
        false => topics.values().copied().max().unwrap_or(1),
    };
    let topic = exchange::topic(pipeline.name());
    let options = plan::exchange_topic(&topic, partitions);
    let found = sink::create_missing(&pipeline.options().kafka, &[&options], runtime, plan::PATIENCE)?;
    let partitions = found.get(&topic).map_or(partitions, |found| found.partitions as u32);
    let exchange = through(aggregate, partitions, topics).map_err(|error| differs(error.to_string()))?;
    tracing::info!(pipeline = pipeline.name(), topic, rule = exchange.placing.rule(), "rows go through an exchange");
    Ok(exchange)
}

/// An exchange of so many partitions, for the rows of an aggregate.
pub(super) fn through(
    aggregate: &AggregatePlan,
    partitions: u32,
    topics: BTreeMap<String, u32>,
) -> Result<ExchangePlan, ArrowError> {
    let placing = exchange::Placing::new(&aggregate.rows, &aggregate.window.placed_by(), partitions)?;
    let sends_states = aggregate.late.is_none() && aggregate.window.states_can_be_sent();
    Ok(ExchangePlan { placing, topics, sends_states })
}

/// What reads the exchange's topic: all of it, and nothing of a transaction that isn't committed.
fn behind(source: SourceOptions, topic: &str) -> SourceOptions {
    let mut properties = source.properties;
    properties.insert("isolation.level".to_owned(), "read_committed".to_owned());
    SourceOptions {
        properties,
        group: format!("{}.exchange", source.group),
        topics: vec![topic.to_owned()],
        start: crate::source::Start::Earliest,
        on_data_loss: source.on_data_loss,
    }
}

/// The plans of both sides of an exchange: outputs of the transforms are written before it, what comes of groups behind it.
fn parted(plan: Plan, topic: &str, exchange: &ExchangePlan) -> (Plan, Plan) {
    let late = plan.aggregate.as_ref().and_then(|aggregate| aggregate.late);
    let (mut before, mut behind) = (plan.clone(), plan);
    for (plan, side) in [(&mut before, Side::Before), (&mut behind, Side::Behind)] {
        if let Some(aggregate) = &mut plan.aggregate {
            aggregate.exchange = Some((side, exchange.clone()));
        }
    }
    before.trigger = plan::exchange_trigger(before.trigger);
    for (index, table) in before.tables.iter_mut().enumerate() {
        if index == 0 {
            *table = Some((Target::Placed(topic.to_owned()), placed_schema(HEADER)));
        } else if Some(index) == late {
            *table = None;
        }
    }
    for (index, table) in behind.tables.iter_mut().enumerate() {
        if index != 0 && Some(index) != late {
            *table = None;
        }
    }
    (before, behind)
}
