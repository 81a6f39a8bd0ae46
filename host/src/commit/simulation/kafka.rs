//! Kafka: a topic whose records come and go, and how a task reads it, or the exchange's.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::sleep;

use super::LogError;
use super::exchange::BEHIND;
use super::objects::Record;
use super::points::Point;
use super::process::Process;
use super::world::{State, World};
use crate::batch::MemoryMessages;

/// Records in a batch, at most.
const BATCH: usize = 6;

/// What becomes of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message {
    /// A row of the table, in one of its folders.
    Row(usize),
    DeadLetter,
    /// A record of another topic.
    Sent,
    /// A row that goes through the exchange.
    Keyed {
        key: u8,
        time_ms: i64,
    },
    /// The same, from long after all others.
    Closing {
        time_ms: i64,
    },
    /// No record of ours: a transaction's marker, or compacted away.
    Gap,
}

/// Records as they are fetched, and which topic of that name they are of.
#[derive(Debug)]
pub struct Batch {
    pub generation: u32,
    pub messages: Vec<(i64, Message)>,
    /// Of the exchange's topic.
    pub chunks: MemoryMessages,
    /// The offset after all of them.
    pub end: i64,
}

#[derive(Debug, Default)]
struct Partition {
    messages: Vec<Message>,
    low: usize,
    /// How often the topic was made anew.
    generation: u32,
    /// What earlier topics of this name held: so many offsets, all decided up to there when it was made anew.
    before: Vec<(Vec<Message>, i64)>,
}

#[derive(Debug)]
pub struct Topic {
    partitions: BTreeMap<i32, Partition>,
}

impl Topic {
    pub fn new(tasks: &[i32]) -> Self {
        Self { partitions: tasks.iter().map(|task| (*task, Partition::default())).collect() }
    }

    fn at(&self, partition: i32) -> &Partition {
        &self.partitions[&partition]
    }

    fn at_mut(&mut self, partition: i32) -> &mut Partition {
        self.partitions.entry(partition).or_default()
    }

    pub fn low(&self, partition: i32) -> i64 {
        self.at(partition).low as i64
    }

    pub fn high(&self, partition: i32) -> i64 {
        self.at(partition).messages.len() as i64
    }

    pub fn generation(&self, partition: i32) -> u32 {
        self.at(partition).generation
    }

    pub fn append(&mut self, partition: i32, message: Message) {
        self.at_mut(partition).messages.push(message);
    }

    pub fn is_record(&self, record: Record) -> bool {
        self.message(record).is_some_and(|message| message != Message::Gap)
    }

    pub fn message(&self, (partition, generation, offset): Record) -> Option<Message> {
        let here = self.at(partition);
        let messages = match here.before.get(generation as usize) {
            Some((messages, _)) => messages,
            None => &here.messages,
        };
        messages.get(offset as usize).copied()
    }

    /// Retention removes records before this offset.
    pub fn retain_from(&mut self, partition: i32, low: i64) {
        let here = self.at_mut(partition);
        here.low = here.low.max(low as usize);
    }

    /// Makes a partition anew, empty; what was decided of the old one must be there.
    pub fn make_anew(&mut self, partition: i32, decided: i64) {
        let here = self.at_mut(partition);
        here.before.push((std::mem::take(&mut here.messages), decided));
        here.low = 0;
        here.generation += 1;
    }

    /// What a reader must have seen in the end, and what it may have seen beside.
    pub fn expected(&self) -> (BTreeSet<Record>, BTreeSet<Record>) {
        let (mut must, mut may) = (BTreeSet::new(), BTreeSet::new());
        for (&number, partition) in &self.partitions {
            let epochs = partition.before.iter().map(|(messages, decided)| (messages, *decided));
            let epochs = epochs.chain([(&partition.messages, i64::MAX)]);
            for (generation, (messages, decided)) in epochs.enumerate() {
                for (offset, message) in messages.iter().enumerate().filter(|(_, message)| **message != Message::Gap) {
                    let record = (number, generation as u32, offset as i64);
                    // The window of one that closes all others may stay open.
                    if (offset as i64) < decided && !matches!(message, Message::Closing { .. }) {
                        must.insert(record)
                    } else {
                        may.insert(record)
                    };
                }
            }
        }
        (must, may)
    }

    fn take(&self, partition: i32, position: i64) -> Option<Batch> {
        let here = self.at(partition);
        if position < here.low as i64 || position > here.messages.len() as i64 {
            return None;
        }
        let from = position as usize;
        let batch = here.messages.iter().enumerate().skip(from).take(BATCH);
        let messages: Vec<_> = batch.map(|(offset, message)| (offset as i64, *message)).collect();
        let end = position + messages.len() as i64;
        Some(Batch { generation: here.generation, messages, chunks: MemoryMessages::default(), end })
    }
}

impl State {
    fn take(&mut self, task: i32, position: i64) -> Option<Batch> {
        if task < BEHIND {
            return self.topic.take(task, position);
        }
        (0..self.plan.partitions).for_each(|sender| self.expire_transaction(sender));
        let read = self.exchange.read(task - BEHIND, position);
        if read.is_held_back && read.end == position {
            self.figures.reach(Point::ReaderHeldBack);
        }
        if read.has_aborted {
            self.figures.reach(Point::AbortedPassed);
        }
        Some(Batch { generation: 0, messages: Vec::new(), chunks: read.chunks, end: read.end })
    }

    /// Where a task begins, by what its log says; as `source::offsets` has it, with `on_data_loss = "continue"`.
    fn first_offset(&mut self, partition: i32, logged: Option<i64>) -> i64 {
        let (low, high) = match partition < BEHIND {
            true => (self.topic.low(partition), self.topic.high(partition)),
            false => (0, self.exchange.high(partition - BEHIND)),
        };
        match logged {
            None => low,
            Some(logged) if (low..=high).contains(&logged) => logged,
            Some(logged) => {
                self.figures.reach(if logged < low { Point::RetentionPassed } else { Point::TopicMadeAnew });
                low
            }
        }
    }
}

impl World {
    /// The next records from `position` on; `None` if Kafka doesn't have that offset.
    pub async fn fetch(&self, process: &Process, partition: i32, position: i64) -> Option<Batch> {
        loop {
            let changed = self.records.notified();
            process.reaches_kafka().await;
            let batch = self.with(|state| state.take(partition, position))?;
            if batch.end == position {
                changed.await;
                continue;
            }
            let pause = self.with(|state| state.rng.u64(0..50));
            sleep(Duration::from_millis(pause)).await;
            process.reaches_kafka().await;
            return Some(batch);
        }
    }

    pub async fn first_offset(&self, process: &Process, partition: i32, logged: Option<i64>) -> Result<i64, LogError> {
        let pause = self.with(|state| state.rng.u64(0..50));
        sleep(Duration::from_millis(pause)).await;
        if process.is_cut() {
            sleep(Duration::from_secs(10)).await;
            process.alive().await;
            return Err(LogError::FirstOffset { reason: "no broker".to_owned(), may_pass: true });
        }
        process.alive().await;
        Ok(self.with(|state| state.first_offset(partition, logged)))
    }
}
