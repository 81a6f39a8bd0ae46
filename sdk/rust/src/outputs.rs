//! What a transform answers for a row, and how answers become tables.
//!
//! [`Outputs`] is what goes into tables: a row into `main`, a variant of a `#[derive(Outputs)]` enum into a table of its own,
//! a `bool` as the input row unchanged. [`Answer`] is one of them, none, many, or a rejection.

use crate::filter::Kept;
use crate::reject::Reject;
use crate::row::{ToRow, schema};
use crate::wit::{Batch, Field, OutputTable};

/// The name of the table that goes on to the next transform, or to the pipeline's sink.
pub const MAIN: &str = "main";

/// Something that a transform writes to its output tables.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no output of a transform",
    note = "an output is a struct that derives `Row`, an enum that derives `Outputs`, or a bool to keep the input row or drop it"
)]
pub trait Outputs: Sized {
    /// The tables in the making; lives from batch to batch.
    type Writer: 'static;
    /// The tables that come out, for this input.
    fn tables(input: &[Field]) -> Vec<OutputTable>;
    /// Empty tables.
    fn writer() -> Self::Writer;
    /// Prepares for a batch of `rows` input rows.
    fn reserve(writer: &mut Self::Writer, rows: usize);
    /// Writes what came of input row `row`.
    fn emit(self, row: usize, writer: &mut Self::Writer);
    /// One batch for each table; the writer is empty afterwards.
    fn finish(writer: &mut Self::Writer, input: Batch) -> Vec<Batch>;
}

/// What a transform returns for a row.
#[diagnostic::on_unimplemented(
    message = "a transform can't return `{Self}`",
    note = "it returns a struct that derives `Row`, an enum that derives `Outputs`, or a bool to keep the input row or drop it; an `Option`, `Vec`, array or `Many(iterator)` of them; or a `Result` of any of these with `Reject`"
)]
pub trait Answer: Sized {
    /// What goes into the tables.
    type Outputs: Outputs;
    /// Writes what came of input row `row`. Writes nothing if it returns a rejection.
    fn write(self, row: usize, writer: &mut <Self::Outputs as Outputs>::Writer) -> Result<(), Reject>;
}

/// As many output rows as an iterator yields: `Many(tags.split(',').map(|tag| Tag { id, tag }))`.
///
/// A `Vec` does as well, and takes an allocation per row.
#[derive(Debug, Clone)]
pub struct Many<I>(pub I);

impl<O: Outputs> Answer for O {
    type Outputs = O;
    #[inline]
    fn write(self, row: usize, writer: &mut O::Writer) -> Result<(), Reject> {
        Outputs::emit(self, row, writer);
        Ok(())
    }
}

impl<O: Outputs> Answer for Option<O> {
    type Outputs = O;
    #[inline]
    fn write(self, row: usize, writer: &mut O::Writer) -> Result<(), Reject> {
        if let Some(output) = self {
            output.emit(row, writer);
        }
        Ok(())
    }
}

impl<A: Answer> Answer for Result<A, Reject> {
    type Outputs = A::Outputs;
    #[inline]
    fn write(self, row: usize, writer: &mut <A::Outputs as Outputs>::Writer) -> Result<(), Reject> {
        self?.write(row, writer)
    }
}

impl<I: IntoIterator<Item: Outputs>> Answer for Many<I> {
    type Outputs = I::Item;
    #[inline]
    fn write(self, row: usize, writer: &mut <I::Item as Outputs>::Writer) -> Result<(), Reject> {
        self.0.into_iter().for_each(|output| output.emit(row, writer));
        Ok(())
    }
}

impl<O: Outputs> Answer for Vec<O> {
    type Outputs = O;
    #[inline]
    fn write(self, row: usize, writer: &mut O::Writer) -> Result<(), Reject> {
        Many(self).write(row, writer)
    }
}

impl<O: Outputs, const N: usize> Answer for [O; N] {
    type Outputs = O;
    #[inline]
    fn write(self, row: usize, writer: &mut O::Writer) -> Result<(), Reject> {
        Many(self).write(row, writer)
    }
}

/// One table in the making, of rows of one kind.
#[doc(hidden)]
#[derive(Debug)]
pub struct TableWriter<B> {
    rows: u32,
    builders: B,
}

impl<B> TableWriter<B> {
    pub fn new<R: ToRow<Builders = B>>() -> Self {
        Self { rows: 0, builders: R::builders() }
    }

    pub fn table<R: ToRow<Builders = B>>(name: &str) -> OutputTable {
        OutputTable { name: name.to_owned(), schema: schema(R::COLUMNS) }
    }

    pub fn reserve<R: ToRow<Builders = B>>(&mut self, rows: usize) {
        R::reserve(&mut self.builders, rows);
    }

    #[inline]
    pub fn push<R: ToRow<Builders = B>>(&mut self, row: R) {
        row.push(&mut self.builders);
        self.rows += 1;
    }

    pub fn finish<R: ToRow<Builders = B>>(&mut self) -> Batch {
        Batch { rows: std::mem::take(&mut self.rows), columns: R::finish(&mut self.builders) }
    }
}

/// A row goes to the table `main`.
impl<R: ToRow> Outputs for R {
    type Writer = TableWriter<R::Builders>;
    fn tables(_input: &[Field]) -> Vec<OutputTable> {
        vec![TableWriter::table::<R>(MAIN)]
    }
    fn writer() -> Self::Writer {
        TableWriter::new::<R>()
    }
    fn reserve(writer: &mut Self::Writer, rows: usize) {
        writer.reserve::<R>(rows);
    }
    #[inline]
    fn emit(self, _row: usize, writer: &mut Self::Writer) {
        writer.push(self);
    }
    fn finish(writer: &mut Self::Writer, _input: Batch) -> Vec<Batch> {
        vec![writer.finish::<R>()]
    }
}

/// `true` keeps the input row, with all columns that the input has; `false` drops it.
impl Outputs for bool {
    type Writer = Kept;
    fn tables(input: &[Field]) -> Vec<OutputTable> {
        vec![OutputTable { name: MAIN.to_owned(), schema: input.to_vec() }]
    }
    fn writer() -> Kept {
        Kept::default()
    }
    fn reserve(_writer: &mut Kept, _rows: usize) {}
    #[inline]
    fn emit(self, row: usize, writer: &mut Kept) {
        if self {
            writer.keep(row);
        }
    }
    fn finish(writer: &mut Kept, input: Batch) -> Vec<Batch> {
        vec![std::mem::take(writer).of(input)]
    }
}
