//! From bytes to columns: the values (and keys) of messages become typed Arrow columns.
//!
//! A message is one row, or one rejection with a reason, or skipped because its value is null or empty. A rejected message
//! leaves no trace in the rows.

mod avro;
mod builder;
mod columns;
mod csv;
mod fields;
mod iso;
mod json;
mod kafka;
mod marks;
mod number;
mod options;
mod reason;
mod scan;
#[cfg(test)]
mod tests;
mod timestamp;

use std::sync::Arc;

use indexmap::IndexMap;

use crate::avro::Schemas;
use crate::batch::{Messages, RecordBatch, Rejection, Rows, Schema, SchemaRef};
use avro::Avro;
use builder::Column;
use csv::Csv;
use json::Json;
use kafka::KafkaField;

pub use options::{AvroOptions, ColumnOptions, CsvOptions, DecodeOptions, KeyFormat, NewestSchemas};

/// Decodes the messages of a pipeline. Has memory of its own that it uses again: one for each worker.
#[derive(Debug)]
pub struct Decoder {
    schema: SchemaRef,
    columns: Vec<Column>,
    /// Which columns are Kafka's own fields.
    kafka: Vec<(KafkaField, usize)>,
    format: Format,
}

#[derive(Debug)]
enum Format {
    Json(Json),
    Csv(Box<Csv>),
    Avro(Box<Avro>),
    /// Which columns the key and the value go to.
    Raw {
        key: Option<usize>,
        value: Option<usize>,
    },
}

/// What became of some messages. Each is in exactly one of the three.
#[derive(Debug)]
pub struct Decoded {
    /// What could be decoded.
    pub rows: Rows,
    /// What could not; `row` is the index of the message.
    pub rejected: Vec<Rejection>,
    /// How many had a null or empty value.
    pub skipped: u32,
}

/// Options that make no decoder, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{problem}", .column.as_ref().map(|name| format!("column {name}: ")).unwrap_or_default())]
pub struct DecodeError {
    /// The column it is about; `None` if it is about `decode` or about the columns altogether.
    pub column: Option<String>,
    /// The key of the column's table, or of `decode`, that it is about.
    pub key: Option<&'static str>,
    /// What is wrong, and the way out.
    pub problem: String,
}

impl Decoder {
    /// A decoder of values in this format, to these columns.
    ///
    /// # Errors
    /// A column's type, format, time zone or source makes no sense, or there are no columns for a format that needs some.
    pub fn new(options: &DecodeOptions, columns: &IndexMap<String, ColumnOptions>) -> Result<Self, DecodeError> {
        columns::decoder(options, columns)
    }

    /// The columns that come out.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Looks schemas up there that messages name; a decoder that isn't told where knows none.
    pub fn look_up_in(&mut self, schemas: Arc<Schemas>) {
        if let Format::Avro(avro) = &mut self.format {
            avro.look_up_in(schemas);
        }
    }

    /// Makes ready for these messages. Returns the ids of the schemas that have to be known before they are decoded: what is
    /// decoded without them is rejected.
    pub fn prepare(&mut self, messages: &dyn Messages) -> Vec<u32> {
        match &mut self.format {
            Format::Avro(avro) => avro.prepare(messages),
            _ => Vec::new(),
        }
    }

    /// Decodes messages into rows, in their order.
    pub fn decode(&mut self, messages: &dyn Messages) -> Decoded {
        let mut origin = Vec::with_capacity(messages.len());
        let mut rejected = Vec::new();
        let mut skipped = 0;
        for column in &mut self.columns {
            column.reserve(messages.len());
        }
        for index in 0..messages.len() {
            let value = match messages.value(index) {
                Some(value) if !value.is_empty() => value,
                _ => {
                    skipped += 1;
                    continue;
                }
            };
            let row = origin.len();
            match self.decode_one(messages, index, value, row) {
                Ok(()) => origin.push(index as u32),
                Err(reason) => {
                    self.columns.iter_mut().for_each(|column| column.truncate(row));
                    rejected.push(Rejection { row: index as u32, reason });
                }
            }
        }
        let arrays = self.columns.iter_mut().map(Column::finish).collect();
        // Columns were built by the schema's own types and have a value for each row, so this can't fail.
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), arrays).expect("columns fit the schema");
        Decoded { rows: Rows { batch, origin }, rejected, skipped }
    }

    /// Pushes one message onto the columns as row `row`, or says why not; then the row is to be taken back.
    #[inline]
    fn decode_one(&mut self, messages: &dyn Messages, index: usize, value: &[u8], row: usize) -> Result<(), String> {
        let columns = &mut self.columns;
        match &mut self.format {
            Format::Json(json) => json.decode(value, columns, row)?,
            Format::Csv(csv) => csv.decode(value, columns)?,
            Format::Avro(avro) => avro.decode(messages.key(index), value, columns)?,
            Format::Raw { key, value: column } => {
                if let (Some(column), Some(key)) = (*key, messages.key(index)) {
                    let column = &mut columns[column];
                    column.push_bytes(key).map_err(|wrong| column.reason(wrong, "the key"))?;
                }
                if let Some(column) = *column {
                    let column = &mut columns[column];
                    column.push_bytes(value).map_err(|wrong| column.reason(wrong, "the value"))?;
                }
            }
        }
        for (field, column) in &self.kafka {
            field.push(messages, index, &mut columns[*column])?;
        }
        columns.iter_mut().try_for_each(|column| column.complete(row))
    }
}
