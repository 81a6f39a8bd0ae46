//! A topic that takes transactions, as a broker has them: epochs of producers, marks, and a reader who sees what is
//! committed. And the client that sends to it, which does its requests again as librdkafka does.
//!
//! Every record that is committed is looked at: none twice, none that wasn't decided, and all of its epoch at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::{Error, Result};
use tokio::time::{Instant, sleep};

use super::counting;
use super::exchange::Transaction;
use super::objects::{Record, record};
use super::points::{Doing, Point};
use super::request::{Done, Effect, Request};
use super::view::View;
use super::world::State;
use super::{Outgoing, Topics, TopicsError};
use crate::exchange::Placed;

/// An open transaction is aborted after this.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(60);
/// Records for the exchange that are sent in one request, at most.
const TOGETHER: usize = 2;
/// How long a client tries.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the broker keeps of one task's transactional id.
#[derive(Debug, Default)]
pub struct Coordinator {
    epoch: u32,
    /// What the last committed transaction has left.
    pub mark: Option<String>,
    pub open: Option<Open>,
    /// Number of the last transaction of this epoch that has ended, and whether it was committed.
    ended: Option<(u32, bool)>,
}

#[derive(Debug)]
pub struct Open {
    number: u32,
    since: Instant,
    pub attempt: String,
    records: BTreeSet<Record>,
    /// Parts that are there. One that comes again has the same sequence numbers.
    added: BTreeSet<usize>,
    mark: Option<String>,
}

/// What is added to a transaction at once.
#[derive(Debug, Clone, Default)]
struct Part {
    index: usize,
    records: BTreeSet<Record>,
    /// For the exchange.
    placed: Vec<Placed>,
    mark: Option<String>,
}

/// By the partition of the source.
pub type Coordinators = BTreeMap<i32, Coordinator>;

fn fenced() -> Error {
    Error::Precondition { path: "kafka".to_owned(), source: "INVALID_PRODUCER_EPOCH".into() }
}

impl State {
    fn coordinator(&mut self, partition: i32) -> &mut Coordinator {
        self.coordinators.entry(partition).or_default()
    }

    /// A producer begins: those before it are fenced, and their open transaction is void.
    fn begin_epoch(&mut self, partition: i32) -> u32 {
        self.abort(partition);
        let here = self.coordinator(partition);
        here.ended = None;
        here.epoch += 1;
        here.epoch
    }

    /// The open transaction of a task is void.
    fn abort(&mut self, partition: i32) {
        let here = self.coordinator(partition);
        if let Some(open) = here.open.take() {
            let transaction = (partition, here.epoch, open.number);
            self.end_of_chunks(transaction, false);
        }
    }

    /// The broker aborts what has been open for too long.
    pub fn expire_transaction(&mut self, partition: i32) {
        let open = self.coordinators.get(&partition).and_then(|here| here.open.as_ref());
        if open.is_some_and(|open| open.since.elapsed() > TRANSACTION_TIMEOUT) {
            self.begin_epoch(partition);
            self.figures.reach(Point::TransactionTimedOut);
        }
    }

    /// A transaction has ended for those who read the exchange, too.
    fn end_of_chunks(&mut self, transaction: Transaction, is_committed: bool) {
        if !self.exchange.end(transaction, is_committed) {
            return;
        }
        if !is_committed {
            self.figures.reach(Point::ChunksAborted);
        }
        self.records.notify_waiters();
    }

    /// The coordinator, if a producer of this epoch may do something in its transaction of this number.
    fn in_transaction(&mut self, partition: i32, epoch: u32) -> Result<&mut Coordinator> {
        self.expire_transaction(partition);
        if self.coordinator(partition).epoch != epoch {
            self.figures.reach(Point::ProducerFenced);
            return Err(fenced());
        }
        Ok(self.coordinator(partition))
    }

