//! Key columns as bytes and back: Arrow's row format, in which equal keys are equal bytes.
//!
//! The format is Arrow's own business and may differ from version to version: it never leaves the process.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::error::ArrowError;
use arrow::row::{RowConverter, Rows, SortField};

use crate::batch::{Field, RecordBatch, Schema, SchemaRef};

/// Some columns of a table, in order.
#[derive(Debug)]
pub struct KeyColumns {
    schema: SchemaRef,
    /// Where they are in the table.
    places: Vec<usize>,
    /// `None` where there are no columns: all rows have the same key.
    converter: Option<RowConverter>,
}

/// The keys of a batch's rows.
#[derive(Debug)]
pub struct KeyRows(Option<Rows>);

impl KeyRows {
    /// The key of a row.
    pub fn get(&self, row: usize) -> &[u8] {
        self.0.as_ref().map_or(&[], |rows| rows.row(row).data())
    }
}

impl KeyColumns {
    /// The columns of these names in tables of this schema; each is there.
    ///
    /// # Errors
    /// A column that isn't there, or of a type that can't be a key.
    pub fn new(table: &Schema, names: &[String]) -> Result<Self, ArrowError> {
        let places: Vec<usize> = names.iter().map(|name| table.index_of(name)).collect::<Result<_, _>>()?;
        let fields: Vec<Field> = places.iter().map(|&place| table.field(place).clone()).collect();
        let sorts = fields.iter().map(|field| SortField::new(field.data_type().clone())).collect();
        let converter = if fields.is_empty() { None } else { Some(RowConverter::new(sorts)?) };
        Ok(Self { schema: Arc::new(Schema::new(fields)), places, converter })
    }

    /// The columns.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The keys of the rows of a table.
    ///
    /// # Errors
    /// Columns of other types than were announced.
    pub fn rows(&self, table: &RecordBatch) -> Result<KeyRows, ArrowError> {
        let columns: Vec<ArrayRef> = self.places.iter().map(|&place| Arc::clone(table.column(place))).collect();
        self.rows_of(&columns)
    }

    /// The keys that these columns make, in the order of [`Self::schema`].
    ///
    /// # Errors
    /// Columns of other types than were announced.
    pub fn rows_of(&self, columns: &[ArrayRef]) -> Result<KeyRows, ArrowError> {
        Ok(KeyRows(self.converter.as_ref().map(|converter| converter.convert_columns(columns)).transpose()?))
    }

    /// The columns that these keys were made of.
    ///
    /// # Errors
    /// None for keys of [`Self::rows`].
    pub fn columns<'a>(&self, keys: impl Iterator<Item = &'a [u8]>) -> Result<Vec<ArrayRef>, ArrowError> {
        let Some(converter) = &self.converter else { return Ok(Vec::new()) };
        let parser = converter.parser();
        converter.convert_rows(keys.map(|key| parser.parse(key)))
    }
}
