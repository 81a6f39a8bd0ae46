//! Values by slot, in columns: what the states of groups are kept in.
//!
//! States of any slots are put together to a batch and taken apart again; nothing is looked for by value.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, GenericByteBuilder, PrimitiveArray, RecordBatchOptions,
};
use arrow::buffer::{NullBuffer, ScalarBuffer};
use arrow::datatypes::{
    BinaryType, ByteArrayType, Date32Type, Float32Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType,
    Utf8Type,
};
use arrow::error::ArrowError;

use crate::batch::{DataType, RecordBatch, SchemaRef};

/// Arrow counts the bytes of a column of text to 2 GiB.
const MAX_BYTES: usize = i32::MAX as usize;

/// A column of values by slot.
trait Column: Send {
    /// The values of these slots. Each has been put there. They are no more than [`MAX_BYTES`].
    fn gather(&self, slots: &[u32]) -> ArrayRef;
    /// The bytes that the values of these slots are counted by.
    fn counted_bytes(&self, _slots: &[u32]) -> usize {
        0
    }
    /// Puts row `i` of `values` to slot `slots[i]`; rows without a slot go nowhere.
    fn scatter(&mut self, slots: &[u32], values: &dyn Array);
    /// About how much memory it takes.
    fn memory_bytes(&self) -> usize;
}

/// Values by slot in the columns of a schema.
pub struct Columns {
    schema: SchemaRef,
    columns: Vec<Box<dyn Column>>,
}

impl std::fmt::Debug for Columns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Columns").field("schema", &self.schema).finish_non_exhaustive()
    }
}

impl Columns {
    /// No values yet; the types are those of [`crate::batch::COLUMN_TYPES`].
    pub fn new(schema: &SchemaRef) -> Self {
        let column = |data_type: &DataType| -> Box<dyn Column> {
            match data_type {
                DataType::Boolean => Box::new(Flags::default()),
                DataType::Int32 => Box::new(Numbers::<Int32Type>::new(data_type)),
                DataType::Int64 => Box::new(Numbers::<Int64Type>::new(data_type)),
                DataType::Float32 => Box::new(Numbers::<Float32Type>::new(data_type)),
                DataType::Float64 => Box::new(Numbers::<Float64Type>::new(data_type)),
                DataType::Date32 => Box::new(Numbers::<Date32Type>::new(data_type)),
                DataType::Utf8 => Box::new(Texts::<Utf8Type>(Vec::new())),
                DataType::Binary => Box::new(Texts::<BinaryType>(Vec::new())),
                // The one type left that columns have.
                _ => Box::new(Numbers::<TimestampMicrosecondType>::new(data_type)),
            }
        };
        let columns = schema.fields().iter().map(|field| column(field.data_type())).collect();
        Self { schema: Arc::clone(schema), columns }
    }

    /// The columns.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The values of these slots, each of which has been put there: a row for each, in their order.
    ///
    /// # Errors
    /// Texts that are too much for one column.
    pub fn gather(&self, slots: &[u32]) -> Result<RecordBatch, ArrowError> {
        self.check(slots, MAX_BYTES)?;
        let columns: Vec<ArrayRef> = self.columns.iter().map(|column| column.gather(slots)).collect();
        let rows = RecordBatchOptions::new().with_row_count(Some(slots.len()));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &rows)
    }

    fn check(&self, slots: &[u32], most: usize) -> Result<(), ArrowError> {
        let mut columns = self.schema.fields().iter().zip(&self.columns);
        match columns.find(|(_, column)| column.counted_bytes(slots) > most) {
            None => Ok(()),
            Some((field, _)) => {
                let (name, groups) = (field.name(), slots.len());
                Err(ArrowError::ComputeError(format!(
                    "column `{name}` of the states of {groups} groups takes more than 2 GiB, which is too much at once"
                )))
            }
        }
    }

    /// Puts row `i` of `values`, which has this schema, to slot `slots[i]`; rows without a slot go nowhere.
    pub fn scatter(&mut self, slots: &[u32], values: &RecordBatch) {
        for (column, values) in self.columns.iter_mut().zip(values.columns()) {
            column.scatter(slots, values);
        }
    }

    /// About how much memory it takes.
    pub fn memory_bytes(&self) -> usize {
        self.columns.iter().map(|column| column.memory_bytes()).sum()
    }
}

