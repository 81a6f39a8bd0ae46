//! Transforms over whole columns, for those who want to go below rows: joins within a batch, passing columns on without a
//! look, code that takes the columns it finds.
//!
//! The types are those of the interface, [`wit`](crate::wit); numbers are plain lists. [`Batch::column`] and
//! [`ColumnBuilder`] help with text, bits and nulls, [`Kept`](crate::Kept) with leaving out rows.

use crate::builder::Cells;
use crate::plugin::Opened;
use crate::settings::Settings;
use crate::value::{ReadValue, Value};
use crate::wit::{Batch, Column, Error, Field, Output, OutputTable};

/// A transform over whole columns. Made a plugin by `transform!(impl Type)`.
///
/// Its answer must depend on the batch and the settings alone: what it keeps between batches is a cache.
pub trait BatchTransform: Sized + 'static {
    /// Says what will come out, given what will come in. See `transform.wit`.
    fn open(input: &[Field], settings: &mut Settings) -> Result<(Self, Vec<OutputTable>), Error>;
    /// One batch for each table, and rejected rows.
    fn apply(&mut self, input: Batch) -> Result<Output, Error>;
}

#[doc(hidden)]
pub fn open<T: BatchTransform>(input: &[Field], settings: &mut Settings) -> Result<Opened, Error> {
    let (transform, tables) = T::open(input, settings)?;
    Ok(Opened {
        state: Box::new(transform),
        tables,
        apply: |state, input| match state.downcast_mut::<T>() {
            Some(transform) => transform.apply(input),
            None => Err(Error::Other("the instance was opened for another transform".to_owned())),
        },
    })
}

/// One column of a batch, as values of one type.
#[derive(Debug)]
pub struct ColumnOf<'a, T: ReadValue<'a>> {
    column: &'a Column,
    values: T::Reader,
    rows: usize,
}

impl Batch {
    /// The column at `index`, as values of one type: `batch.column::<&str>(0)`; `None` if there is no such column or it
    /// holds another type.
    pub fn column<'a, T: ReadValue<'a>>(&'a self, index: usize) -> Option<ColumnOf<'a, T>> {
        let column = self.columns.get(index)?;
        let rows = self.rows as usize;
        Some(ColumnOf { column, values: T::reader(column, rows)?, rows })
    }
}

impl<'a, T: ReadValue<'a>> ColumnOf<'a, T> {
    /// The value in row `row`, `None` if it is null.
    ///
    /// # Panics
    /// If there is no such row.
    #[inline]
    pub fn get(&self, row: usize) -> Option<T> {
        self.column.is_valid(row).then(|| T::get(&self.values, row))
    }

    /// The values of all rows, in order.
    pub fn iter(&self) -> impl Iterator<Item = Option<T>> {
        (0..self.rows).map(|row| self.get(row))
    }
}

/// A column of the output in the making.
#[derive(Debug)]
pub struct ColumnBuilder<T: Value>(Cells<T::Builder>);

impl<T: Value> ColumnBuilder<T> {
    /// A builder with room for `rows` rows.
    pub fn with_capacity(rows: usize) -> Self {
        let mut cells = Cells::default();
        cells.reserve(rows);
        Self(cells)
    }

    /// Appends a row.
    #[inline]
    pub fn push(&mut self, value: T) {
        self.0.push_option(Some(value));
    }

    /// Appends a row without a value. The column must be nullable.
    #[inline]
    pub fn push_null(&mut self) {
        self.0.push_option::<T>(None);
    }

    /// The column so far; the builder is empty afterwards and can be used for the next batch.
    pub fn finish(&mut self) -> Column {
        self.0.finish::<T>()
    }
}
