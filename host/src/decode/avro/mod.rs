//! Avro in Confluent's wire format, straight into columns: each message by the schema that it was written by.
//!
//! What never happens: a message whose schema isn't known yet is taken for a bad one. Who decodes asks first
//! ([`Avro::prepare`]) which schemas are lacking, and waits for them.

mod columns;
mod cursor;
mod json;
mod plan;
mod value;

use std::collections::HashMap;
use std::sync::Arc;

use super::builder::Column;
use super::reason::cut;
use crate::avro::{MAGIC, Schemas};
use crate::batch::Messages;
use plan::Plan;

pub(super) use columns::{Derived, derive};
pub(super) use plan::Target;

/// Schemas that a decoder remembers what to do by, at most.
const MAX_PLANS: usize = 1_000;

/// Reads the values of messages, and their keys where columns read them.
#[derive(Debug)]
pub(super) struct Avro {
    schemas: Arc<Schemas>,
    value: Reader,
    key: Option<Reader>,
    /// Nested values are put together here.
    scratch: Vec<u8>,
}

/// Reads keys or values, by as many schemas as they were written by.
#[derive(Debug)]
struct Reader {
    targets: Vec<Target>,
    plans: HashMap<u32, Result<Plan, String>>,
}

impl Avro {
    /// Reads these parts of values and of keys.
    pub fn new(value: Vec<Target>, key: Vec<Target>) -> Self {
        let reader = |targets| Reader { targets, plans: HashMap::new() };
        let key = (!key.is_empty()).then(|| reader(key));
        Self { schemas: Arc::default(), value: reader(value), key, scratch: Vec::new() }
    }

    /// Looks schemas up there from now on.
    pub fn look_up_in(&mut self, schemas: Arc<Schemas>) {
        self.schemas = schemas;
    }

    /// Makes ready for these messages; returns the ids of schemas that have to be known before, each once.
    pub fn prepare(&mut self, messages: &dyn Messages) -> Vec<u32> {
        let mut lacking = Vec::new();
        for reader in [Some(&mut self.value), self.key.as_mut()].into_iter().flatten() {
            // What can't be read now may be in a while.
            reader.plans.retain(|_, plan| plan.is_ok());
            if reader.plans.len() > MAX_PLANS {
                reader.plans.clear();
            }
        }
        let (mut value, mut key) = (None, None);
        for index in 0..messages.len() {
            let id = messages.value(index).and_then(id);
            if id != value {
                value = id;
                self.value.plan(id, &self.schemas, &mut lacking);
            }
            let Some(reader) = &mut self.key else { continue };
            let id = messages.key(index).and_then(self::id);
            if id != key {
                key = id;
                reader.plan(id, &self.schemas, &mut lacking);
            }
        }
        lacking
    }

    /// Pushes one message onto its columns. On failure, columns may be left with a value too many.
    pub fn decode(&mut self, key: Option<&[u8]>, value: &[u8], columns: &mut [Column]) -> Result<(), String> {
        if let (Some(reader), Some(key)) = (&self.key, key.filter(|key| !key.is_empty())) {
            reader.decode(key, columns, &mut self.scratch).map_err(|reason| format!("key: {reason}"))?;
        }
        self.value.decode(value, columns, &mut self.scratch)
    }
}

impl Reader {
    fn plan(&mut self, id: Option<u32>, schemas: &Schemas, lacking: &mut Vec<u32>) {
        let Some(id) = id.filter(|id| !self.plans.contains_key(id)) else { return };
        match schemas.get(id) {
            Some(schema) => {
                let plan = schema.map(|schema| Plan::new(schema, &self.targets));
                self.plans.insert(id, plan);
            }
            None if lacking.contains(&id) => {}
            None => lacking.push(id),
        }
    }

    fn decode(&self, bytes: &[u8], columns: &mut [Column], scratch: &mut Vec<u8>) -> Result<(), String> {
        let id = id(bytes).ok_or_else(|| no_wire_format(bytes))?;
        match self.plans.get(&id) {
            Some(Ok(plan)) => plan.read(&bytes[5..], columns, scratch).map_err(|fault| fault.in_words(id, columns)),
            Some(Err(reason)) => Err(format!("schema {id}: {}", cut(reason))),
            None => Err(format!("schema {id}: nobody knows it")),
        }
    }
}

/// The id of the schema that a message names; `None` where it names none.
#[inline]
fn id(message: &[u8]) -> Option<u32> {
    match message {
        [MAGIC, a, b, c, d, ..] => Some(u32::from_be_bytes([*a, *b, *c, *d])),
        _ => None,
    }
}

#[cold]
fn no_wire_format(bytes: &[u8]) -> String {
    let begins: String = bytes.iter().take(5).map(|byte| format!("{byte:02x}")).collect();
    format!("not in Confluent's wire format: expected a byte of 0 and a schema id in 4, found 0x{begins}")
}
