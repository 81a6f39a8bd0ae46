//! A column under construction: plain vectors that become an Arrow array by moving, not copying.
//!
//! Arrow's own builders can't take back a row. These can: a message that fails half-way leaves no trace.

use std::mem;
use std::sync::Arc;

use arrow::array::builder::NullBufferBuilder;
use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, BooleanBufferBuilder, Date32Array, Float32Array, Float64Array, Int32Array,
    Int64Array, StringArray, TimestampMicrosecondArray,
};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};

use super::number;
use super::reason::{self, Wrong};
use super::timestamp::{self, TimestampFormat};

/// A column under construction, and how its values are read.
#[derive(Debug)]
pub(super) struct Column {
    name: String,
    nullable: bool,
    values: Values,
    nulls: NullBufferBuilder,
    /// How many rows there are; `values` and `nulls` never have another number of them between two calls.
    len: usize,
}

/// The values so far. Under a null lies a zero or an empty text.
#[derive(Debug)]
pub(super) enum Values {
    Boolean(BooleanBufferBuilder),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Float32(Vec<f32>),
    Float64(Vec<f64>),
    /// Never holds anything but whole, valid UTF-8 texts.
    Utf8(Texts),
    Binary(Texts),
    Date(Vec<i32>),
    Timestamp(Vec<i64>, TimestampFormat),
}

/// Texts end to end: text `n` is `bytes[offsets[n]..offsets[n + 1]]`.
#[derive(Debug)]
pub(super) struct Texts {
    offsets: Vec<i32>,
    bytes: Vec<u8>,
    /// How many bytes the last batch had: what to make room for.
    last_len: usize,
}

impl Texts {
    pub fn new() -> Self {
        Self { offsets: vec![0], bytes: Vec::new(), last_len: 0 }
    }

    #[inline]
    fn push(&mut self, text: &[u8]) -> Result<(), Wrong> {
        let end = i32::try_from(self.bytes.len() + text.len()).map_err(|_| Wrong::TooLong)?;
        self.bytes.extend_from_slice(text);
        self.offsets.push(end);
        Ok(())
    }

    fn truncate(&mut self, rows: usize) {
        self.offsets.truncate(rows + 1);
        self.bytes.truncate(self.offsets[rows] as usize);
    }

    fn reserve(&mut self, rows: usize) {
        self.offsets.reserve(rows);
        self.bytes.reserve(self.last_len + self.last_len / 16);
    }

    fn take(&mut self) -> (OffsetBuffer<i32>, Buffer) {
        self.last_len = self.bytes.len();
        let offsets = mem::replace(&mut self.offsets, vec![0]);
        (OffsetBuffer::new(ScalarBuffer::from(offsets)), Buffer::from_vec(mem::take(&mut self.bytes)))
    }
}

impl Column {
    pub fn new(name: &str, nullable: bool, values: Values) -> Self {
        Self { name: name.to_owned(), nullable, values, nulls: NullBufferBuilder::new(0), len: 0 }
    }

    /// Counts the value just pushed.
    #[inline(always)]
    fn pushed(&mut self) -> Result<(), Wrong> {
        self.nulls.append_non_null();
        self.len += 1;
        Ok(())
    }

    /// A value of JSON text, or of a CSV field that holds text.
    #[inline]
    pub fn push_text(&mut self, text: &str) -> Result<(), Wrong> {
        match &mut self.values {
            Values::Utf8(texts) | Values::Binary(texts) => texts.push(text.as_bytes())?,
            Values::Timestamp(micros, format) => micros.push(format.text(text)?),
            Values::Date(days) => days.push(timestamp::date(text)?),
            _ => return Err(Wrong::Type),
        }
        self.pushed()
    }