/// Makes room for all of these slots.
fn reserve<T: Clone>(values: &mut Vec<T>, slots: &[u32], empty: T) {
    let slots = slots.iter().max().map_or(0, |max| *max as usize + 1);
    if values.len() < slots {
        values.resize(slots, empty);
    }
}

struct Numbers<T: ArrowPrimitiveType> {
    data_type: DataType,
    values: Vec<T::Native>,
    nulls: Nulls,
}

impl<T: ArrowPrimitiveType> Numbers<T> {
    fn new(data_type: &DataType) -> Self {
        Self { data_type: data_type.clone(), values: Vec::new(), nulls: Nulls::default() }
    }
}

impl<T: ArrowPrimitiveType> Column for Numbers<T> {
    fn gather(&self, slots: &[u32]) -> ArrayRef {
        let values: ScalarBuffer<T::Native> = slots.iter().map(|&slot| self.values[slot as usize]).collect();
        Arc::new(PrimitiveArray::<T>::new(values, self.nulls.gather(slots)).with_data_type(self.data_type.clone()))
    }

    fn scatter(&mut self, slots: &[u32], values: &dyn Array) {
        reserve(&mut self.values, slots, T::Native::default());
        self.nulls.scatter(slots, values.nulls());
        for (&slot, &value) in slots.iter().zip(values.as_primitive::<T>().values()) {
            self.values[slot as usize] = value;
        }
    }

    fn memory_bytes(&self) -> usize {
        self.values.capacity() * size_of::<T::Native>() + self.nulls.0.capacity()
    }
}

#[derive(Default)]
struct Flags {
    values: Vec<bool>,
    nulls: Nulls,
}

impl Column for Flags {
    fn gather(&self, slots: &[u32]) -> ArrayRef {
        let values = slots.iter().map(|&slot| self.values[slot as usize]).collect();
        Arc::new(BooleanArray::new(values, self.nulls.gather(slots)))
    }

    fn scatter(&mut self, slots: &[u32], values: &dyn Array) {
        reserve(&mut self.values, slots, false);
        self.nulls.scatter(slots, values.nulls());
        for (&slot, value) in slots.iter().zip(values.as_boolean().values()) {
            self.values[slot as usize] = value;
        }
    }

    fn memory_bytes(&self) -> usize {
        self.values.capacity() + self.nulls.0.capacity()
    }
}

/// Texts, or bytes; `None` for null.
struct Texts<T: ByteArrayType>(Vec<Option<Box<T::Native>>>);

impl<T: ByteArrayType> Column for Texts<T>
where
    Box<T::Native>: for<'a> From<&'a T::Native> + Clone,
{
    fn gather(&self, slots: &[u32]) -> ArrayRef {
        let mut builder = GenericByteBuilder::<T>::with_capacity(slots.len(), self.counted_bytes(slots));
        slots.iter().for_each(|&slot| builder.append_option(self.0[slot as usize].as_deref()));
        Arc::new(builder.finish())
    }

    fn counted_bytes(&self, slots: &[u32]) -> usize {
        let values = slots.iter().filter_map(|&slot| self.0[slot as usize].as_deref());
        values.map(|value| <T::Native as AsRef<[u8]>>::as_ref(value).len()).sum()
    }

    fn scatter(&mut self, slots: &[u32], values: &dyn Array) {
        reserve(&mut self.0, slots, None);
        let values = values.as_bytes::<T>();
        for (&slot, value) in slots.iter().zip(values) {
            self.0[slot as usize] = value.map(Into::into);
        }
    }

    fn memory_bytes(&self) -> usize {
        let values = self.0.iter().flatten().map(|value| <T::Native as AsRef<[u8]>>::as_ref(value).len());
        self.0.capacity() * size_of::<Option<Box<T::Native>>>() + values.sum::<usize>()
    }
}

/// Which slots hold null: no longer than the last slot that ever did.
#[derive(Default)]
struct Nulls(Vec<bool>);

