//! Membership in the consumer group: a thread that polls, and hands partitions over as they come and go.
//!
//! What never happens: a partition is never fetched before its task was claimed and said where to begin; a partition is
//! never given back before its task has committed or dropped what it had.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};

use super::brokers::Brokers;
use super::offsets::Offsets;
use super::options::SourceOptions;
use super::queue::PartitionQueue;
use super::{SourceError, TopicPartition};

/// How often the thread looks at what isn't an event of Kafka's.
const TICK: Duration = Duration::from_millis(50);
/// How long the first answer of a broker may take.
const CONNECT: Duration = Duration::from_secs(20);

/// How long leaving the group may take: a broker that doesn't answer is left all the same.
const LEAVE: Duration = Duration::from_secs(5);

/// Who owns the tasks of a pipeline. Called on the consumer's thread, which waits for the answer.
pub trait Owner: Send + Sync {
    /// Partitions came: claim their tasks, keep the queues, and say where each begins. A partition left out of the answer is
    /// not fetched until [`Owner::wanted`] names it.
    fn assigned(&self, queues: Vec<PartitionQueue>) -> Vec<(TopicPartition, i64)>;
    /// Partitions go: returns when their tasks have committed, or, where they are `lost`, dropped everything.
    fn revoked(&self, partitions: &[TopicPartition], lost: bool);
    /// Partitions whose tasks have ended and shall begin anew.
    fn wanted(&self) -> Vec<TopicPartition>;
    /// The consumer can't go on.
    fn failed(&self, error: SourceError);
}

/// A member of the group. Dropping it without [`Consumer::stop`] leaves the group without waiting for the tasks.
pub struct Consumer {
    consumer: Arc<BaseConsumer<Context>>,
    options: Arc<SourceOptions>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What librdkafka calls back.
pub struct Context {
    /// The group's name: two pipelines may read one topic.
    group: String,
    owner: OnceLock<Arc<dyn Owner>>,
    consumer: OnceLock<Weak<BaseConsumer<Context>>>,
    /// What this member has of the group's partitions.
    held: Mutex<BTreeSet<TopicPartition>>,
    brokers: Brokers,
    /// The last refusal to authenticate.
    refused: Mutex<Option<String>>,
    /// The last error of any broker.
    trouble: Mutex<Option<String>>,
    stop: Arc<AtomicBool>,
}

impl Consumer {
    /// Connects, and finds the partitions of the topics; joins no group yet. Blocks until a broker answers, for up to 20
    /// seconds.
    pub fn connect(options: SourceOptions) -> Result<Self, SourceError> {
        let context = Context {
            group: options.group.clone(),
            owner: OnceLock::new(),
            consumer: OnceLock::new(),
            held: Mutex::default(),
            brokers: Brokers::new(options.servers()),
            refused: Mutex::default(),
            trouble: Mutex::default(),
            stop: Arc::default(),
        };
        let stop = Arc::clone(&context.stop);
        let consumer: BaseConsumer<Context> = options
            .client_config()
            .create_with_context(context)
            .map_err(|error| SourceError::Property(error.to_string()))?;
        let consumer = Arc::new(consumer);
        // Set once, here.
        let _ = consumer.context().consumer.set(Arc::downgrade(&consumer));
        let connected = Self { consumer, options: Arc::new(options), stop, thread: None };
        connected.wait_for_broker()?;
        Ok(connected)
    }

    fn wait_for_broker(&self) -> Result<(), SourceError> {
        let servers = self.options.servers().to_owned();
        let context = self.consumer.context();
        let deadline = Instant::now() + CONNECT;
        loop {
            let answer =
                self.consumer.fetch_metadata(self.options.topics.first().map(String::as_str), Duration::from_secs(1));
            // Errors of brokers are events: they arrive only when polled for.
            let _ = self.consumer.poll(Duration::ZERO);
            if answer.is_ok() {
                return Ok(());
            }
            if let Some(reason) = lock(&context.refused).clone() {
                return Err(SourceError::Authentication { servers, reason });
            }
            if Instant::now() > deadline {
                let reason = lock(&context.trouble).clone();
                let reason = reason.unwrap_or_else(|| format!("no answer within {CONNECT:?}"));
                return Err(SourceError::Unreachable { servers, reason });
            }
        }
    }