    /// Adds to a transaction, which begins with that.
    fn add(&mut self, sender: &Sender, part: &Part) -> Result<()> {
        let here = self.in_transaction(sender.partition, sender.epoch)?;
        if here.ended.is_some_and(|(number, _)| number >= sender.number) {
            // It came too late: its sequence numbers are there already.
            return Ok(());
        }
        let open = here.open.get_or_insert_with(|| Open {
            number: sender.number,
            since: Instant::now(),
            attempt: sender.attempt.clone(),
            records: BTreeSet::new(),
            added: BTreeSet::new(),
            mark: None,
        });
        if !open.added.insert(part.index) {
            return Ok(());
        }
        open.records.extend(&part.records);
        open.mark = part.mark.clone().or(open.mark.take());
        let (now_ms, transaction) = (self.now_ms() as i64, (sender.partition, sender.epoch, sender.number));
        part.placed.iter().for_each(|placed| self.exchange.append(transaction, now_ms, placed.clone()));
        Ok(())
    }

    /// Ends a transaction. Asked for again, it answers the same.
    fn end(&mut self, sender: &Sender, commit: bool) -> Result<()> {
        let partition = sender.partition;
        let here = self.in_transaction(partition, sender.epoch)?;
        // The same again, or one that came too late.
        if here.ended.is_some_and(|(number, _)| number >= sender.number) {
            return Ok(());
        }
        let Some(open) = here.open.take_if(|open| open.number == sender.number) else {
            here.ended = Some((sender.number, commit));
            return Ok(());
        };
        here.ended = Some((sender.number, commit));
        self.end_of_chunks((partition, sender.epoch, sender.number), commit);
        if !commit {
            return Ok(());
        }
        let Some(mark) = open.mark else {
            self.is_wrong(format!("{} commits a transaction without a mark", sender.attempt));
            return Ok(());
        };
        self.coordinator(partition).mark = Some(mark.clone());
        if open.records.is_empty() {
            return Ok(());
        }
        match self.objects.to_send.get(&mark) {
            Some((decided, by)) if *decided == open.records => {
                if *by != sender.attempt {
                    let through = self.plan.exchange.is_some().then_some(Point::ChunksSentByTheNext);
                    [Some(Point::SentByTheNext), through]
                        .into_iter()
                        .flatten()
                        .for_each(|point| self.figures.reach(point));
                }
            }
            decided => {
                let wrong = format!("{mark}: sent {:?}, decided {decided:?}", open.records);
                self.is_wrong(wrong);
            }
        }
        for record in open.records {
            let seen = match self.plan.exchange {
                Some(_) => &mut self.objects.exchanged,
                None => &mut self.objects.seen,
            };
            if !seen.insert(record) {
                self.is_wrong(format!("{mark}: a reader of the topic sees record {record:?} twice"));
            }
        }
        Ok(())
    }

    /// A claim has found the mark of what was decided before it.
    fn count_found(&mut self, attempt: &str, partition: i32) {
        let mark = self.coordinator(partition).mark.clone();
        let is_claim = self.attempts.get(attempt).is_some_and(|attempt| attempt.commit.is_none());
        let decided = self.objects.logs[&partition].to_send.clone();
        if is_claim && mark.is_some() && mark == decided {
            self.figures.reach(Point::FoundSent);
        }
    }
}

/// Names one transaction of one producer.
#[derive(Debug, Clone)]
struct Sender {
    partition: i32,
    attempt: String,
    epoch: u32,
    number: u32,
}

/// What one attempt sends by.
#[derive(Debug)]
pub struct Client {
    pub view: View,
    pub partition: i32,
    /// Epoch and number of the last transaction, once it has taken over.
    producer: Mutex<Option<(u32, u32)>>,
}

impl Client {
    pub fn new(view: View, partition: i32) -> Self {
        Self { view, partition, producer: Mutex::default() }
    }

