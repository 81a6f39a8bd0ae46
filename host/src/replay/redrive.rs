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

/// The header of a record that was sent back: which one it was, as [`Letter::origin`] says it.
const HEADER: &str = "rillgate-redriven";

/// Which record a dead letter is that was sent back, if it is one that was. Whoever writes to the topic can say so, and is believed where
/// it can be: what is sent back comes after what it was, in the same partition.
pub fn sent_back(letter: &Letter) -> Option<String> {
    let value = letter.message.headers.iter().rev().find(|(name, _)| name == HEADER)?.1.as_ref()?;
    let origin = String::from_utf8(value.clone()).ok()?;
    let place = origin.strip_prefix(&format!("{}/{}/", letter.topic, letter.partition))?;
    let (offset, _) = place.split_once('@')?;
    (offset.parse::<i64>().ok()? < letter.message.offset).then_some(origin)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::MemoryMessage;

    fn letter(partition: i32, offset: i64, timestamp_ms: Option<i64>, header: Option<&str>) -> Letter {
        let header = header.map(|origin| (HEADER.to_owned(), Some(origin.as_bytes().to_vec())));
        let (stage, reason) = ("decode".to_owned(), "no JSON".to_owned());
        let message = MemoryMessage { offset, timestamp_ms, key: None, value: None, headers: Vec::from_iter(header) };
        Letter { topic: "t".to_owned(), partition, stage, reason, message }
    }

    #[tokio::test]
    async fn what_was_sent_back_of_a_topic_hides_nothing_of_one_that_is_made_anew() {
        let store = Store::in_memory();
        let old = letter(0, 123, Some(1_000), None);
        let note = Note { redriven: vec![old.origin()] };
        let path = store.control.path(&format!("{}/a.json", folder("p"))).unwrap();
        store.control.store.put(&path, serde_json::to_vec(&note).unwrap().into()).await.unwrap();
        let redriven = Redriven::load(&store, "p").await.unwrap();
        assert!(redriven.contains(&old));
        for new in [letter(0, 123, Some(2_000), None), letter(0, 123, None, None), letter(1, 123, Some(1_000), None)] {
            assert!(!redriven.contains(&new), "{}", new.origin());
        }
    }

    #[test]
    fn a_header_is_believed_only_of_a_record_before_in_the_same_partition() {
        let sent = letter(0, 123, Some(1_000), None);
        let origin = sent.origin();
        assert_eq!(origin, "t/0/123@1000");
        assert_eq!(sent_back(&sent), None);
        let said = |partition, offset, origin: &str| sent_back(&letter(partition, offset, Some(1), Some(origin)));
        assert_eq!(said(0, 124, &origin), Some(origin.clone()));
        for (partition, offset) in [(0, 123), (0, 5), (1, 124)] {
            assert_eq!(said(partition, offset, &origin), None, "{partition}/{offset}");
        }
        for other in ["u/0/123@1000", "t/0/123", "t/0/@1000", "t/0/x@1000", "t/01/123@1000", ""] {
            assert_eq!(said(0, 1_000, other), None, "{other}");
        }
    }
}
