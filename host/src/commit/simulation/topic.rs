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

use super::objects::Record;
use super::points::{Doing, Point};
use super::request::{Done, Effect, Request};
use super::view::View;
use super::world::State;
use super::{Outgoing, Topics, TopicsError};

/// An open transaction is aborted after this.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(60);
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
        let here = self.coordinator(partition);
        (here.open, here.ended) = (None, None);
        here.epoch += 1;
        here.epoch
    }

    /// The coordinator, if a producer of this epoch may do something in its transaction of this number.
    fn in_transaction(&mut self, partition: i32, epoch: u32) -> Result<&mut Coordinator> {
        let here = self.coordinator(partition);
        if here.open.as_ref().is_some_and(|open| open.since.elapsed() > TRANSACTION_TIMEOUT) {
            (here.open, here.ended) = (None, None);
            here.epoch += 1;
            self.figures.reach(Point::TransactionTimedOut);
        }
        if self.coordinator(partition).epoch != epoch {
            self.figures.reach(Point::ProducerFenced);
            return Err(fenced());
        }
        Ok(self.coordinator(partition))
    }

    /// Adds to a transaction, which begins with that.
    fn add(&mut self, sender: &Sender, records: &BTreeSet<Record>, mark: Option<&String>) -> Result<()> {
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
            mark: None,
        });
        open.records.extend(records);
        open.mark = mark.cloned().or(open.mark.take());
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
        if !commit {
            return Ok(());
        }
        let Some(mark) = open.mark else {
            self.is_wrong(format!("{} commits a transaction without a mark", sender.attempt));
            return Ok(());
        };
        here.mark = Some(mark.clone());
        if open.records.is_empty() {
            return Ok(());
        }
        match self.objects.to_send.get(&mark) {
            Some((decided, by)) if *decided == open.records => {
                if *by != sender.attempt {
                    self.figures.reach(Point::SentByTheNext);
                }
            }
            decided => {
                let wrong = format!("{mark}: sent {:?}, decided {decided:?}", open.records);
                self.is_wrong(wrong);
            }
        }
        for record in open.records {
            if !self.objects.seen.insert(record) {
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
            for (_, file) in &outgoing.records {
                let (records, sender) = (records(file), sender.clone());
                self.ask(Doing::Sending, move |state| state.add(&sender, &records, None)).await?;
            }
            let (with_mark, mark) = (sender.clone(), outgoing.mark.clone());
            self.ask(Doing::Sending, move |state| state.add(&with_mark, &BTreeSet::new(), Some(&mark))).await?;
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
    let text = String::from_utf8_lossy(file).into_owned();
    let record = |line: &str| {
        let parts: Vec<i64> = line.split(':').filter_map(|part| part.parse().ok()).collect();
        let [partition, generation, offset] = parts[..] else { return None };
        Some((partition as i32, generation as u32, offset))
    };
    text.lines().filter_map(record).collect()
}
