//! Kafka: a topic whose records come and go, and a group whose members do.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::LogError;
use super::objects::Record;
use super::points::Point;
use super::process::Process;
use super::world::{State, World};

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
    /// No record of ours: a transaction's marker, or compacted away.
    Gap,
}

/// Records as they are fetched, and which topic of that name they are of.
#[derive(Debug)]
pub struct Batch {
    pub generation: u32,
    pub messages: Vec<(i64, Message)>,
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
    pub fn new(partitions: i32) -> Self {
        Self { partitions: (0..partitions).map(|partition| (partition, Partition::default())).collect() }
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

    pub fn is_record(&self, (partition, generation, offset): Record) -> bool {
        let here = self.at(partition);
        let messages = match here.before.get(generation as usize) {
            Some((messages, _)) => messages,
            None => &here.messages,
        };
        messages.get(offset as usize).is_some_and(|message| *message != Message::Gap)
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
                for (offset, _) in messages.iter().enumerate().filter(|(_, message)| **message != Message::Gap) {
                    let record = (number, generation as u32, offset as i64);
                    if (offset as i64) < decided {
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
        let messages = batch.map(|(offset, message)| (offset as i64, *message)).collect();
        Some(Batch { generation: here.generation, messages })
    }
}

/// What the group has to say to a member.
#[derive(Debug)]
pub enum News {
    Assigned(Vec<i32>),
    Revoked(Vec<i32>),
    /// The member was given up, and with it all it had.
    Lost,
}

#[derive(Debug)]
struct Member {
    process: Arc<Process>,
    news: VecDeque<News>,
    revoking: BTreeSet<i32>,
}

#[derive(Debug)]
pub struct Group {
    members: BTreeMap<u32, Member>,
    /// Members that were given up and haven't heard of it.
    evicted: BTreeSet<u32>,
    owners: BTreeMap<i32, Option<u32>>,
    turns: usize,
    /// The number of the log's next entry when an attempt that hadn't claimed was stopped.
    pub seen_at_stop: BTreeMap<String, u64>,
}

impl Group {
    pub fn new(partitions: i32) -> Self {
        Self {
            members: BTreeMap::new(),
            evicted: BTreeSet::new(),
            owners: (0..partitions).map(|partition| (partition, None)).collect(),
            turns: 0,
            seen_at_stop: BTreeMap::new(),
        }
    }

    fn is_owned_by(&self, partition: i32, member: u32) -> bool {
        self.owners.get(&partition).copied().flatten() == Some(member)
    }

    /// Asks members to give back what shall be another's, and gives what nobody has.
    fn balance(&mut self) {
        let ids: Vec<u32> = self.members.keys().copied().collect();
        for (&partition, owner) in &mut self.owners {
            let wanted = match ids.len() {
                0 => None,
                count => Some(ids[(partition as usize + self.turns) % count]),
            };
            match (*owner, wanted) {
                (None, Some(wanted)) => {
                    *owner = Some(wanted);
                    if let Some(member) = self.members.get_mut(&wanted) {
                        member.news.push_back(News::Assigned(vec![partition]));
                        member.process.mail.notify_one();
                    }
                }
                (Some(there), wanted) if wanted != Some(there) => {
                    if let Some(member) = self.members.get_mut(&there)
                        && member.revoking.insert(partition)
                    {
                        member.news.push_back(News::Revoked(vec![partition]));
                        member.process.mail.notify_one();
                    }
                }
                _ => {}
            }
        }
    }
}

impl State {
    pub fn join(&mut self, process: &Arc<Process>) {
        self.say(|| format!("p{} joins", process.id));
        let member = Member { process: Arc::clone(process), news: VecDeque::new(), revoking: BTreeSet::new() };
        self.group.members.insert(process.id, member);
        self.turn_group();
    }

    /// A rebalance after which partitions have moved.
    pub fn turn_group(&mut self) {
        self.group.turns += 1;
        self.group.balance();
    }

    /// A member has given partitions back.
    pub fn give_back(&mut self, member: u32, partitions: &[i32]) {
        for partition in partitions {
            if self.group.is_owned_by(*partition, member) {
                self.group.owners.insert(*partition, None);
            }
            if let Some(member) = self.group.members.get_mut(&member) {
                member.revoking.remove(partition);
            }
        }
        self.group.balance();
    }

    pub fn leave(&mut self, member: u32) {
        self.say(|| format!("p{member} leaves"));
        self.remove_member(member);
        self.group.evicted.remove(&member);
    }

    /// The group gives a member up, which will hear of it.
    pub fn evict(&mut self, member: u32, why: &str) {
        let Some(process) = self.group.members.get(&member).map(|member| Arc::clone(&member.process)) else { return };
        self.say(|| format!("the group gives p{member} up: {why}"));
        if process.is_cut() {
            let flows = self.attempts.values().any(|attempt| attempt.process == member && !attempt.has_ended);
            if flows {
                self.figures.reach(Point::RevokedUnheard);
            }
        }
        self.remove_member(member);
        self.group.evicted.insert(member);
        process.mail.notify_one();
    }

    fn remove_member(&mut self, member: u32) {
        self.group.members.remove(&member);
        for owner in self.group.owners.values_mut().filter(|owner| **owner == Some(member)) {
            *owner = None;
        }
        self.turn_group();
    }

    fn news(&mut self, process: &Arc<Process>) -> Option<News> {
        if self.group.evicted.remove(&process.id) {
            return Some(News::Lost);
        }
        self.group.members.get_mut(&process.id)?.news.pop_front()
    }

    /// Where a task begins, by what its log says; as `source::offsets` has it, with `on_data_loss = "continue"`.
    fn first_offset(&mut self, partition: i32, logged: Option<i64>) -> i64 {
        let (low, high) = (self.topic.low(partition), self.topic.high(partition));
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
    /// Returns when the group has something to say to a member.
    pub async fn news(&self, process: &Arc<Process>) -> News {
        loop {
            process.reaches_kafka().await;
            if let Some(news) = self.with(|state| state.news(process)) {
                self.say(|| format!("p{} {news:?}", process.id));
                return news;
            }
            process.mail.notified().await;
        }
    }

    /// The next records from `position` on; `None` if Kafka doesn't have that offset.
    pub async fn fetch(&self, process: &Process, partition: i32, position: i64) -> Option<Batch> {
        loop {
            let changed = self.records.notified();
            process.reaches_kafka().await;
            let batch = self.with(|state| state.topic.take(partition, position))?;
            if batch.messages.is_empty() {
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
