//! What the director does to the world, and how the world in the end is compared with what Kafka had to give.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use super::kafka::Message;
use super::objects::Record;
use super::plan::{Blow, Strike};
use super::points::Doing;
use super::world::{SESSION, State};

/// Event times are later than this.
const TIMES_BEGIN_MS: i64 = 1_700_000_000_000;

impl State {
    /// Sends a record, if there are any left. A topic that was made anew grows only once that was noticed: one that has
    /// grown past the logged offset can't be told from the old one.
    pub fn produce(&mut self, partition: i32) -> bool {
        let is_noticed = self.objects.logs[&partition].generation == self.topic.generation(partition);
        if self.topic.high(partition) >= self.plan.records as i64 || !is_noticed {
            return is_noticed && self.close_windows(partition);
        }
        let message = match self.rng.u8(..10) {
            0 => Message::Gap,
            1 => Message::DeadLetter,
            2..=8 if self.plan.exchange.is_some() => self.draw_row(partition),
            2 | 5 | 8 if self.plan.sends => Message::Sent,
            n => Message::Row(usize::from(n % 2)),
        };
        self.topic.append(partition, message);
        true
    }

    /// A row that goes through the exchange: out of order, and as far behind those of other partitions as they all are.
    fn draw_row(&mut self, partition: i32) -> Message {
        let Some(plan) = self.plan.exchange.clone() else { return Message::Gap };
        let behind_ms = self.rng.i64(0..=plan.delay_ms) + i64::from(partition) * plan.apart_ms;
        let time_ms = TIMES_BEGIN_MS + self.now_ms() as i64 - behind_ms;
        Message::Keyed { key: self.rng.u8(0..plan.keys), time_ms }
    }

    /// Once all is sent, a row that closes all windows: the last one of each partition.
    fn close_windows(&mut self, partition: i32) -> bool {
        let all = self.plan.records as i64;
        let is_open = self.topic.high(partition) == all;
        let are_sent = (0..self.plan.partitions).all(|partition| {
            let is_noticed = self.objects.logs[&partition].generation == self.topic.generation(partition);
            is_noticed && self.topic.high(partition) >= all
        });
        if !self.is_calm || self.plan.exchange.is_none() || !is_open || !are_sent {
            return false;
        }
        let time_ms = TIMES_BEGIN_MS + self.now_ms() as i64 + 24 * 3_600_000;
        self.topic.append(partition, Message::Closing { time_ms });
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
        let all = (0..self.plan.partitions).all(|partition| {
            while self.produce(partition) {}
            let log = &self.objects.logs[&partition];
            log.generation == self.topic.generation(partition) && log.offset == self.topic.high(partition)
        });
        // Word of idle tasks comes for ever.
        all && (self.plan.exchange.is_none() || self.missing().is_empty())
    }

    /// Records that a reader must see, and doesn't.
    fn missing(&self) -> BTreeSet<Record> {
        let (must, _) = self.topic.expected();
        let is_missing = |id: &&Record| !self.objects.seen.contains(*id) && !self.objects.lost.contains(*id);
        must.iter().filter(is_missing).copied().collect()
    }

    pub fn what_is_left(&self) -> String {
        let left = (0..self.plan.partitions).map(|partition| {
            let log = &self.objects.logs[&partition];
            format!("partition {partition} is at {} of {}", log.offset, self.topic.high(partition))
        });
        format!("{}; missing {:?}", left.collect::<Vec<_>>().join(", "), self.missing())
    }

    /// Every record that Kafka had to give is there, and nothing is left in the stage.
    pub fn compare(&mut self) {
        let (must, may) = self.topic.expected();
        let missing = self.missing();
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
