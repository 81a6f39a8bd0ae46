//! Pipelines that end, begin again and change while others have failed, against the client library's own mock cluster.

use std::path::Path;

use tokio::runtime::Runtime;

use super::super::{Pipelines, Supervisor};
use super::*;
use crate::batch::Schema;
use crate::commit::Store;
use crate::config::parse;
use crate::kafka::EmbeddedBroker;
use crate::pipeline::Pipeline;
use crate::plugin::{Chain, Engine};
use crate::source::{OnDataLoss, SourceOptions, Start};
use crate::task::version::tests::of;
use crate::task::{OpenPlugins, Plan};
use crate::worker::Worker;

const TOPIC: &str = "t";

struct Lab {
    broker: EmbeddedBroker,
    around: Surroundings,
    _runtime: Runtime,
}

impl Lab {
    fn new() -> Self {
        let runtime = Runtime::new().unwrap();
        let around = Surroundings {
            store: Store::in_memory(),
            workers: Arc::new(vec![Worker::start("worker".to_owned()).unwrap()]),
            runtime: runtime.handle().clone(),
            registry: None,
            until_caught_up: false,
        };
        Self { broker: EmbeddedBroker::start(&[TOPIC], 1).unwrap(), around, _runtime: runtime }
    }

    /// A part of a pipeline of this name.
    fn part(&self, name: &str) -> Arc<Running> {
        let properties = [("bootstrap.servers".to_owned(), self.broker.servers().to_owned())];
        let source = SourceOptions {
            properties: properties.into_iter().collect(),
            group: name.to_owned(),
            topics: vec![TOPIC.to_owned()],
            start: Start::Earliest,
            on_data_loss: OnDataLoss::Fail,
        };
        let mut version = version(true);
        let plan = Plan { pipeline: name.to_owned(), ..(*version.plan).clone() };
        version.plan = Arc::new(plan);
        let part = Part {
            version: Arc::new(version),
            one_partition: false,
            log: LogOptions::new(Duration::from_secs(3600), true),
            sink: Sink::new(name, &source.properties),
            consumer: Consumer::connect(source).unwrap(),
            targets: None,
            before: None,
            failure: Arc::default(),
        };
        Running::new(part, &self.around)
    }

    /// A part that has a task.
    fn busy(&self) -> Arc<Running> {
        let part = self.part("p");
        let partition = TopicPartition { topic: TOPIC.to_owned(), partition: 0 };
        let progress = Arc::default();
        let held = Held {
            progress,
            worker: Some(0),
            again: None,
            pause: FIRST_PAUSE,
            began_at: 0,
            last_batch: Arc::default(),
        };
        lock(&part.tasks).insert(partition, held);
        part
    }
}

fn pipeline(kafka: &str) -> Arc<Pipeline> {
    let text = format!(
        "kafka = {{ {kafka} }}\nstore.url = 'lake'\n\
         [pipeline.p]\ntopic = '{TOPIC}'\ndecode.format = 'raw'\nsink.table = 'main'\n"
    );
    let config = parse(&text, "pipelines.toml", Path::new("."), &[], &|_| None);
    let config = config.unwrap_or_else(|flawed| panic!("{}", flawed.problems));
    let engine = Engine::new(None).unwrap();
    Arc::new(Pipeline::open("p", &config.pipelines["p"], &engine, &config.base).unwrap())
}

/// A version whose plugins open, or don't.
fn version(opens: bool) -> Version {
    let open: OpenPlugins = Arc::new(move || match opens {
        true => Ok(Plugins { chain: Chain::open(&[], &Arc::new(Schema::empty()))?, aggregate: None }),
        false => Err(PluginError::Unloadable { path: "x.wasm".into(), reason: "there is no room".to_owned() }),
    });
    of(open)
}

#[test]
fn all_parts_of_a_pipeline_change_or_none() {
    let lab = Lab::new();
    let parts = [lab.busy(), lab.busy()];
    let ids = || parts.each_ref().map(|part| part.version().id());
    let before = ids();
    let error = swap_all(&parts, [version(true), version(false)].into_iter()).unwrap_err();
    assert!(error.to_string().contains("there is no room"), "{error}");
    assert_eq!(ids(), before);
    let next = [version(true), version(true)];
    let after = next.each_ref().map(Version::id);
    swap_all(&parts, next.into_iter()).unwrap();
    assert_eq!(ids(), after);
}

#[test]
fn a_host_goes_on_while_a_pipeline_is_to_begin_again_though_all_others_have_failed() {
    let lab = Lab::new();
    let supervisor =
        Supervisor { pipelines: Mutex::default(), around: lab.around.clone(), stopping: AtomicBool::new(false) };
    let servers = format!("'bootstrap.servers' = '{}'", lab.broker.servers());
    let unusable = pipeline(&format!("{servers}, 'partition.assignment.strategy' = 'none such'"));
    let usable = pipeline(&servers);
    let names = || {
        let Pipelines { running, coming } = &*supervisor.pipelines();
        (running.iter().map(|part| part.name().to_owned()).collect::<Vec<_>>(), coming.len())
    };
    let mut ticks = 0;
    supervisor.wait(|_| {
        ticks += 1;
        match ticks {
            1 => {
                let failed = lab.part("failed");
                failed.failed(SourceError::Kafka("it is gone".to_owned()));
                supervisor.pipelines().running.push(failed);
                assert!(supervisor.restart(&unusable).is_err());
            }
            3 => supervisor.add(&usable).unwrap(),
            5 => supervisor.remove("p"),
            _ => {}
        }
    });
    assert_eq!((ticks, names()), (6, (vec!["failed".to_owned()], 0)));
}
