//! Avro schemas: read, kept by the ids that messages name them by, and JSON written as they say.
//!
//! What a registry hands out is put here and what decodes finds it here, so that neither knows of the other. No I/O.

mod datum;
mod schema;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

pub use schema::{Field, Node, NodeId, Schema, SchemaText};

/// What begins a message in Confluent's wire format: a byte of 0, then the schema's id in four.
pub const MAGIC: u8 = 0;

/// How long an id counts as unknown before it is asked for again: a registry may be behind another.
const UNKNOWN_FOR: Duration = Duration::from_secs(30);
/// How many ids are remembered of either kind: messages can name as many as there are.
const MAX_KNOWN: usize = 10_000;

/// A schema of that id, or why messages by it can't be read.
pub type Known = Result<Arc<Schema>, String>;

/// The schemas of a process by id, as far as they have been asked for.
#[derive(Debug, Default)]
pub struct Schemas {
    known: RwLock<HashMap<u32, (Known, Option<Instant>)>>,
}

impl Schemas {
    /// What is known of that id by now; `None` if somebody has to ask.
    pub fn get(&self, id: u32) -> Option<Known> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let (schema, until) = known.get(&id)?;
        until.is_none_or(|until| until > Instant::now()).then(|| schema.clone())
    }

    /// Keeps a schema for good.
    pub fn insert(&self, id: u32, text: &SchemaText) {
        self.put(id, Schema::parse(text).map(Arc::new), None);
    }

    /// Remembers for a while that messages of this id can't be read.
    pub fn insert_unusable(&self, id: u32, reason: String) {
        self.put(id, Err(reason), Some(Instant::now() + UNKNOWN_FOR));
    }

    fn put(&self, id: u32, known: Known, until: Option<Instant>) {
        let mut all = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let same = all.values().filter(|(_, other)| other.is_some() == until.is_some()).count();
        if same >= MAX_KNOWN {
            all.retain(|_, (_, other)| other.is_some() != until.is_some());
        }
        all.insert(id, (known, until));
    }
}

/// Begins a message by the schema of that id.
pub fn begin(id: u32, message: &mut Vec<u8>) {
    message.push(MAGIC);
    message.extend_from_slice(&id.to_be_bytes());
}