impl Nulls {
    fn gather(&self, slots: &[u32]) -> Option<NullBuffer> {
        let is_null = |slot: &u32| self.0.get(*slot as usize).copied().unwrap_or_default();
        slots.iter().any(is_null).then(|| slots.iter().map(|slot| !is_null(slot)).collect())
    }

    fn scatter(&mut self, slots: &[u32], nulls: Option<&NullBuffer>) {
        match nulls {
            Some(nulls) => {
                reserve(&mut self.0, slots, false);
                slots.iter().enumerate().for_each(|(row, &slot)| self.0[slot as usize] = nulls.is_null(row));
            }
            None => slots.iter().for_each(|&slot| {
                if let Some(is_null) = self.0.get_mut(slot as usize) {
                    *is_null = false;
                }
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{COLUMN_TYPES, Field, Schema, data_type};
    use arrow::array::TimestampMicrosecondArray;
    use arrow::array::{BinaryArray, Date32Array, Float32Array, Float64Array, Int32Array, Int64Array, StringArray};

    /// Rows `from..from + 4` of every type; the third is null.
    fn batch(from: i32) -> RecordBatch {
        let fields: Vec<_> =
            COLUMN_TYPES.iter().map(|name| Field::new(*name, data_type(name).unwrap(), true)).collect();
        let rows = || (from..from + 4).map(|n| (n != from + 2).then_some(n));
        let texts: Vec<_> = rows().map(|n| n.map(|n| "x".repeat(n as usize))).collect();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(BooleanArray::from_iter(rows().map(|n| n.map(|n| n % 2 == 0)))),
            Arc::new(Int32Array::from_iter(rows())),
            Arc::new(Int64Array::from_iter(rows().map(|n| n.map(i64::from)))),
            Arc::new(Float32Array::from_iter(rows().map(|n| n.map(|n| n as f32)))),
            Arc::new(Float64Array::from_iter(rows().map(|n| n.map(f64::from)))),
            Arc::new(StringArray::from_iter(texts.iter().map(|text| text.as_deref()))),
            Arc::new(BinaryArray::from_iter(texts.iter().map(|text| text.as_deref().map(str::as_bytes)))),
            Arc::new(Date32Array::from_iter(rows())),
            Arc::new(TimestampMicrosecondArray::from_iter(rows().map(|n| n.map(i64::from))).with_timezone("UTC")),
        ];
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
    }

    #[test]
    fn values_of_every_type_come_back_in_any_order() {
        let mut columns = Columns::new(&batch(0).schema());
        columns.scatter(&[3, 1, 7, 5], &batch(0));
        columns.scatter(&[2, 7, 3, 9], &batch(10));
        // Of slots 5, 1, 7 and 3: rows 3 and 1 of the first, rows 1 and 2 of the second.
        let gathered = columns.gather(&[5, 1, 7, 3]).unwrap();
        let rows = [batch(0).slice(3, 1), batch(0).slice(1, 1), batch(10).slice(1, 1), batch(10).slice(2, 1)];
        assert_eq!(gathered, arrow::compute::concat_batches(&batch(0).schema(), &rows).unwrap());
        assert_eq!(columns.gather(&[]).unwrap().num_rows(), 0);
    }

    #[test]
    fn a_null_is_forgotten_when_a_value_takes_its_place() {
        let mut columns = Columns::new(&batch(0).schema());
        columns.scatter(&[0, 1, 2, 3], &batch(0));
        columns.scatter(&[2], &batch(0).slice(1, 3));
        assert_eq!(
            columns.gather(&[2, 3]).unwrap(),
            arrow::compute::concat_batches(&batch(0).schema(), &[batch(0).slice(1, 1), batch(0).slice(3, 1)]).unwrap()
        );
    }

    #[test]
    fn texts_of_more_than_a_column_holds_are_an_error_that_names_it() {
        let mut columns = Columns::new(&batch(0).schema());
        columns.scatter(&[0, 1, 2, 3], &batch(0));
        // Two texts of 1 and 3 bytes, one of them twice.
        assert!(columns.check(&[1, 3, 3], 7).is_ok());
        let error = columns.check(&[1, 3, 3], 6).unwrap_err().to_string();
        assert!(error.contains("column `utf8` of the states of 3 groups"), "{error}");
    }
}
