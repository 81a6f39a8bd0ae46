//! Workers with tasks of which one panics, on messages of the client library's mock cluster.

use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use indexmap::IndexMap;
use tokio::runtime::Runtime;

use super::*;
use crate::batch::data_type;
use crate::commit::{LogOptions, Store, TaskLog};
use crate::decode::{ColumnOptions, DecodeOptions};
use crate::encode::DeadLetterFormat;
use crate::plugin::{Chain, PluginError};
use crate::source::{PartitionQueue, tests::queues};
use crate::task::version::tests::{of, on_probation};
use crate::task::{OpenPlugins, Plan, Recent, Resources, Trigger};

const BOUND: Duration = Duration::from_secs(60);

/// A pipeline whose one table goes nowhere.
fn plan() -> Plan {
    Plan {
        pipeline: "good".to_owned(),
        decode: DecodeOptions::Json {},
        columns: IndexMap::from([("n".to_owned(), ColumnOptions::new("int64"))]),
        registry: None,
        tables: vec![None],
        aggregate: None,
        dead_letters: DeadLetterFormat::Json,
        trigger: Trigger { every: Duration::from_millis(1), bytes: u64::MAX, rows: u64::MAX },
        batch_rows: 1,
        plugins: vec![],
        config: String::new(),
    }
}

fn open() -> Result<Plugins, PluginError> {
    let n = crate::batch::Field::new("n", data_type("int64").unwrap(), true);
    let schema = Arc::new(crate::batch::Schema::new(vec![n]));
    Ok(Plugins { chain: Chain::open(&[], &schema)?, aggregate: None })
}

/// Gives a worker a task; returns where it is told of: each offset that is committed, and the end.
fn start(
    worker: &Worker,
    runtime: &Runtime,
    queue: PartitionQueue,
    plan: Plan,
    open: OpenPlugins,
) -> (Receiver<i64>, Receiver<Result<(), TaskError>>) {
    let store = Store::in_memory();
    let options = LogOptions::new(Duration::from_secs(3600), true);
    let claim = TaskLog::claim(store.clone(), "log".to_owned(), "a".to_owned(), options, |_| async { Ok(0) });
    let log = runtime.block_on(claim).unwrap();
    let (tell, committed) = channel();
    let tell = Mutex::new(tell);
    let resources = Resources {
        store,
        runtime: runtime.handle().clone(),
        acknowledge: Arc::new(move |_, end| tell.lock().unwrap().send(end).unwrap_or(())),
        progress: Arc::default(),
        targets: None,
        end_offset: Arc::new(|| None),
        last_batch: Arc::default(),
    };
    let version = Arc::new(Version::new(Arc::new(plan), open, Arc::new(Recent::new(0))));
    let task = Task::new(version, resources, queue, log, None).unwrap();
    let (tell, ended) = channel();
    worker.add(task, Box::new(move |result| tell.send(result).unwrap_or(())));
    (committed, ended)
}

/// Starts a task that panics and then one that doesn't; the words that the first ends with.
fn words_of(broken: Plan, open_broken: OpenPlugins) -> String {
    let (runtime, worker) = (Runtime::new().unwrap(), Worker::start("w".to_owned()).unwrap());
    let (mut queues, _source) = queues(r#"{"n":1}"#, 2);
    let (good, bad) = (queues.pop().unwrap(), queues.pop().unwrap());
    let (_, ended) = start(&worker, &runtime, bad, broken, open_broken);
    let error = match ended.recv_timeout(BOUND) {
        Ok(Err(TaskError::Fatal(reason))) => reason,
        other => panic!("it did not end by an error of its own: {other:?}"),
    };
    let (committed, _ended) = start(&worker, &runtime, good, plan(), Arc::new(open));
    assert_eq!(committed.recv_timeout(BOUND), Ok(1), "the worker has gone on");
    worker.stop();
    error
}

#[test]
fn a_task_that_panics_ends_with_its_words_and_the_others_go_on() {
    // It has a table more than it has places for them.
    let broken = Plan { pipeline: "broken".to_owned(), tables: vec![], ..plan() };
    let words = words_of(broken, Arc::new(open));
    assert!(words.starts_with("claims/0: a panic") && words.contains("index out of bounds"), "{words}");
}

#[test]
fn plugins_that_panic_when_they_are_made_end_their_task_alone() {
    let broken = Plan { pipeline: "broken".to_owned(), ..plan() };
    let words = words_of(broken, Arc::new(|| panic!("none today")));
    assert!(words.starts_with("claims/0: a panic") && words.ends_with(": none today"), "{words}");
}

#[test]
fn a_version_on_probation_that_can_not_be_opened_goes_back_and_any_other_stops_its_pipeline() {
    let unloadable = || PluginError::Unloadable { path: "x.wasm".into(), reason: "there is no room".to_owned() };
    let version = || of(Arc::new(move || Err(unloadable())));
    let before = Arc::new(version());
    assert!(matches!(open_plugins(&mut HashMap::new(), &before), Err(TaskError::Fatal(_))));
    let next = on_probation(version(), &before);
    assert!(matches!(open_plugins(&mut HashMap::new(), &next), Err(TaskError::Swapped(_))));
    assert!(next.failure().is_some_and(|reason| reason.contains("there is no room")));
}
