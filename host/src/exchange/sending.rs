//! What a task before the exchange sends: columns, each row to where its group is, and word to everyone of how far it has come.

use std::collections::BTreeMap;

use arrow::array::UInt32Array;
use arrow::compute::take_record_batch;
use arrow::error::ArrowError;

use super::chunk::{self, Heading, Kind};
use super::placing::Placing;
use super::upstreams::EventTime;
use crate::batch::RecordBatch;

/// A record of the exchange's topic: its partition, value, and header.
pub type Placed = (i32, Vec<u8>, Vec<u8>);

/// One task before the exchange.
#[derive(Debug)]
pub struct Sending {
    placing: Placing,
    /// How many partitions each of the topics has that are read.
    topics: BTreeMap<String, u32>,
    /// The topic and partition that it reads.
    from: (String, i32),
    event_time: EventTime,
    /// What everyone behind the exchange was told last.
    told: Option<EventTime>,
    /// It is to be told once more: nothing had come when it was looked.
    looked: bool,
    /// What isn't taken yet.
    made: Vec<Placed>,
}

impl Sending {
    /// One that reads partition `from` and has come as far as `watermark_us`.
    pub fn new(
        placing: Placing,
        topics: BTreeMap<String, u32>,
        from: (String, i32),
        watermark_us: Option<i64>,
    ) -> Self {
        let event_time = EventTime { watermark_us, is_idle: false };
        Self { placing, topics, from, event_time, told: None, looked: false, made: Vec::new() }
    }

    /// Goes on with other partitions that are read, or another rule.
    pub fn adopt(&mut self, placing: Placing, topics: BTreeMap<String, u32>) {
        (self.placing, self.topics) = (placing, topics);
    }

    /// No more rows are expected from before it, microseconds; `None` before the first row.
    pub fn watermark_us(&self) -> Option<i64> {
        self.event_time.watermark_us
    }

    /// Makes records of columns, whose key's names begin with `prefix`, after which the task has come to `watermark_us`: all or none.
    /// `false`, and none, if a row is too long for a record.
    ///
    /// # Errors
    /// Columns that lack a part of the key.
    pub fn add(
        &mut self,
        kind: Kind,
        columns: &RecordBatch,
        prefix: &str,
        watermark_us: Option<i64>,
    ) -> Result<bool, ArrowError> {
        let mut made = Vec::new();
        for (partition, rows) in self.placing.rows(columns, prefix)?.into_iter().enumerate() {
            if rows.is_empty() {
                continue;
            }
            let part = take_record_batch(columns, &UInt32Array::from(rows))?;
            let Some(values) = chunk::encode(&part)? else { return Ok(false) };
            made.extend(values.into_iter().map(|value| {
                let header = self.heading(kind).seal(&value);
                (partition as i32, value, header)
            }));
        }
        self.made.append(&mut made);
        self.event_time.watermark_us = self.event_time.watermark_us.max(watermark_us);
        Ok(true)
    }

    fn heading(&self, kind: Kind) -> Heading {
        let (topic, partition) = &self.from;
        Heading { rule: self.placing.rule().to_owned(), ..Heading::new(kind, format!("{topic}/{partition}")) }
    }

    /// Takes note that messages came, and returns what has to be sent of them.
    pub fn take(&mut self) -> Vec<Placed> {
        (self.event_time.is_idle, self.looked) = (false, false);
        std::mem::take(&mut self.made)
    }

    /// Takes note that nothing new has come for long, and nothing waits: everyone is to be told, also if they were before. To be
    /// looked for only when all that was said before is committed.
    pub fn is_idle(&mut self) {
        (self.event_time.is_idle, self.looked) = (true, true);
    }

    /// Word for everyone of how far this task has come; nothing where they know. It goes after all that was taken.
    pub fn tell(&mut self) -> Vec<Placed> {
        if self.told == Some(self.event_time) && !self.looked {
            return Vec::new();
        }
        let mut topics = self.topics.clone();
        // A partition that came after the start.
        let own = topics.entry(self.from.0.clone()).or_default();
        *own = (*own).max(self.from.1 as u32 + 1);
        let heading = Heading { event_time: self.event_time, topics, ..self.heading(Kind::EventTime) };
        let header = heading.seal(&[]);
        (self.told, self.looked) = (Some(self.event_time), false);
        (0..self.placing.partitions()).map(|to| (to as i32, Vec::new(), header.clone())).collect()
    }
}
