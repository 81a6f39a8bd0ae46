//! What a feed hands out: a record for a topic, and when it is due.

use chrono::NaiveDateTime;
use serde::Serialize;

use crate::clock;

/// One record of a feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The topic it goes to, one of [`crate::System::topics`].
    pub topic: &'static str,
    /// The key's bytes: what the system tells its records or their groups apart by. A JSON object where `avro` is given.
    pub key: Vec<u8>,
    /// The value's bytes: a JSON object, or a line of CSV.
    pub value: Vec<u8>,
    /// How the system writes key and value in truth, for topics that are Avro: whoever sends the record encodes it so.
    pub avro: Option<AvroSchemas>,
    /// When it was sent on the simulation's clock, in milliseconds since 1970-01-01T00:00:00 of that clock. Never decreases.
    /// It happened then, too, but for what the mta system holds up on the way: the value tells.
    pub event_time_ms: i64,
    /// When to send it in a feed that runs in real time, in milliseconds since the feed's start. Never decreases. It
    /// isn't the event time's distance where the simulation's clock runs faster than the feed (railway: 5 minutes in 3).
    pub due_ms: u64,
}

/// The Avro schemas of a topic's records, as JSON text. Each is that of a record with the fields that the JSON of the key, or of
/// the value, has; a field that may be null is there in any case, as its value or as null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AvroSchemas {
    /// The key's.
    pub key: &'static str,
    /// The value's.
    pub value: &'static str,
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
        Record::new(topic, id.as_bytes().to_vec(), json(value), moment)
    }

    /// A record that is Avro by these schemas.
    pub(crate) fn avro(
        topic: &'static str,
        schemas: AvroSchemas,
        key: &impl Serialize,
        value: &impl Serialize,
        moment: Moment,
    ) -> Self {
        Record { avro: Some(schemas), ..Record::new(topic, json(key), json(value), moment) }
    }

    /// A record of these bytes.
    pub(crate) fn new(topic: &'static str, key: Vec<u8>, value: Vec<u8>, moment: Moment) -> Self {
        let event_time_ms = clock::epoch_ms(moment.time);
        Record { topic, key, value, avro: None, event_time_ms, due_ms: moment.due_ms }
    }
}

fn json(value: &impl Serialize) -> Vec<u8> {
    // Writing to memory can't fail, and only maps with other keys than text have no JSON: these are structs.
    serde_json::to_vec(value).expect("a struct of text and numbers has a JSON form")
}
