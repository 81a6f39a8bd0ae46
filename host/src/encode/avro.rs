//! Rows as Avro in Confluent's wire format, one datum a row, and the schema that they are written by.

use std::collections::HashMap;

use arrow::error::ArrowError;
use arrow_avro::schema::{FingerprintStrategy, SCHEMA_METADATA_KEY};
use arrow_avro::writer::format::AvroSoeFormat;
use arrow_avro::writer::{EncodedRows, Encoder, WriterBuilder};
use serde_json::{Value, json};

use super::EncodeError;
use crate::batch::{DataType, Field, RecordBatch, Schema, TimeUnit, type_name};

/// Encodes the rows of batches that have these columns.
#[derive(Debug)]
pub struct AvroEncoder {
    /// With the Avro schema in its metadata, where the encoder finds it.
    schema: Schema,
    json: String,
    /// Of the id that was asked for last.
    encoder: Option<(u32, Encoder)>,
}

/// A datum for each row, with the schema's id before it, end to end.
#[derive(Debug)]
pub struct AvroRows(EncodedRows);

impl AvroRows {
    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes of row `row`: a message's value or key.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn row(&self, row: usize) -> &[u8] {
        let offsets = self.0.offsets();
        &self.0.bytes()[offsets[row]..offsets[row + 1]]
    }

    /// The rows in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        (0..self.len()).map(|row| self.row(row))
    }
}

impl AvroEncoder {
    /// An encoder of these columns as a record of that name. Columns that may be null become unions with null, which is then
    /// their default.
    ///
    /// # Errors
    /// A name that Avro doesn't take, or a type that has none there.
    pub fn new(name: &str, namespace: Option<&str>, columns: &Schema) -> Result<Self, EncodeError> {
        let is_name = |name: &str| {
            let mut letters = name.chars();
            letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
                && letters.all(|c| c.is_ascii_alphanumeric() || c == '_')
        };
        let full = namespace.into_iter().flat_map(|namespace| namespace.split('.')).chain([name]);
        let columns_of = columns.fields().iter().map(|field| field.name().as_str());
        if let Some(wrong) = full.chain(columns_of).find(|name| !is_name(name)) {
            let message = format!("`{wrong}` can't be a name in Avro: letters, digits and `_`, and no digit first");
            return Err(EncodeError::option("format", message));
        }
        let fields = columns.fields().iter().map(|field| avro_field(field)).collect::<Result<Vec<_>, _>>()?;
        let mut record = json!({ "type": "record", "name": name });
        if let Some(namespace) = namespace {
            record["namespace"] = namespace.into();
        }
        record["fields"] = fields.into();
        let json = record.to_string();
        let metadata: HashMap<String, String> = [(SCHEMA_METADATA_KEY.to_owned(), json.clone())].into();
        let mut encoder =
            Self { schema: Schema::new_with_metadata(columns.fields().clone(), metadata), json, encoder: None };
        // What it doesn't take is found now, not at the first row.
        encoder.of_schema(0)?;
        Ok(encoder)
    }

    /// The Avro schema, to be registered.
    pub fn schema_json(&self) -> &str {
        &self.json
    }

    /// Every row as a message, by the schema that is registered under that id.
    ///
    /// # Errors
    /// The batch has other columns.
    pub fn encode(&mut self, batch: &RecordBatch, schema_id: u32) -> Result<AvroRows, EncodeError> {
        let encoder = self.of_schema(schema_id)?;
        encoder.encode(batch).map_err(refused)?;
        Ok(AvroRows(encoder.flush()))
    }

    fn of_schema(&mut self, id: u32) -> Result<&mut Encoder, EncodeError> {
        let encoder = match self.encoder.take() {
            Some((of, encoder)) if of == id => encoder,
            _ => WriterBuilder::new(self.schema.clone())
                .with_fingerprint_strategy(FingerprintStrategy::Id(id))
                .build_encoder::<AvroSoeFormat>()
                .map_err(refused)?,
        };
        Ok(&mut self.encoder.insert((id, encoder)).1)
    }
}

fn refused(error: impl std::fmt::Display) -> EncodeError {
    EncodeError::Arrow(ArrowError::AvroError(error.to_string()))
}

fn avro_field(field: &Field) -> Result<Value, EncodeError> {
    let data_type = match field.data_type() {
        DataType::Boolean => json!("boolean"),
        DataType::Int32 => json!("int"),
        DataType::Int64 => json!("long"),
        DataType::Float32 => json!("float"),
        DataType::Float64 => json!("double"),
        DataType::Utf8 => json!("string"),
        DataType::Binary => json!("bytes"),
        DataType::Date32 => json!({ "type": "int", "logicalType": "date" }),
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => {
            json!({ "type": "long", "logicalType": "timestamp-micros" })
        }
        other => {
            let name = type_name(other).map_or_else(|| other.to_string(), str::to_owned);
            let message = format!("the column `{}` of type {name} has no type in Avro", field.name());
            return Err(EncodeError::option("format", message));
        }
    };
    Ok(match field.is_nullable() {
        true => json!({ "name": field.name(), "type": ["null", data_type], "default": null }),
        false => json!({ "name": field.name(), "type": data_type }),
    })
}
