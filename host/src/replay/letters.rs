//! Dead letters, read back from the files of either format.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Int32Type, Int64Type, TimestampMicrosecondType};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use chrono::DateTime;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde::Deserialize;

use crate::batch::{MemoryMessage, MemoryMessages, RecordBatch};
use crate::commit::Store;
use crate::encode::ROW_HEADER;

/// A record that couldn't be processed, byte for byte.
#[derive(Debug, Clone, PartialEq)]
pub struct Letter {
    /// Where it is in Kafka.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The stage that couldn't process it.
    pub stage: String,
    /// Why.
    pub reason: String,
    /// The record itself.
    pub message: MemoryMessage,
}

impl Letter {
    /// As a batch of one message.
    pub fn messages(&self) -> MemoryMessages {
        MemoryMessages { topic: self.topic.clone(), partition: self.partition, messages: vec![self.message.clone()] }
    }

    /// Whether it is no record but a row that was made of some.
    pub fn is_row(&self) -> bool {
        self.message.headers.iter().any(|(name, _)| name == ROW_HEADER)
    }

    /// `<topic>/<partition>/<offset>@<timestamp>`: which record it is. Offsets begin again where a topic is made anew, and then the
    /// timestamp tells its records from those before.
    pub fn origin(&self) -> String {
        let MemoryMessage { offset, timestamp_ms, .. } = self.message;
        let timestamp = timestamp_ms.map(|timestamp| timestamp.to_string()).unwrap_or_default();
        format!("{}/{}/{offset}@{timestamp}", self.topic, self.partition)
    }
}

/// The files of a pipeline's dead letters, in the order of their names.
///
/// # Errors
/// A store that doesn't answer.
pub async fn files(store: &Store, pipeline: &str) -> Result<Vec<Path>, String> {
    let odd = |error: object_store::Error| error.to_string();
    let folder = store.tables.path(&format!("_dead/{pipeline}")).map_err(odd)?;
    let found = store.tables.store.list(Some(&folder)).map_ok(|file| file.location);
    let mut files: Vec<Path> = found.try_collect().await.map_err(odd)?;
    files.retain(|file| [".jsonl", ".parquet"].iter().any(|extension| file.as_ref().ends_with(extension)));
    files.sort();
    Ok(files)
}

/// The dead letters of one of these files.
///
/// # Errors
/// A store that doesn't answer, or a file that holds something else.
pub async fn read(store: &Store, file: &Path) -> Result<Vec<Letter>, String> {
    let get = async { store.tables.store.get(file).await?.bytes().await };
    let content = get.await.map_err(|error: object_store::Error| error.to_string())?;
    let read = match file.as_ref().ends_with(".parquet") {
        true => from_parquet(content),
        false => from_lines(&content),
    };
    read.map_err(|error| format!("{file} holds no dead letters: {error}"))
}

/// A line of a JSON file.
#[derive(Deserialize)]
struct Line {
    topic: String,
    partition: i32,
    offset: i64,
    timestamp: Option<String>,
    stage: String,
    reason: String,
    key: Option<String>,
    key_base64: Option<String>,
    value: Option<String>,
    value_base64: Option<String>,
    headers: String,
}

/// One of the headers.
#[derive(Deserialize)]
struct Header {
    key: String,
    value: Option<String>,
    value_base64: Option<String>,
}

fn bytes(text: Option<String>, base64: Option<String>) -> Result<Option<Vec<u8>>, String> {
    match (text, base64) {
        (_, Some(base64)) => BASE64_STANDARD.decode(base64).map(Some).map_err(|error| error.to_string()),
        (text, None) => Ok(text.map(String::into_bytes)),
    }
}

/// Names and values.
type Headers = Vec<(String, Option<Vec<u8>>)>;

fn headers(json: &str) -> Result<Headers, String> {
    let headers: Vec<Header> = serde_json::from_str(json).map_err(|error| error.to_string())?;
    headers.into_iter().map(|header| Ok((header.key, bytes(header.value, header.value_base64)?))).collect()
}

fn from_lines(content: &[u8]) -> Result<Vec<Letter>, String> {
    let lines = content.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let letter = |line: &[u8]| {
        let line: Line = serde_json::from_slice(line).map_err(|error| error.to_string())?;
        let time = line.timestamp.map(|time| DateTime::parse_from_rfc3339(&time).map_err(|error| error.to_string()));
        Ok(Letter {
            topic: line.topic,
            partition: line.partition,
            stage: line.stage,
            reason: line.reason,
            message: MemoryMessage {
                offset: line.offset,
                timestamp_ms: time.transpose()?.map(|time| time.timestamp_millis()),
                key: bytes(line.key, line.key_base64)?,
                value: bytes(line.value, line.value_base64)?,
                headers: headers(&line.headers)?,
            },
        })
    };
    lines.map(letter).collect()
}