    /// A JSON number, as it is written.
    #[inline]
    pub fn push_number(&mut self, number: &str) -> Result<(), Wrong> {
        match &mut self.values {
            Values::Int32(values) => values.push(number::integer(number)?.try_into().map_err(|_| Wrong::Range)?),
            Values::Int64(values) => values.push(number::integer(number)?),
            Values::Float32(values) => values.push(number::float32(number)?),
            Values::Float64(values) => values.push(number::float64(number)?),
            Values::Utf8(texts) | Values::Binary(texts) => texts.push(number.as_bytes())?,
            Values::Date(days) => days.push(timestamp::epoch_days(number)?),
            Values::Timestamp(micros, format) => micros.push(format.number(number)?),
            Values::Boolean(_) => return Err(Wrong::Type),
        }
        self.pushed()
    }

    /// Whether [`Column::push_float64`] can be called.
    #[inline(always)]
    pub fn is_float64(&self) -> bool {
        matches!(self.values, Values::Float64(_))
    }

    /// A number for a column of 64-bit floats.
    #[inline(always)]
    pub fn push_float64(&mut self, value: f64) -> Result<(), Wrong> {
        let Values::Float64(values) = &mut self.values else { return Err(Wrong::Type) };
        values.push(value);
        self.pushed()
    }

    /// A JSON boolean.
    #[inline]
    pub fn push_boolean(&mut self, value: bool) -> Result<(), Wrong> {
        match &mut self.values {
            Values::Boolean(values) => values.append(value),
            Values::Utf8(texts) | Values::Binary(texts) => texts.push(if value { b"true" } else { b"false" })?,
            _ => return Err(Wrong::Type),
        }
        self.pushed()
    }

    /// A JSON array or object, as it is written: for text columns only.
    #[inline]
    pub fn push_nested(&mut self, json: &str) -> Result<(), Wrong> {
        let (Values::Utf8(texts) | Values::Binary(texts)) = &mut self.values else { return Err(Wrong::Type) };
        texts.push(json.as_bytes())?;
        self.pushed()
    }

    /// A CSV field, whatever the column's type.
    #[inline]
    pub fn push_field(&mut self, field: &str) -> Result<(), Wrong> {
        match &mut self.values {
            Values::Boolean(_) if field.eq_ignore_ascii_case("true") => self.push_boolean(true),
            Values::Boolean(_) if field.eq_ignore_ascii_case("false") => self.push_boolean(false),
            Values::Date(days) => {
                days.push(timestamp::date(field).or_else(|_| timestamp::epoch_days(field))?);
                self.pushed()
            }
            Values::Utf8(_) | Values::Binary(_) | Values::Timestamp(..) => self.push_text(field),
            _ => self.push_number(field),
        }
    }

    /// Bytes as they are: a key, a value or a topic's name.
    pub fn push_bytes(&mut self, bytes: &[u8]) -> Result<(), Wrong> {
        match &mut self.values {
            Values::Binary(texts) => texts.push(bytes)?,
            Values::Utf8(texts) => {
                simdutf8::basic::from_utf8(bytes).map_err(|_| Wrong::Encoding)?;
                texts.push(bytes)?;
            }
            _ => return Err(Wrong::Type),
        }
        self.pushed()
    }

    /// A whole number in the column's own unit: a partition, an offset, a timestamp in microseconds, a date in days.
    pub fn push_integer(&mut self, value: i64) -> Result<(), Wrong> {
        match &mut self.values {
            Values::Int32(values) => values.push(value.try_into().map_err(|_| Wrong::Range)?),
            Values::Int64(values) => values.push(value),
            Values::Timestamp(micros, _) => micros.push(timestamp::in_range(value)?),
            Values::Date(days) => days.push(timestamp::days_in_range(value)?),
            _ => return Err(Wrong::Type),
        }
        self.pushed()
    }

    /// A whole number that a format says in binary, as [`Column::push_number`] takes its text.
    #[inline]
    pub fn push_long(&mut self, value: i64) -> Result<(), Wrong> {
        match &mut self.values {
            Values::Int32(values) => values.push(value.try_into().map_err(|_| Wrong::Range)?),
            Values::Int64(values) => values.push(value),
            Values::Float32(values) => values.push(value as f32),
            Values::Float64(values) => values.push(value as f64),
            _ => return self.push_number(&value.to_string()),
        }
        self.pushed()
    }