    /// Every partition of the topics. A topic that doesn't exist is an error.
    pub fn partitions(&self) -> Result<Vec<TopicPartition>, SourceError> {
        let mut found = Vec::new();
        for topic in &self.options.topics {
            let metadata = self.consumer.fetch_metadata(Some(topic), CONNECT);
            let metadata = metadata.map_err(|error| SourceError::Kafka(format!("topic {topic}: {error}")))?;
            let described = metadata.topics().iter().find(|described| described.name() == topic);
            let partitions =
                described.filter(|described| described.error().is_none()).map(|described| described.partitions());
            match partitions {
                Some(partitions) if !partitions.is_empty() => found.extend(
                    partitions
                        .iter()
                        .map(|partition| TopicPartition { topic: topic.clone(), partition: partition.id() }),
                ),
                _ => {
                    let servers = self.options.servers().to_owned();
                    return Err(SourceError::UnknownTopic { topic: topic.clone(), servers });
                }
            }
        }
        Ok(found)
    }

    /// Asks the brokers about offsets.
    pub fn offsets(&self) -> Offsets {
        Offsets::new(Arc::clone(&self.consumer), Arc::clone(&self.options))
    }

    /// Joins the group. From here on `owner` is called.
    pub fn join(&mut self, owner: Arc<dyn Owner>) -> Result<(), SourceError> {
        // Set once: `join` is called once.
        let _ = self.consumer.context().owner.set(owner);
        let topics: Vec<&str> = self.options.topics.iter().map(String::as_str).collect();
        self.consumer.subscribe(&topics).map_err(|error| SourceError::Kafka(error.to_string()))?;
        let (consumer, stop) = (Arc::clone(&self.consumer), Arc::clone(&self.stop));
        let thread = std::thread::Builder::new().name("kafka".to_owned()).spawn(move || poll(&consumer, &stop));
        self.thread = Some(thread.map_err(|error| SourceError::Kafka(format!("no thread: {error}")))?);
        Ok(())
    }

    /// Gives all partitions back, which waits for their tasks, and leaves the group.
    pub fn stop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the consumer's thread panicked");
        }
    }
}

fn poll(consumer: &Arc<BaseConsumer<Context>>, stop: &AtomicBool) {
    let context = consumer.context();
    while !stop.load(Ordering::Relaxed) {
        poll_once(consumer);
        if context.brokers.tell(consumer) {
            tracing::debug!(group = context.group, "told of the brokers again");
        }
        let wanted = context.owner().map(|owner| owner.wanted()).unwrap_or_default();
        let wanted: Vec<TopicPartition> = {
            let held = lock(&context.held);
            wanted.into_iter().filter(|partition| held.contains(partition)).collect()
        };
        if wanted.is_empty() {
            continue;
        }
        if is_cooperative(consumer) {
            change(consumer, Change::Remove(&wanted));
            context.assign(consumer, wanted);
        } else {
            // An eager protocol knows only the whole assignment.
            let held: Vec<TopicPartition> = lock(&context.held).iter().cloned().collect();
            context.give_back(consumer, &held, false);
            context.assign(consumer, held);
        }
    }
    // Unassigned here rather than by librdkafka's own revocation, which a broken broker connection may delay.
    let held: Vec<TopicPartition> = lock(&context.held).iter().cloned().collect();
    context.give_back(consumer, &held, false);
    leave(consumer);
}

/// Leaves the group, so that the others take over at once rather than when our session has run out.
fn leave(consumer: &Arc<BaseConsumer<Context>>) {
    if let Err(error) = consumer.close_queue() {
        tracing::debug!(%error, "the group is left when the session has run out");
        return;
    }
    let deadline = Instant::now() + LEAVE;
    while !consumer.closed() && Instant::now() < deadline {
        // Closing is served by polling; what comes is of no interest any more.
        let _ = consumer.poll(TICK);
    }
    if !consumer.closed() {
        tracing::warn!(
            "the group could not be left within {LEAVE:?}: the others take over when the session has run out"
        );
        // Dropping a consumer waits until it is closed, for ever if need be; the end of the process doesn't.
        std::mem::forget(Arc::clone(consumer));
    }
}

fn poll_once(consumer: &BaseConsumer<Context>) {
    match consumer.poll(TICK) {
        None => {}
        Some(Ok(message)) => {
            use rdkafka::Message as _;
            // Every queue is parted from the consumer's before its partition is assigned.
            let reason = format!("message {}/{} came outside its queue", message.topic(), message.partition());
            consumer.context().fail(SourceError::Kafka(reason));
        }
        Some(Err(KafkaError::MessageConsumptionFatal(code))) => {
            consumer.context().fail(SourceError::Kafka(format!("fatal: {code}")));
        }
        // Where a topic is missing, or a broker is away, librdkafka goes on trying.
        Some(Err(error)) => tracing::warn!(%error, "Kafka"),
    }
}

