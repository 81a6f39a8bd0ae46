//! A record of the exchange's topic: columns, and what goes with them.

use std::collections::BTreeMap;
use std::panic::catch_unwind;
use std::sync::Arc;

use arrow::array::{ArrayRef, new_null_array};
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use super::{EventTime, HEADER};
use crate::batch::{Messages, RecordBatch, SchemaRef};

/// A value is no longer than this: what Kafka takes by default is 1 MiB, with its own and the header.
pub const MAX_BYTES: usize = 900_000;
/// A record holds no more rows than this: the bytes of a row may be none, and columns that it lacks are made for each.
const MAX_ROWS: usize = 1 << 16;

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Rows, to be folded.
    Rows,
    /// States of groups, to be merged.
    States,
    /// Nothing but how far its sender has come, after all that it has sent before.
    EventTime,
}

/// What goes with the columns of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heading {
    /// What it is.
    pub kind: Kind,
    /// The partition whose task sent it: `<topic>/<partition>`.
    pub from: String,
    /// By which rule it was placed.
    pub rule: String,
    /// How far the sender has come; of [`Kind::EventTime`] only.
    #[serde(flatten)]
    pub event_time: EventTime,
    /// How many partitions each topic has that is read; of [`Kind::EventTime`] only.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub topics: BTreeMap<String, u32>,
    /// XXH3 (128 bits) of the value, 32 hex digits.
    pub xxh3: String,
}

/// A record as it was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Chunk {
    /// What goes with it.
    pub heading: Heading,
    /// Its columns.
    pub content: Content,
}

/// The columns of a record.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// See [`Kind::Rows`].
    Rows(RecordBatch),
    /// See [`Kind::States`]; of whichever columns they are.
    States(RecordBatch),
    /// See [`Kind::EventTime`].
    None,
}

/// Why a record can't be read.
#[derive(Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// Nobody of ours wrote it, or not so.
    Foreign(String),
    /// It is ours, but this configuration has other columns.
    Columns(String),
}

/// The values of records that hold these columns, each within [`MAX_BYTES`] and [`MAX_ROWS`]; `None` if a single row is too long for
/// one.
///
/// # Errors
/// None that Arrow should have.
pub fn encode(columns: &RecordBatch) -> Result<Option<Vec<Vec<u8>>>, ArrowError> {
    let rows = columns.num_rows();
    if rows <= MAX_ROWS {
        let mut writer = StreamWriter::try_new(Vec::new(), columns.schema_ref())?;
        writer.write(columns)?;
        let value = writer.into_inner()?;
        if value.len() <= MAX_BYTES {
            return Ok(Some(vec![value]));
        }
        if rows <= 1 {
            return Ok(None);
        }
    }
    let (Some(mut first), Some(second)) =
        (encode(&columns.slice(0, rows / 2))?, encode(&columns.slice(rows / 2, rows - rows / 2))?)
    else {
        return Ok(None);
    };
    first.extend(second);
    Ok(Some(first))
}

impl Heading {
    /// Of a record by this sender, that nothing else is known of.
    pub fn new(kind: Kind, from: String) -> Self {
        let (rule, xxh3) = (String::new(), String::new());
        Self { kind, from, rule, event_time: EventTime::default(), topics: BTreeMap::new(), xxh3 }
    }

    /// The header's value, for this value of the record.
    pub fn seal(mut self, value: &[u8]) -> Vec<u8> {
        self.xxh3 = checksum(value);
        // Strings, numbers and a map by strings: there is nothing that JSON can't say.
        serde_json::to_vec(&self).expect("a heading is JSON")
    }
}

fn checksum(value: &[u8]) -> String {
    format!("{:032x}", xxh3_128(value))
}

/// Reads message `index`, which holds `rows`, or states.
///
/// # Errors
/// See [`Unreadable`].
pub fn read(messages: &dyn Messages, index: usize, rows: &SchemaRef) -> Result<Chunk, Unreadable> {
    let foreign = |what: &str| Unreadable::Foreign(format!("no record of an exchange: {what}"));
    let headers = messages.headers(index);
    let header = headers.iter().find(|(name, _)| name == HEADER).and_then(|(_, value)| value.as_deref());
    let header = header.ok_or_else(|| foreign(&format!("without a header {HEADER}")))?;
    let heading: Heading = serde_json::from_slice(header).map_err(|error| foreign(&error.to_string()))?;
    let value = messages.value(index).unwrap_or_default();
    if heading.xxh3 != checksum(value) {
        return Err(foreign("its checksum is another"));
    }
    let decoded = || decode(value).map_err(|error| foreign(&error));
    let content = match heading.kind {
        Kind::Rows => Content::Rows(columns(&decoded()?, rows).map_err(Unreadable::Columns)?),
        Kind::States => Content::States(decoded()?),
        Kind::EventTime => Content::None,
    };
    Ok(Chunk { heading, content })
}