    /// A number that may be broken or none at all, for columns that take such; `text` is it in words.
    #[inline]
    pub fn push_float(&mut self, value: f64, text: impl FnOnce() -> String) -> Result<(), Wrong> {
        match &mut self.values {
            Values::Float32(_) if value.is_finite() && !(value as f32).is_finite() => return Err(Wrong::Range),
            Values::Float32(values) => values.push(value as f32),
            Values::Float64(values) => values.push(value),
            Values::Utf8(_) | Values::Binary(_) | Values::Timestamp(..) => return self.push_number(&text()),
            _ => return Err(Wrong::Type),
        }
        self.pushed()
    }

    /// Whether an empty CSV field may be a value of this column, rather than a null.
    pub fn is_text(&self) -> bool {
        matches!(self.values, Values::Utf8(_) | Values::Binary(_))
    }

    /// Whether its values are bytes that need not be text.
    pub fn is_binary(&self) -> bool {
        matches!(self.values, Values::Binary(_))
    }

    /// Whether its values are timestamps.
    pub fn is_timestamp(&self) -> bool {
        matches!(self.values, Values::Timestamp(..))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Ends row `row`: null where nothing was pushed. The reason if that can't be.
    #[inline]
    pub fn complete(&mut self, row: usize) -> Result<(), String> {
        if self.len > row {
            return Ok(());
        }
        if !self.nullable {
            return Err(format!("column {}: missing or null, which `nullable = false` forbids", self.name));
        }
        match &mut self.values {
            Values::Boolean(values) => values.append(false),
            Values::Int32(values) | Values::Date(values) => values.push(0),
            Values::Int64(values) | Values::Timestamp(values, _) => values.push(0),
            Values::Float32(values) => values.push(0.0),
            Values::Float64(values) => values.push(0.0),
            Values::Utf8(texts) | Values::Binary(texts) => texts.offsets.push(texts.bytes.len() as i32),
        }
        self.nulls.append_null();
        self.len += 1;
        Ok(())
    }

    /// Forgets all rows from `rows` on.
    #[inline]
    pub fn truncate(&mut self, rows: usize) {
        if self.len <= rows {
            return;
        }
        match &mut self.values {
            Values::Boolean(values) => values.truncate(rows),
            Values::Int32(values) | Values::Date(values) => values.truncate(rows),
            Values::Int64(values) | Values::Timestamp(values, _) => values.truncate(rows),
            Values::Float32(values) => values.truncate(rows),
            Values::Float64(values) => values.truncate(rows),
            Values::Utf8(texts) | Values::Binary(texts) => texts.truncate(rows),
        }
        self.nulls.truncate(rows);
        self.len = rows;
    }

    /// Makes room for a batch of this many rows.
    pub fn reserve(&mut self, rows: usize) {
        match &mut self.values {
            Values::Boolean(values) => values.reserve(rows),
            Values::Int32(values) | Values::Date(values) => values.reserve(rows),
            Values::Int64(values) | Values::Timestamp(values, _) => values.reserve(rows),
            Values::Float32(values) => values.reserve(rows),
            Values::Float64(values) => values.reserve(rows),
            Values::Utf8(texts) | Values::Binary(texts) => texts.reserve(rows),
        }
        self.nulls = NullBufferBuilder::new(rows);
    }

    /// The rows as an Arrow array; the column is then empty.
    pub fn finish(&mut self) -> ArrayRef {
        let nulls = self.nulls.finish();
        self.len = 0;
        match &mut self.values {
            Values::Boolean(values) => Arc::new(BooleanArray::new(values.finish(), nulls)),
            Values::Int32(values) => Arc::new(Int32Array::new(mem::take(values).into(), nulls)),
            Values::Int64(values) => Arc::new(Int64Array::new(mem::take(values).into(), nulls)),
            Values::Float32(values) => Arc::new(Float32Array::new(mem::take(values).into(), nulls)),
            Values::Float64(values) => Arc::new(Float64Array::new(mem::take(values).into(), nulls)),
            Values::Date(values) => Arc::new(Date32Array::new(mem::take(values).into(), nulls)),
            Values::Timestamp(values, _) => {
                Arc::new(TimestampMicrosecondArray::new(mem::take(values).into(), nulls).with_timezone("UTC"))
            }
            Values::Binary(texts) => {
                let (offsets, bytes) = texts.take();
                Arc::new(BinaryArray::new(offsets, bytes, nulls))
            }
            Values::Utf8(texts) => {
                let (offsets, bytes) = texts.take();
                // SAFETY: the offsets end at the length of `bytes` and cut it into what was pushed, which was whole texts of
                // valid UTF-8 each; there are as many nulls as texts. Checking it all again costs 10 ns a record.
                Arc::new(unsafe { StringArray::new_unchecked(offsets, bytes, nulls) })
            }
        }
    }

    /// The reason to give for a value that is wrong; `found` as it is to be shown, already cut.
    #[cold]
    pub fn reason(&self, wrong: Wrong, found: &str) -> String {
        let name = reason::cut(&self.name);
        let expected = match &self.values {
            Values::Boolean(_) => "boolean",
            Values::Int32(_) => "int32",
            Values::Int64(_) => "int64",
            Values::Float32(_) => "float32",
            Values::Float64(_) => "float64",
            Values::Utf8(_) => "utf8",
            Values::Binary(_) => "binary",
            Values::Date(_) => "date (such as 2026-01-31, or days since 1970)",
            Values::Timestamp(_, format) => format.expected(),
        };
        match wrong {
            Wrong::Type => format!("column {name}: expected {expected}, found {found}"),
            Wrong::Range => format!("column {name}: expected {expected}, found {found}, which is out of range"),
            Wrong::Encoding => format!("column {name}: expected {expected}, found bytes that are not UTF-8"),
            Wrong::TooLong => format!("column {name}: the batch would hold more than 2 GiB in this column"),
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, ArrayRef, new_empty_array};

    use super::super::reason::Wrong;
    use super::super::tests::helpers::{decode, decoder, rows};
    use super::super::{CsvOptions, DecodeOptions};
    use super::{Column, Texts, Values};
    use crate::batch::COLUMN_TYPES;

    #[test]
    fn a_row_taken_back_leaves_no_trace_in_any_type() {
        for data_type in COLUMN_TYPES {
            let (good, other) = match data_type {
                "boolean" => ("true", "false"),
                "date" | "timestamp" => ("2024-02-29", "2025-01-01"),
                _ => ("1", "234"),
            };
            let columns = format!("a = '{data_type}', b = {{ type = 'int32', nullable = false }}");
            let options = CsvOptions { empty_as_null: true, ..CsvOptions::default() };
            let mut decoder = decoder(&DecodeOptions::Csv(options), &columns);
            for bad in [format!("{other},"), ",".to_owned(), ",x".to_owned()] {
                let values = [format!("{good},1"), bad.clone(), ",2".to_owned(), bad, format!("{other},3")];
                let found = decode(&mut decoder, values);
                let expected = decode(&mut decoder, [format!("{good},1"), ",2".to_owned(), format!("{other},3")]);
                assert_eq!(rows(&found.rows.batch), rows(&expected.rows.batch), "{data_type}");
                let column = found.rows.batch.column(0);
                assert_eq!((column.len(), column.null_count(), column.is_null(1)), (3, 1, true), "{data_type}");
                column.to_data().validate_full().unwrap();
            }
            let none: [&str; 0] = [];
            let empty: ArrayRef = decode(&mut decoder, none).rows.batch.column(0).clone();
            assert_eq!(&empty, &new_empty_array(empty.data_type()));
        }
    }

    #[test]
    fn a_column_never_outgrows_its_offsets() {
        // Zeros that are never touched take no memory.
        let full = Texts { offsets: vec![0], bytes: vec![0; i32::MAX as usize], last_len: 0 };
        let mut column = Column::new("a", true, Values::Binary(full));
        assert_eq!(column.push_text("x"), Err(Wrong::TooLong));
        assert_eq!(column.push_text(""), Ok(()));
        let reason = column.reason(Wrong::TooLong, "");
        assert_eq!(reason, "column a: the batch would hold more than 2 GiB in this column");
    }
}