enum Change<'a> {
    Add(&'a [(TopicPartition, i64)]),
    Remove(&'a [TopicPartition]),
}

/// Changes what is fetched, in the way that the group's protocol wants it.
fn change(consumer: &BaseConsumer<Context>, change: Change<'_>) {
    let mut list = TopicPartitionList::new();
    let cooperative = is_cooperative(consumer);
    let result = match change {
        Change::Add(starts) => {
            for (partition, offset) in starts {
                let added = list.add_partition_offset(&partition.topic, partition.partition, Offset::Offset(*offset));
                if let Err(error) = added {
                    tracing::error!(%partition, %error, "not assigned");
                }
            }
            // An eager protocol takes all partitions before it gives any, so what is added is all there is.
            if cooperative { consumer.incremental_assign(&list) } else { consumer.assign(&list) }
        }
        Change::Remove(partitions) => {
            // A partition whose task could not be claimed was never added, and librdkafka refuses a list that names one.
            let added = if cooperative { consumer.assignment().ok() } else { None };
            let is_added = |partition: &&TopicPartition| {
                added.as_ref().is_none_or(|list| list.find_partition(&partition.topic, partition.partition).is_some())
            };
            for partition in partitions.iter().filter(is_added) {
                list.add_partition(&partition.topic, partition.partition);
            }
            if cooperative { consumer.incremental_unassign(&list) } else { consumer.unassign() }
        }
    };
    if let Err(error) = result {
        // The group is being left, and nothing is assigned any more.
        if consumer.context().stop.load(Ordering::Relaxed) {
            tracing::debug!(%error, "an assignment that came too late");
            return;
        }
        consumer.context().fail(SourceError::Kafka(format!("assignment: {error}")));
    }
}

fn is_cooperative(consumer: &BaseConsumer<Context>) -> bool {
    matches!(consumer.rebalance_protocol(), RebalanceProtocol::Cooperative)
}

impl Context {
    fn owner(&self) -> Option<&Arc<dyn Owner>> {
        self.owner.get()
    }

    fn fail(&self, error: SourceError) {
        match self.owner() {
            Some(owner) => owner.failed(error),
            None => tracing::error!(%error, "Kafka"),
        }
    }

    fn assign(&self, consumer: &BaseConsumer<Context>, partitions: Vec<TopicPartition>) {
        let (Some(owner), Some(shared)) = (self.owner(), self.consumer.get().and_then(Weak::upgrade)) else { return };
        if self.stop.load(Ordering::Relaxed) {
            // Whoever leaves claims nothing more, but the group waits for an answer.
            change(consumer, Change::Add(&[]));
            return;
        }
        lock(&self.held).extend(partitions.iter().cloned());
        let queues = partitions.into_iter().filter_map(|partition| PartitionQueue::split(&shared, partition));
        let starts = owner.assigned(queues.collect());
        change(consumer, Change::Add(&starts));
    }

    fn give_back(&self, consumer: &BaseConsumer<Context>, partitions: &[TopicPartition], lost: bool) {
        if let Some(owner) = self.owner() {
            owner.revoked(partitions, lost);
        }
        lock(&self.held).retain(|held| !partitions.contains(held));
        change(consumer, Change::Remove(partitions));
    }
}

impl ClientContext for Context {
    fn error(&self, error: KafkaError, reason: &str) {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed) => {
                tracing::error!(reason, "Kafka refuses to authenticate us");
                *lock(&self.refused) = Some(reason.to_owned());
            }
            // While a broker is away the same is said again and again.
            _ if lock(&self.trouble).as_deref() == Some(reason) => tracing::debug!(%error, reason, "Kafka"),
            _ => tracing::warn!(%error, reason, "Kafka"),
        }
        *lock(&self.trouble) = Some(reason.to_owned());
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
            self.brokers.are_away();
        }
    }
}

impl ConsumerContext for Context {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, code: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let partitions: Vec<TopicPartition> = list
            .elements()
            .iter()
            .map(|element| TopicPartition { topic: element.topic().to_owned(), partition: element.partition() })
            .collect();
        let names: Vec<String> = partitions.iter().map(ToString::to_string).collect();
        if code == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            tracing::info!(partitions = names.join(" "), group = self.group, "assigned");
            self.assign(consumer, partitions);
        } else {
            let lost = consumer.assignment_lost();
            tracing::info!(partitions = names.join(" "), group = self.group, lost, "revoked");
            self.give_back(consumer, &partitions, lost);
        }
    }
}

/// A lock whose holder panicked holds plain data all the same.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
