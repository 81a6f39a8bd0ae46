//! Dead letters sent back to where they came from, and what was sent back already.
//!
//! A letter is sent, and then noted. Cut off in between it may be sent twice, unless what came of the first has become a dead letter too:
//! that says where it came from.

use std::collections::BTreeSet;

use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt};
use serde::{Deserialize, Serialize};

use super::Letter;
use crate::commit::Store;
use crate::sink::{RawProducer, RawRecord};

/// The header of a record that was sent back: which one it was, `<topic>/<partition>/<offset>`.
const HEADER: &str = "rillgate-redriven";

/// Which record a dead letter was sent back as, if it was one that was.
pub fn is_origin(letter: &Letter) -> Option<String> {
    let value = letter.message.headers.iter().rev().find(|(name, _)| name == HEADER)?.1.as_ref()?;
    String::from_utf8(value.clone()).ok()
}

/// Letters that were sent back, by where they were.
#[derive(Debug, Default)]
pub struct Redriven {
    origins: BTreeSet<String>,
}

/// A file that says so.
#[derive(Serialize, Deserialize)]
struct Note {
    redriven: Vec<String>,
}

impl Redriven {
    /// What was noted of a pipeline's letters.
    ///
    /// # Errors
    /// A store that doesn't answer, or a note that can't be read.
    pub async fn load(store: &Store, pipeline: &str) -> Result<Self, String> {
        let odd = |error: object_store::Error| error.to_string();
        let folder = store.control.path(&folder(pipeline)).map_err(odd)?;
        let found: Vec<_> = store.control.store.list(Some(&folder)).try_collect().await.map_err(odd)?;
        let mut origins = BTreeSet::new();
        for file in found {
            let content = store.control.store.get(&file.location).await.map_err(odd)?.bytes().await.map_err(odd)?;
            let note: Note = serde_json::from_slice(&content).map_err(|error| format!("{}: {error}", file.location))?;
            origins.extend(note.redriven);
        }
        Ok(Self { origins })
    }

    /// Takes note that this one was sent back, as a letter of today says.
    pub fn add(&mut self, origin: String) {
        self.origins.insert(origin);
    }

    /// Whether this one was sent back.
    pub fn contains(&self, letter: &Letter) -> bool {
        self.origins.contains(&letter.origin())
    }
}

/// Sends letters back, each to its own partition, waits until Kafka has them all, and notes them.
///
/// # Errors
/// What Kafka didn't take, or a note that can't be written. Some may have been sent then.
pub async fn redrive(
    store: &Store,
    pipeline: &str,
    producer: &RawProducer,
    letters: &[Letter],
    redriven: &mut Redriven,
) -> Result<(), String> {
    if letters.is_empty() {
        return Ok(());
    }
    let record = |letter: &Letter| {
        let mut headers = letter.message.headers.clone();
        headers.retain(|(name, _)| name != HEADER);
        headers.push((HEADER.to_owned(), Some(letter.origin().into_bytes())));
        RawRecord {
            topic: letter.topic.clone(),
            partition: letter.partition,
            timestamp_ms: letter.message.timestamp_ms,
            key: letter.message.key.clone(),
            value: letter.message.value.clone(),
            headers,
        }
    };
    producer.send(letters.iter().map(record)).map_err(|error| error.to_string())?;
    let note = Note { redriven: letters.iter().map(Letter::origin).collect() };
    let content = serde_json::to_vec(&note).map_err(|error| error.to_string())?;
    let path = format!("{}/{}.json", folder(pipeline), uuid::Uuid::new_v4().simple());
    let odd = |error: object_store::Error| format!("records were sent back, and {path} can't say so: {error}");
    let to = store.control.path(&path).map_err(odd)?;
    store.control.store.put(&to, content.into()).await.map_err(odd)?;
    redriven.origins.extend(note.redriven);
    Ok(())
}

fn folder(pipeline: &str) -> String {
    format!("_rillgate/{pipeline}/redriven")
}
