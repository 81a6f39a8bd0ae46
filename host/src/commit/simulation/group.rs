//! Kafka's group, whose members come and go, and which gives each partition to one of them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::points::Point;
use super::process::Process;
use super::world::{State, World};

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
    pub fn new(tasks: &[i32]) -> Self {
        Self {
            members: BTreeMap::new(),
            evicted: BTreeSet::new(),
            owners: tasks.iter().map(|task| (*task, None)).collect(),
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
}