fn from_parquet(content: Bytes) -> Result<Vec<Letter>, String> {
    let mut letters = Vec::new();
    let batches = ParquetRecordBatchReaderBuilder::try_new(content).and_then(|builder| builder.build());
    for batch in batches.map_err(|error| error.to_string())? {
        let batch = batch.map_err(|error| error.to_string())?;
        for row in 0..batch.num_rows() {
            letters.push(from_row(&batch, row).ok_or("it has other columns")??);
        }
    }
    Ok(letters)
}

/// `None` for columns that dead letters don't have.
fn from_row(batch: &RecordBatch, row: usize) -> Option<Result<Letter, String>> {
    let text = |name: &str| Some(batch.column_by_name(name)?.as_string_opt::<i32>()?.value(row).to_owned());
    let payload = |name: &str| {
        let column = batch.column_by_name(name)?.as_binary_opt::<i32>()?;
        Some(column.is_valid(row).then(|| column.value(row).to_vec()))
    };
    let time = batch.column_by_name("timestamp")?.as_primitive_opt::<TimestampMicrosecondType>()?;
    let letter = Letter {
        topic: text("topic")?,
        partition: batch.column_by_name("partition")?.as_primitive_opt::<Int32Type>()?.value(row),
        stage: text("stage")?,
        reason: text("reason")?,
        message: MemoryMessage {
            offset: batch.column_by_name("offset")?.as_primitive_opt::<Int64Type>()?.value(row),
            timestamp_ms: time.is_valid(row).then(|| time.value(row).div_euclid(1000)),
            key: payload("key")?,
            value: payload("value")?,
            headers: Vec::new(),
        },
    };
    let headers = headers(&text("headers")?);
    Some(headers.map(|headers| Letter { message: MemoryMessage { headers, ..letter.message }, ..letter }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::{DeadLetterFormat, DeadLetters, Output, Target, TargetWriter};

    fn letter(offset: i64, key: Option<&[u8]>, value: Option<&[u8]>) -> Letter {
        let headers =
            vec![("a".to_owned(), Some(b"text".to_vec())), ("b".to_owned(), None), ("c".to_owned(), Some(vec![255]))];
        let [key, value] = [key, value].map(|bytes| bytes.map(<[u8]>::to_vec));
        let (topic, stage, reason) = ("t".to_owned(), "transform".to_owned(), "trap: it \"broke\"\n".to_owned());
        let timestamp_ms = (offset > 0).then_some(1_700_000_000_123);
        Letter {
            topic,
            partition: 3,
            stage,
            reason,
            message: MemoryMessage { offset, timestamp_ms, key, value, headers },
        }
    }

    #[tokio::test]
    async fn what_was_written_is_read_in_both_formats() {
        let all = [
            letter(0, None, Some(b"{\"n\":1}")),
            letter(7, Some(b""), Some(&[0, 159, 146, 150])),
            letter(8, Some(&[255]), None),
        ];
        for format in [DeadLetterFormat::Json, DeadLetterFormat::Parquet] {
            let mut dead = DeadLetters::new(format);
            let target = Target::Table(dead.table_options("p"));
            let mut writer = TargetWriter::new(&target, &dead.schema()).unwrap();
            for letter in &all {
                dead.push(&letter.messages(), 0, &letter.stage, &letter.reason, None);
            }
            let mut outputs = Vec::new();
            writer.write(&dead.take(), &mut outputs).unwrap();
            writer.finish(&[], &mut outputs).unwrap();
            let bytes = |output: &Output| match output {
                Output::Bytes { bytes, .. } => bytes.to_vec(),
                Output::Closed { .. } => Vec::new(),
            };
            let content: Vec<u8> = outputs.iter().flat_map(bytes).collect();
            let store = Store::in_memory();
            let extension = if format == DeadLetterFormat::Json { "jsonl" } else { "parquet" };
            let path = store.tables.path(&format!("_dead/p/t-3-0-0.{extension}")).unwrap();
            store.tables.store.put(&path, content.into()).await.unwrap();
            let found = files(&store, "p").await.unwrap();
            assert_eq!(found, std::slice::from_ref(&path));
            assert_eq!(read(&store, &found[0]).await.unwrap(), all);
            store.tables.store.put(&path, "something else".into()).await.unwrap();
            let error = read(&store, &path).await.unwrap_err();
            assert!(error.contains("holds no dead letters"), "{error}");
        }
    }
}
