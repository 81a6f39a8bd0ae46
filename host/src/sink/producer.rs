//! One attempt at one task, as Kafka sees it: a transactional producer whose id all attempts at the task share.
//!
//! What never happens: a transaction is given up that may have been committed, and the same records are sent again, before
//! someone has looked whether it was; anything blocks for much longer than [`PATIENCE`].

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arrow::array::Array;
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use rdkafka::TopicPartitionList;
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::topic_partition_list::Offset;

use super::client::{self, Events, Failure, lock};
use super::marks::Marks;
use crate::commit::{Outgoing, Topics, TopicsError};
use crate::encode::{Records, StagedRecords};
use crate::metrics;
use crate::source::TopicPartition;

/// How long taking over or sending may take, while Kafka is away or refuses for the time being.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long one call may take; those that have not ended then are asked again.
const CALL: Duration = Duration::from_secs(5);
/// How long to wait where the client's queue is full, or not yet empty.
const ROOM: Duration = Duration::from_millis(1);
/// Records after which what became of those before is heard.
const SERVE_ROWS: usize = 1000;
/// Before a transaction that was aborted begins again; doubles each time.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

type Client = BaseProducer<Events>;

/// One attempt at one task.
pub(super) struct TaskProducer {
    inner: Arc<Inner>,
}

struct Inner {
    pipeline: String,
    config: ClientConfig,
    marks: Arc<Marks>,
    /// Of the source.
    partition: TopicPartition,
    /// Made by taking over, dropped once it is of no use any more.
    client: Mutex<Option<Client>>,
}

impl std::fmt::Debug for TaskProducer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "producer of {} for {}", self.inner.pipeline, self.inner.partition)
    }
}

impl TaskProducer {
    pub(super) fn new(pipeline: String, config: ClientConfig, marks: Arc<Marks>, partition: TopicPartition) -> Self {
        Self { inner: Arc::new(Inner { pipeline, config, marks, partition, client: Mutex::default() }) }
    }

    /// Does what blocks on a thread that may.
    fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner, &mut Option<Client>) -> Result<T, TopicsError> + Send + 'static,
    ) -> BoxFuture<'_, Result<T, TopicsError>> {
        let inner = Arc::clone(&self.inner);
        let work = tokio::task::spawn_blocking(move || {
            let mut client = lock(&inner.client);
            let done = work(&inner, &mut client);
            if done.is_err() {
                *client = None;
            }
            done
        });
        work.map(|done| done.unwrap_or_else(|error| Err(TopicsError::Again(error.to_string())))).boxed()
    }
}

impl Topics for TaskProducer {
    fn take_over(&self) -> BoxFuture<'_, Result<Option<String>, TopicsError>> {
        self.blocking(Inner::take_over)
    }

    fn send(&self, outgoing: Outgoing) -> BoxFuture<'_, Result<(), TopicsError>> {
        self.blocking(move |inner, client| match client {
            Some(client) => inner.send(client, &outgoing),
            None => Err(TopicsError::Again("nobody has taken the records over".to_owned())),
        })
    }
}

impl Drop for TaskProducer {
    fn drop(&mut self) {
        // Closing a client waits for its threads.
        let inner = Arc::clone(&self.inner);
        std::thread::spawn(move || drop(inner));
    }
}

impl Inner {
    fn take_over(&self, client: &mut Option<Client>) -> Result<Option<String>, TopicsError> {
        let deadline = Instant::now() + PATIENCE;
        *client = None;
        let made = self.config.create_with_context(Events::default());
        let made: Client = made.map_err(|error| TopicsError::Fatal(format!("a producer can't be made: {error}")))?;
        self.until(&made, deadline, || made.init_transactions(CALL))?;
        let mark = self.marks.read(&self.partition, deadline).map_err(|failure| self.give_up(&made, failure))?;
        *client = Some(made);
        Ok(mark)
    }