/// The first batch of a stream. Arrow panics at lengths that make no sense, and anyone who may write to the topic can send some.
fn decode(value: &[u8]) -> Result<RecordBatch, String> {
    let read = || match StreamReader::try_new(value, None) {
        Ok(mut batches) => batches.next().unwrap_or_else(|| Err(ArrowError::IpcError("no columns".to_owned()))),
        Err(error) => Err(error),
    };
    match catch_unwind(read) {
        Ok(Ok(batch)) if batch.num_rows() > MAX_ROWS => {
            Err(format!("it has {} rows, and {MAX_ROWS} are the most", batch.num_rows()))
        }
        Ok(read) => read.map_err(|error| error.to_string()),
        Err(_) => Err("its columns are damaged".to_owned()),
    }
}

/// The columns of a schema, out of those that are there: nullable ones that aren't are null.
///
/// # Errors
/// A column that is lacking, or of another type; one that would be lost.
fn columns(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, String> {
    if batch.schema_ref() == schema {
        return Ok(batch.clone());
    }
    if let Some(lost) = batch.schema_ref().fields().iter().find(|field| schema.index_of(field.name()).is_err()) {
        return Err(format!("there is no column `{}` any more", lost.name()));
    }
    let column = |field: &Arc<crate::batch::Field>| match batch.column_by_name(field.name()) {
        Some(column) if column.data_type() == field.data_type() => Ok(Arc::clone(column)),
        Some(column) => Err(format!("column `{}` is {}, not {}", field.name(), column.data_type(), field.data_type())),
        None if field.is_nullable() => Ok(new_null_array(field.data_type(), batch.num_rows())),
        None => Err(format!("there is no column `{}`", field.name())),
    };
    let columns: Vec<ArrayRef> = schema.fields().iter().map(column).collect::<Result<_, String>>()?;
    RecordBatch::try_new(Arc::clone(schema), columns).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use arrow::array::{BooleanArray, Int64Array, RecordBatchOptions, StringArray};

    use super::*;
    use crate::batch::{DataType, Field, MemoryMessage, MemoryMessages, Schema};

    fn rows(texts: &[&str]) -> RecordBatch {
        let schema =
            Schema::new(vec![Field::new("text", DataType::Utf8, true), Field::new("n", DataType::Int64, false)]);
        let numbers = Int64Array::from_iter_values(0..texts.len() as i64);
        RecordBatch::try_new(Arc::new(schema), vec![Arc::new(StringArray::from(texts.to_vec())), Arc::new(numbers)])
            .unwrap()
    }

    fn heading(kind: Kind) -> Heading {
        Heading {
            rule: "2 text:utf8".to_owned(),
            event_time: EventTime { watermark_us: Some(7), is_idle: true },
            topics: [("t".to_owned(), 3)].into(),
            ..Heading::new(kind, "t/1".to_owned())
        }
    }

    fn message(value: Vec<u8>, header: Vec<u8>) -> MemoryMessages {
        let headers = vec![(HEADER.to_owned(), Some(header))];
        let message = MemoryMessage { value: Some(value), headers, ..MemoryMessage::default() };
        MemoryMessages { topic: "x".to_owned(), partition: 0, messages: vec![message] }
    }

    #[test]
    fn what_is_written_is_read() {
        let rows = rows(&["a", "b"]);
        for (kind, content) in [
            (Kind::Rows, Content::Rows(rows.clone())),
            (Kind::States, Content::States(rows.clone())),
            (Kind::EventTime, Content::None),
        ] {
            let value = match kind {
                Kind::EventTime => Vec::new(),
                _ => encode(&rows).unwrap().unwrap().remove(0),
            };
            let header = heading(kind).seal(&value);
            let chunk = read(&message(value.clone(), header), 0, &rows.schema()).unwrap();
            assert_eq!(chunk, Chunk { heading: Heading { xxh3: checksum(&value), ..heading(kind) }, content });
        }
    }

    #[test]
    fn what_nobody_wrote_is_foreign() {
        let rows = rows(&["a"]);
        let value = encode(&rows).unwrap().unwrap().remove(0);
        let header = heading(Kind::Rows).seal(&value);
        let mut damaged = value.clone();
        damaged[20] ^= 1;
        // Sealed, and cut off: Arrow panics.
        let cut = value[..value.len() - 40].to_vec();
        let of_cut = heading(Kind::Rows).seal(&cut);
        let no_columns = heading(Kind::Rows).seal(b"columns");
        for message in [
            message(damaged, header.clone()),
            message(cut, of_cut),
            message(value.clone(), b"{}".to_vec()),
            message(b"columns".to_vec(), no_columns),
            MemoryMessages::from_values("x", [b"{}"]),
        ] {
            let read = read(&message, 0, &rows.schema());
            assert!(matches!(read, Err(Unreadable::Foreign(_))), "{read:?}");
        }
    }

    /// Rows take no bytes where there are no columns, and those of the schema would be made for each of them.
    #[test]
    fn more_rows_than_a_record_may_have_are_foreign_before_columns_are_made_for_them() {
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]));
        for (count, is_read) in [(MAX_ROWS, true), (MAX_ROWS + 1, false), (1 << 60, false)] {
            let count = RecordBatchOptions::new().with_row_count(Some(count));
            let none = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &count).unwrap();
            let mut writer = StreamWriter::try_new(Vec::new(), none.schema_ref()).unwrap();
            writer.write(&none).unwrap();
            let value = writer.into_inner().unwrap();
            for kind in [Kind::Rows, Kind::States] {
                let header = heading(kind).seal(&value);
                let read = read(&message(value.clone(), header), 0, &schema);
                match &read {
                    Ok(_) => assert!(is_read, "{read:?}"),
                    Err(error) => assert!(!is_read && matches!(error, Unreadable::Foreign(_)), "{error:?}"),
                }
            }
        }
    }

    #[test]
    fn short_rows_are_cut_by_their_number() {
        let numbers = Arc::new(BooleanArray::from(vec![true; MAX_ROWS + 1]));
        let schema = Arc::new(Schema::new(vec![Field::new("flag", DataType::Boolean, false)]));
        let values = encode(&RecordBatch::try_new(schema, vec![numbers]).unwrap()).unwrap().unwrap();
        let rows: Vec<usize> = values.iter().map(|value| decode(value).unwrap().num_rows()).collect();
        assert_eq!(rows, [MAX_ROWS / 2, MAX_ROWS / 2 + 1]);
    }

    #[test]
    fn long_chunks_are_cut_and_no_row_is_lost() {
        let text = "x".repeat(100_000);
        let all = rows(&vec![text.as_str(); 30]);
        let values = encode(&all).unwrap().unwrap();
        assert!(values.len() >= 4 && values.iter().all(|value| value.len() <= MAX_BYTES));
        let read: Vec<RecordBatch> = values
            .iter()
            .map(|value| StreamReader::try_new(&value[..], None).unwrap().next().unwrap().unwrap())
            .collect();
        assert_eq!(arrow::compute::concat_batches(&all.schema(), &read).unwrap(), all);
        assert_eq!(encode(&rows(&["a", &"x".repeat(MAX_BYTES)])).unwrap(), None);
    }

    #[test]
    fn columns_may_come_but_not_go_or_change() {
        let batch = rows(&["a"]);
        let field = |name: &str, data_type, nullable| Field::new(name, data_type, nullable);
        let more = |last: Field| {
            let mut fields: Vec<Field> = batch.schema().fields().iter().map(|field| field.as_ref().clone()).collect();
            fields.push(last);
            Arc::new(Schema::new(fields))
        };
        let wider = columns(&batch, &more(field("new", DataType::Utf8, true))).unwrap();
        assert_eq!((wider.num_columns(), wider.column(2).null_count()), (3, 1));
        assert!(columns(&batch, &more(field("new", DataType::Utf8, false))).unwrap_err().contains("no column `new`"));
        let narrower = Arc::new(Schema::new(vec![field("n", DataType::Int64, false)]));
        assert!(columns(&batch, &narrower).unwrap_err().contains("`text` any more"));
        let other = Arc::new(Schema::new(vec![field("text", DataType::Utf8, true), field("n", DataType::Utf8, false)]));
        assert!(columns(&batch, &other).unwrap_err().contains("`n` is Int64"));
    }
}
