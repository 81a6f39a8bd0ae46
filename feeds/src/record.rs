//! What a feed hands out: a record for a topic, and when it is due.

use chrono::NaiveDateTime;
use serde::Serialize;

use crate::clock;

/// One record of a feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The topic it goes to, one of [`crate::System::topics`].
    pub topic: &'static str,
    /// The key's bytes: the record's id.
    pub key: Vec<u8>,
    /// The value's bytes: a JSON object.
    pub value: Vec<u8>,
    /// When it happened on the simulation's clock, in milliseconds since 1970-01-01T00:00:00 of that clock. Never decreases.
    pub event_time_ms: i64,
    /// When to send it in a feed that runs in real time, in milliseconds since the feed's start. Never decreases. It
    /// isn't the event time's distance where the simulation's clock runs faster than the feed (railway: 5 minutes in 3).
    pub due_ms: u64,
}

/// A moment of a simulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) time: NaiveDateTime,
    pub(crate) due_ms: u64,
}

impl Record {
    /// A record with `value` as JSON, its fields in the order of the struct.
    pub(crate) fn json(topic: &'static str, id: &str, value: &impl Serialize, moment: Moment) -> Self {
        Record {
            topic,
            key: id.as_bytes().to_vec(),
            // Writing to memory can't fail, and only maps with other keys than text have no JSON: these are structs.
            value: serde_json::to_vec(value).expect("a struct of text and numbers has a JSON form"),
            event_time_ms: clock::epoch_ms(moment.time),
            due_ms: moment.due_ms,
        }
    }
}
