//! What is known from outside of attempts: what they are doing, and how far they had come when something struck them.

use std::collections::BTreeSet;

use super::exchange::BEHIND;
use super::points::{Doing, Point};
use super::world::{State, World};
use super::{Commit, LogError};

/// What is known from outside of an attempt.
#[derive(Debug, Default)]
pub struct Attempt {
    pub process: u32,
    pub partition: i32,
    /// The number of its CLAIM.
    pub claimed: Option<u64>,
    /// What it has under way at the store.
    pub under_way: Vec<Doing>,
    /// Files staged whole, and not decided.
    pub staged: BTreeSet<String>,
    pub commit: Option<Commit>,
    pub acknowledged: bool,
    pub has_ended: bool,
}

impl State {
    fn live_attempts(&self, process: u32) -> impl Iterator<Item = (&String, &Attempt)> {
        self.attempts.iter().filter(move |(_, attempt)| attempt.process == process && !attempt.has_ended)
    }

    pub fn count_doing(&mut self, process: u32, point: fn(Doing) -> Point) {
        let doing: Vec<Doing> = self.live_attempts(process).flat_map(|(_, attempt)| attempt.doing()).collect();
        doing.into_iter().for_each(|doing| self.figures.reach(point(doing)));
    }

    pub fn note_stop(&mut self, process: u32) {
        let seen = self
            .live_attempts(process)
            .map(|(name, attempt)| (name.clone(), self.objects.logs[&attempt.partition].next));
        let seen: Vec<(String, u64)> = seen.collect();
        self.group.seen_at_stop.extend(seen);
    }

    pub fn count_zombie(&mut self, process: u32) {
        let moved: Vec<_> = self
            .live_attempts(process)
            .filter(|(name, attempt)| {
                let log = &self.objects.logs[&attempt.partition];
                match attempt.claimed {
                    Some(_) => log.holder.as_ref() != Some(*name),
                    // It wanted the number that another has taken meanwhile.
                    None => log.next > self.group.seen_at_stop.get(*name).copied().unwrap_or(log.next),
                }
            })
            .collect();
        let behind = moved.iter().filter(|(_, attempt)| attempt.partition >= BEHIND).count();
        let doing: Vec<Doing> = moved.iter().flat_map(|(_, attempt)| attempt.doing()).collect();
        doing.into_iter().for_each(|doing| self.figures.reach(Point::Zombie(doing)));
        (0..behind).for_each(|_| self.figures.reach(Point::BehindZombie));
    }

    /// How far it had come with what it had decided to send.
    fn killed_sending(&self, name: &str, partition: i32) -> Point {
        let here = self.coordinators.get(&partition);
        let to_send = &self.objects.logs[&partition].to_send;
        match here.and_then(|here| here.open.as_ref()) {
            _ if here.is_some_and(|here| here.mark == *to_send) => Point::KilledSentUnacknowledged,
            Some(open) if open.attempt == name => Point::KilledTransactionOpen,
            _ => Point::KilledDecidedUnsent,
        }
    }

    pub fn count_kill(&mut self, process: u32) {
        let mut reached = Vec::new();
        for (name, attempt) in self.live_attempts(process) {
            let log = &self.objects.logs[&attempt.partition];
            if log.holder.as_ref() != Some(name) {
                continue;
            }
            if attempt.commit.is_none() && attempt.staged.is_empty() && !attempt.under_way.contains(&Doing::Staging) {
                reached.push(Point::KilledAfterClaim);
            }
            let is_behind = attempt.partition >= BEHIND;
            let is_staging = attempt.under_way.contains(&Doing::Staging) || !attempt.staged.is_empty();
            reached.extend((is_behind && is_staging).then_some(Point::BehindKilledUndecided));
            if attempt.under_way.contains(&Doing::Staging) {
                reached.push(Point::KilledMidUpload);
            } else if !attempt.staged.is_empty() {
                reached.push(Point::KilledStagedUndecided);
            }
            let Some(commit) = attempt.commit.as_ref().filter(|_| !attempt.acknowledged) else { continue };
            reached.extend(is_behind.then_some(Point::BehindKilledDecided));
            let published = commit.files.iter().filter(|file| self.objects.is_published(&file.path)).count();
            match (published, commit.files.len()) {
                (0, all) if all > 0 => reached.push(Point::KilledDecidedUnpublished),
                (some, all) if some < all => reached.push(Point::KilledBetweenFiles),
                _ if log.to_send.is_some() => {
                    let point = self.killed_sending(name, attempt.partition);
                    reached.push(point);
                    reached.extend(self.plan.exchange.as_ref().and_then(|_| point.of_chunks()));
                }
                _ => reached.push(Point::KilledBeforeOffsetCommit),
            }
        }
        for point in reached {
            self.figures.reach(point);
        }
    }
}

impl Attempt {
    /// What it is doing: `Idle` where it has nothing under way.
    pub fn doing(&self) -> Vec<Doing> {
        let mut doing = self.under_way.clone();
        doing.sort_unstable();
        doing.dedup();
        if doing.is_empty() {
            doing.push(Doing::Idle);
        }
        doing
    }
}

impl World {
    /// An attempt is over, and why.
    pub fn ended(&self, attempt: &str, error: Option<&LogError>) {
        self.with(|state| {
            state.say(|| format!("{attempt} ends: {}", error.map_or("finished".to_owned(), ToString::to_string)));
            if let Some(LogError::Fenced { by }) = error {
                let point = if by.contains("silence") { Point::SelfFenced } else { Point::Fenced };
                state.figures.reach(point);
            }
            if let Some(attempt) = state.attempts.get_mut(attempt) {
                attempt.has_ended = true;
            }
        });
    }

    pub fn acknowledged(&self, attempt: &str) {
        self.with(|state| {
            if let Some(attempt) = state.attempts.get_mut(attempt) {
                attempt.acknowledged = true;
            }
        });
    }

    /// A task was dropped; an epoch that is being decided goes on.
    pub fn dropped(&self, attempt: &str) {
        self.with(|state| {
            state.say(|| format!("{attempt} is dropped"));
            let Some(attempt) = state.attempts.get_mut(attempt) else { return };
            use Doing::{Deciding, Ending, Publishing, Removing, Sending, TakingOver};
            let goes_on =
                |doing: &Doing| matches!(doing, Deciding | Publishing | Removing | TakingOver | Sending | Ending);
            attempt.has_ended |= !attempt.under_way.iter().any(goes_on);
        });
    }

    /// Whether an attempt is uploading or deciding.
    pub fn is_flushing(&self, attempt: &str) -> bool {
        self.with(|state| {
            let doing = state.attempts.get(attempt).map(|attempt| attempt.under_way.clone()).unwrap_or_default();
            doing.iter().any(|doing| matches!(doing, Doing::Staging | Doing::Deciding))
        })
    }
}