    /// Asks until there is an answer.
    async fn ask<T: Send + 'static>(
        &self,
        doing: Doing,
        effect: impl Fn(&mut State) -> Result<T> + Send + Sync + 'static,
    ) -> Result<T, TopicsError> {
        let began = Instant::now();
        let effect: Effect<T> = Arc::new(move |state| effect(state).map(Done::Now));
        loop {
            if self.view.process.is_cut() && began.elapsed() < PATIENCE {
                sleep(Duration::from_secs(1)).await;
                continue;
            }
            let (path, effect) = (format!("kafka/{}", self.partition), Arc::clone(&effect));
            match self.view.ask(Request { path, doing, writes: true, is_conditional: false, effect }).await {
                Ok(answer) => return Ok(answer),
                Err(Error::Precondition { .. }) => return Err(TopicsError::Again("the producer is fenced".to_owned())),
                Err(error) if began.elapsed() > PATIENCE => return Err(TopicsError::Again(error.to_string())),
                Err(_) => sleep(Duration::from_millis(100)).await,
            }
        }
    }

    async fn take_over(&self) -> Result<Option<String>, TopicsError> {
        let (partition, attempt) = (self.partition, self.view.attempt.clone());
        *self.producer.lock().unwrap() = None;
        let epoch = self.ask(Doing::TakingOver, move |state| Ok(state.begin_epoch(partition))).await?;
        *self.producer.lock().unwrap() = Some((epoch, 0));
        let look = move |state: &mut State| {
            state.count_found(&attempt, partition);
            Ok(state.coordinator(partition).mark.clone())
        };
        self.ask(Doing::TakingOver, look).await
    }

    async fn send(&self, outgoing: Outgoing) -> Result<(), TopicsError> {
        loop {
            let sender = self.begin()?;
            let mut parts: Vec<Part> = outgoing.records.iter().flat_map(|(_, file)| parts(file)).collect();
            parts.push(Part { mark: Some(outgoing.mark.clone()), ..Part::default() });
            for (index, part) in parts.into_iter().enumerate() {
                let (part, sender) = (Part { index, ..part }, sender.clone());
                self.ask(Doing::Sending, move |state| state.add(&sender, &part)).await?;
            }
            // Now and then a record isn't taken: the transaction is aborted, and begun again.
            let commit = self.view.world.with(|state| state.is_calm || state.rng.u8(..12) > 0);
            self.ask(Doing::Ending, move |state| state.end(&sender, commit)).await?;
            if commit {
                return Ok(());
            }
            self.view.world.with(|state| state.figures.reach(Point::TransactionAborted));
        }
    }

    fn begin(&self) -> Result<Sender, TopicsError> {
        let mut producer = self.producer.lock().unwrap();
        let Some((epoch, number)) = &mut *producer else {
            return Err(TopicsError::Fatal("nobody has taken over".to_owned()));
        };
        *number += 1;
        let (partition, attempt) = (self.partition, self.view.attempt.clone());
        Ok(Sender { partition, attempt, epoch: *epoch, number: *number })
    }
}

impl Topics for Client {
    fn take_over(&self) -> BoxFuture<'_, Result<Option<String>, TopicsError>> {
        self.take_over().boxed()
    }

    fn send(&self, outgoing: Outgoing) -> BoxFuture<'_, Result<(), TopicsError>> {
        self.send(outgoing).boxed()
    }
}

/// The records of a staged file.
pub fn records(file: &Bytes) -> BTreeSet<Record> {
    parts(file).into_iter().flat_map(|part| part.records).collect()
}

fn parts(file: &Bytes) -> Vec<Part> {
    let placed = counting::placed(file);
    if placed.is_empty() {
        let records = String::from_utf8_lossy(file).lines().filter_map(record).collect();
        return vec![Part { records, ..Part::default() }];
    }
    let part =
        |placed: &[Placed]| Part { records: counting::records(placed), placed: placed.to_vec(), ..Part::default() };
    placed.chunks(TOGETHER).map(part).collect()
}
