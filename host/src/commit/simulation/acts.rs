//! What the director does to the world, and how the world in the end is compared with what Kafka had to give.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use super::kafka::Message;
use super::plan::{Blow, Strike};
use super::points::Doing;
use super::world::{SESSION, State};

impl State {
    /// Sends a record, if there are any left. A topic that was made anew grows only once that was noticed: one that has
    /// grown past the logged offset can't be told from the old one.
    pub fn produce(&mut self, partition: i32) -> bool {
        let is_noticed = self.objects.logs[&partition].generation == self.topic.generation(partition);
        if self.topic.high(partition) >= self.plan.records as i64 || !is_noticed {
            return false;
        }
        let message = match self.rng.u8(..10) {
            0 => Message::Gap,
            1 => Message::DeadLetter,
            2 | 5 | 8 if self.plan.sends => Message::Sent,
            n => Message::Row(usize::from(n % 2)),
        };
        self.topic.append(partition, message);
        true
    }

    /// What shall happen to the next process that does a certain thing.
    pub fn plan_strike(&mut self) {
        let doing = Doing::ALL[self.rng.usize(..Doing::ALL.len() - 1)];
        let blow = match self.rng.u8(..10) {
            0..=2 => Blow::Kill,
            3..=5 => Blow::Stop(self.draw_stop()),
            6 => Blow::Term,
            7 | 8 => Blow::TermThenKill(Duration::from_millis(self.rng.u64(..300))),
            _ => Blow::Rebalance,
        };
        let after = self.rng.bool();
        self.strikes.push(Strike { doing, after, blow });
    }

    pub fn draw_stop(&mut self) -> Duration {
        let session = SESSION.as_millis() as u64;
        Duration::from_millis(match self.rng.u8(..6) {
            0 => self.rng.u64(..session),
            5 if self.plan.has_quiet_hours => self.rng.u64(..12 * 3_600_000),
            _ => self.rng.u64(session..session * 6),
        })
    }

    /// The store is away, slow, or full for a while.
    pub fn worsen(&mut self) {
        let until = Instant::now() + Duration::from_millis(self.rng.u64(500..60_000));
        match self.rng.u8(..4) {
            0 => self.weather.outage_until = Some(until),
            1 => self.weather.disk_full_until = Some(until),
            _ => self.weather.slow_until = Some(until),
        }
        self.say(|| "the store is away, full or slow".to_owned());
    }

    pub fn lose_records(&mut self) {
        if !self.plan.loses_records {
            return;
        }
        let partition = self.rng.i32(0..self.plan.partitions);
        let offset = self.objects.logs[&partition].offset;
        let is_noticed = self.objects.logs[&partition].generation == self.topic.generation(partition);
        if self.rng.bool() {
            let low = self.rng.i64(0..=self.topic.high(partition));
            self.say(|| format!("retention removes partition {partition} up to {low}"));
            self.topic.retain_from(partition, low);
        } else if offset > self.topic.low(partition) && is_noticed {
            self.say(|| format!("partition {partition} is made anew, {offset} were decided"));
            self.topic.make_anew(partition, offset);
        }
    }

    pub fn is_caught_up(&mut self) -> bool {
        (0..self.plan.partitions).all(|partition| {
            while self.produce(partition) {}
            let log = &self.objects.logs[&partition];
            log.generation == self.topic.generation(partition) && log.offset == self.topic.high(partition)
        })
    }

    pub fn what_is_left(&self) -> String {
        let left = (0..self.plan.partitions).map(|partition| {
            let log = &self.objects.logs[&partition];
            format!("partition {partition} is at {} of {}", log.offset, self.topic.high(partition))
        });
        left.collect::<Vec<_>>().join(", ")
    }

    /// Every record that Kafka had to give is there, and nothing is left in the stage.
    pub fn compare(&mut self) {
        let (must, may) = self.topic.expected();
        let missing: Vec<_> =
            must.difference(&self.objects.seen).filter(|id| !self.objects.lost.contains(id)).collect();
        let strange: Vec<_> = self.objects.seen.difference(&must).filter(|id| !may.contains(id)).collect();
        let staged: BTreeSet<&String> = self.objects.all.keys().filter(|path| path.contains("/stage/")).collect();
        let wrong = [
            (!missing.is_empty()).then(|| format!("records that no reader sees: {missing:?}")),
            (!strange.is_empty()).then(|| format!("records that Kafka never had: {strange:?}")),
            (!staged.is_empty()).then(|| format!("left in the stage: {staged:?}")),
        ];
        self.figures.records = self.objects.seen.len() as u64;
        wrong.into_iter().flatten().for_each(|wrong| self.is_wrong(wrong));
    }
}
