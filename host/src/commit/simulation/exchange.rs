//! The exchange's topic, as a broker keeps it: records of transactions that are open, committed or aborted, a marker where each has
//! ended, and readers who are given what is committed, and nothing from where the first transaction is open.

use std::collections::BTreeMap;

use crate::batch::{MemoryMessage, MemoryMessages};
use crate::exchange::{self, HEADER, Placed};

/// Tasks behind the exchange are numbered from here on, by the partition that they read; those before it by theirs.
pub const BEHIND: i32 = 100;

/// Records in a batch, at most.
const BATCH: usize = 6;

/// The task whose producer began it, the producer's epoch, and its number there.
pub type Transaction = (i32, u32, u32);

#[derive(Debug)]
enum Slot {
    Record { of: Transaction, timestamp_ms: i64, value: Vec<u8>, header: Vec<u8> },
    Marker,
}

/// The topic.
#[derive(Debug, Default)]
pub struct ExchangeTopic {
    partitions: BTreeMap<i32, Vec<Slot>>,
    /// Transactions that have ended, and whether they were committed.
    ended: BTreeMap<Transaction, bool>,
}

/// What a reader is given.
#[derive(Debug, Default)]
pub struct Read {
    pub chunks: MemoryMessages,
    /// The offset after all that was passed.
    pub end: i64,
    /// Some of it was aborted.
    pub has_aborted: bool,
    /// More is there, of a transaction that is open or after one.
    pub is_held_back: bool,
}

impl ExchangeTopic {
    /// Appends a record of a transaction that is open.
    pub fn append(&mut self, of: Transaction, timestamp_ms: i64, (to, value, header): Placed) {
        let slot = Slot::Record { of, timestamp_ms, value, header };
        self.partitions.entry(to).or_default().push(slot);
    }

    /// Ends a transaction, wherever it has records. Whether it has any.
    pub fn end(&mut self, transaction: Transaction, is_committed: bool) -> bool {
        let is_of = |slot: &Slot| matches!(slot, Slot::Record { of, .. } if *of == transaction);
        let mut has_any = false;
        for slots in self.partitions.values_mut().filter(|slots| slots.iter().any(is_of)) {
            slots.push(Slot::Marker);
            has_any = true;
        }
        self.ended.insert(transaction, is_committed);
        has_any
    }

    /// The offset after the last record or marker.
    pub fn high(&self, partition: i32) -> i64 {
        self.partitions.get(&partition).map_or(0, |slots| slots.len() as i64)
    }

    /// The next records that are committed, from `position` on.
    pub fn read(&self, partition: i32, position: i64) -> Read {
        let slots = self.partitions.get(&partition).map(Vec::as_slice).unwrap_or_default();
        let mut read = Read { end: position, ..Read::default() };
        (read.chunks.topic, read.chunks.partition) = (exchange::topic("rides"), partition);
        for (offset, slot) in slots.iter().enumerate().skip(position as usize).take(BATCH) {
            if let Slot::Record { of, timestamp_ms, value, header } = slot {
                match self.ended.get(of) {
                    None => {
                        read.is_held_back = true;
                        break;
                    }
                    Some(false) => read.has_aborted = true,
                    Some(true) => read.chunks.messages.push(MemoryMessage {
                        offset: offset as i64,
                        timestamp_ms: Some(*timestamp_ms),
                        key: None,
                        value: Some(value.clone()),
                        headers: vec![(HEADER.to_owned(), Some(header.clone()))],
                    }),
                }
            }
            read.end = offset as i64 + 1;
        }
        read
    }
}