    fn send(&self, client: &Client, outgoing: &Outgoing) -> Result<(), TopicsError> {
        let deadline = Instant::now() + PATIENCE;
        let mut pause = FIRST_PAUSE;
        loop {
            let failure = match self.transact(client, outgoing, deadline) {
                Ok(sent) => {
                    for (topic, records) in sent {
                        self.count(&topic, records);
                    }
                    return Ok(());
                }
                Err(failure) => failure,
            };
            let Failure::Abort(reason) = failure else { return Err(self.give_up(client, failure)) };
            let reason = client.context().explain(&reason);
            tracing::warn!(pipeline = self.pipeline, partition = %self.partition, reason, "transaction aborted");
            ::metrics::counter!(metrics::ABORTED, "pipeline" => self.pipeline.clone()).increment(1);
            self.until(client, deadline, || client.abort_transaction(CALL))?;
            if let Some((topic, code)) = client.context().undelivered().filter(|(_, code)| client::is_refusal(*code)) {
                return Err(TopicsError::Fatal(format!("topic {topic} doesn't take a record: {code}")));
            }
            if Instant::now() > deadline {
                return Err(TopicsError::Again(reason));
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// One transaction, from its begin to its end; how many records went to which topic.
    fn transact(&self, client: &Client, outgoing: &Outgoing, deadline: Instant) -> Result<Vec<(String, u64)>, Failure> {
        client.context().begin();
        client.begin_transaction()?;
        let mut sent = Vec::with_capacity(outgoing.records.len());
        for (topic, file) in &outgoing.records {
            sent.push((topic.clone(), self.produce(client, topic, file, deadline)?));
        }
        while client.in_flight_count() > 0 {
            self.serve(client, deadline)?;
        }
        self.retried(client, deadline, || {
            let mut offsets = TopicPartitionList::new();
            let mut mark = offsets.add_partition(&self.partition.topic, self.partition.partition);
            mark.set_offset(Offset::Offset(outgoing.offset))?;
            mark.set_metadata(&outgoing.mark);
            client.send_offsets_to_transaction(&offsets, &self.marks.group()?, CALL).map_err(Failure::from)
        })?;
        self.retried(client, deadline, || client.commit_transaction(CALL).map_err(Failure::from))?;
        Ok(sent)
    }

    /// Hands the records of a staged file over; the client sends them meanwhile.
    fn produce(&self, client: &Client, topic: &str, file: &Bytes, deadline: Instant) -> Result<u64, Failure> {
        let unreadable = |error| Failure::Refused(format!("staged records for {topic} can't be read: {error}"));
        let mut count = 0;
        for records in StagedRecords::open(file.clone()).map_err(unreadable)? {
            let Records { partitions, keys, values, headers } = records.map_err(unreadable)?;
            for row in 0..keys.len() {
                let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(topic);
                record.partition = partitions.as_ref().map(|partitions| partitions.value(row));
                record.key = keys.is_valid(row).then(|| keys.value(row));
                record.payload = values.is_valid(row).then(|| values.value(row));
                let mut there = headers.iter().filter(|(_, column)| column.is_valid(row)).peekable();
                if there.peek().is_some() {
                    let add = |all: OwnedHeaders, (name, column): &(String, arrow::array::BinaryArray)| {
                        all.insert(Header { key: name, value: Some(column.value(row)) })
                    };
                    record.headers = Some(there.fold(OwnedHeaders::new(), add));
                }
                while let Err((error, back)) = client.send(record) {
                    let KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) = error else {
                        return Err(self.undelivered(client, error.into()));
                    };
                    self.serve(client, deadline)?;
                    record = back;
                }
                count += 1;
                if count % SERVE_ROWS as u64 == 0 {
                    client.poll(Duration::ZERO);
                }
            }
        }
        Ok(count)
    }

    /// Hears what has become of records, and waits a little for more.
    fn serve(&self, client: &Client, deadline: Instant) -> Result<(), Failure> {
        client.poll(ROOM);
        if Instant::now() > deadline {
            return Err(Failure::Abort("Kafka doesn't take the records".to_owned()));
        }
        if client.context().undelivered().is_some() {
            return Err(self.undelivered(client, Failure::Abort("a record wasn't delivered".to_owned())));
        }
        Ok(())
    }

    /// Names the record that wasn't delivered, if that is why.
    fn undelivered(&self, client: &Client, failure: Failure) -> Failure {
        match (failure, client.context().undelivered()) {
            (Failure::Abort(_), Some((topic, code))) => Failure::Abort(format!("topic {topic}: {code}")),
            (failure, _) => failure,
        }
    }

    /// Calls until it has ended, well or not; at `deadline` it is given up.
    fn retried(
        &self,
        client: &Client,
        deadline: Instant,
        call: impl Fn() -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        loop {
            match call() {
                Err(Failure::Retry(reason)) if Instant::now() > deadline => return Err(Failure::Over(reason)),
                Err(Failure::Retry(_)) => client.poll(ROOM),
                other => return other,
            }
        }
    }

    /// The same of a call outside of a transaction.
    fn until(
        &self,
        client: &Client,
        deadline: Instant,
        call: impl Fn() -> Result<(), KafkaError>,
    ) -> Result<(), TopicsError> {
        let done = self.retried(client, deadline, || call().map_err(Failure::from));
        done.map_err(|failure| self.give_up(client, failure))
    }

    fn give_up(&self, client: &Client, failure: Failure) -> TopicsError {
        match failure {
            Failure::Refused(reason) => TopicsError::Fatal(format!("Kafka refuses records: {reason}")),
            Failure::Retry(reason) | Failure::Abort(reason) | Failure::Over(reason) => {
                TopicsError::Again(format!("records not sent: {}", client.context().explain(&reason)))
            }
        }
    }

    fn count(&self, topic: &str, records: u64) {
        let labels = [("pipeline", self.pipeline.clone()), ("topic", topic.to_owned())];
        ::metrics::counter!(metrics::RECORDS, &labels).increment(records);
    }
}
