//! What a plugin returns, checked and taken over as Arrow columns without copying it.
//!
//! Nothing here trusts the plugin: an array made in this file never breaks what Arrow's code relies on. The `Err`s
//! continue "plugin returned ...".

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, PrimitiveArray, RecordBatchOptions, StringArray, TimestampMicrosecondArray,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{ArrowPrimitiveType, DataType, Date32Type, Float32Type, Float64Type, Int32Type, Int64Type};

use super::bindings::exports::rillgate::plugin::aggregate;
use super::bindings::exports::rillgate::plugin::transform::Output;
use super::bindings::rillgate::plugin::common;
use super::bindings::rillgate::plugin::table::{BatchResult, ColumnResult, ValuesResult, VarlenResult};
use super::log;
use super::secrets::Secrets;
use super::tables::Table;
use crate::batch::{Field, RecordBatch, Rejection, type_name};

/// Rows that one call may return for one table. A bit a row is all that a boolean column costs, so the size of what is
/// returned is no bound to what it takes to write it.
const MAX_ROWS: u32 = 1 << 24;

/// Bytes of the names of columns, once for each value that one call returns, as JSON has them. The values of a boolean column of so many rows
/// cost 2 MiB, and their names could be 4 GiB.
const MAX_NAMES: u64 = 1 << 30;
/// What else is written with each value: quotes, a colon, a comma, and a value that takes next to nothing itself.
const MARKS: u64 = 16;

/// What one call of a transform gave.
#[derive(Debug, Clone, PartialEq)]
pub struct Applied {
    /// One batch for each of the transform's tables, in their order; any of them may be empty.
    pub batches: Vec<RecordBatch>,
    /// Rows of the input that were rejected: by row, each once.
    pub rejected: Vec<Rejection>,
}

/// What one call of an aggregate's `update` gave.
#[derive(Debug, Clone, PartialEq)]
pub struct Updated {
    /// The new state of each group, in the order of the groups.
    pub states: RecordBatch,
    /// Rows that were rejected and are in no state: by row, each once.
    pub rejected: Vec<Rejection>,
}

/// Checks and takes over the answer to a batch of `input_rows` rows.
pub(super) fn take(tables: &[Table], input_rows: u32, output: Output, secrets: &Secrets) -> Result<Applied, String> {
    if output.batches.len() != tables.len() {
        let (returned, announced) = (output.batches.len(), tables.len());
        return Err(format!("{returned} batches, and `open` announced {announced} tables"));
    }
    let batches = tables.iter().zip(output.batches).map(|(table, returned)| batch(table, returned));
    let batches: Vec<RecordBatch> = batches.collect::<Result<_, _>>()?;
    check_names(tables.iter().zip(batches.iter().map(RecordBatch::num_rows)))?;
    Ok(Applied { batches, rejected: rejections(input_rows, output.rejected, secrets)? })
}

/// Checks and takes over what `update` made of `input_rows` rows and the states of `groups` groups.
pub(super) fn take_updated(
    state: &Table,
    input_rows: u32,
    groups: u32,
    updated: aggregate::Updated,
    secrets: &Secrets,
) -> Result<Updated, String> {
    let states = take_states(state, groups, updated.states)?;
    Ok(Updated { states, rejected: rejections(input_rows, updated.rejected, secrets)? })
}

/// Checks and takes over the states of `groups` groups.
pub(super) fn take_states(state: &Table, groups: u32, returned: BatchResult) -> Result<RecordBatch, String> {
    if returned.rows != groups {
        return Err(format!("{} rows for `{}`; {groups} are needed, one for each group", returned.rows, state.name));
    }
    batch(state, returned)
}

fn rejections(input_rows: u32, returned: Vec<common::Rejection>, secrets: &Secrets) -> Result<Vec<Rejection>, String> {
    if let Some(common::Rejection { row, .. }) = returned.iter().find(|rejection| rejection.row >= input_rows) {
        return Err(format!("a rejection of row {row}, and the batch has {input_rows} rows"));
    }
    let mut rejected: Vec<Rejection> = returned
        .into_iter()
        .map(|common::Rejection { row, reason }| Rejection {
            row,
            reason: log::reason(&reason, secrets, "rejected without a reason"),
        })
        .collect();
    // Stable: of several reasons for one row the first is kept.
    rejected.sort_by_key(|rejection| rejection.row);
    rejected.dedup_by_key(|rejection| rejection.row);
    Ok(rejected)
}

/// Checks and takes over rows of a table.
pub(super) fn batch(table: &Table, returned: BatchResult) -> Result<RecordBatch, String> {
    let name = &table.name;
    if returned.rows > MAX_ROWS {
        return Err(format!("{} rows for `{name}`; {MAX_ROWS} are the most", returned.rows));
    }
    let fields = table.schema.fields();
    if returned.columns.len() != fields.len() {
        return Err(format!("{} columns for `{name}`, which has {}", returned.columns.len(), fields.len()));
    }
    let rows = returned.rows as usize;
    check_names([(table, rows)].into_iter())?;
    let columns = fields.iter().zip(returned.columns).map(|(field, returned)| column(name, field, rows, returned));
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::clone(&table.schema), columns.collect::<Result<_, _>>()?, &options)
        .map_err(|error| format!("columns for `{name}` that make no batch: {error}"))
}

/// Whether so many rows of these tables can be written as text in bounded memory.
fn check_names<'a>(returned: impl Iterator<Item = (&'a Table, usize)>) -> Result<(), String> {
    let of_row =
        |table: &Table| table.schema.fields().iter().map(|field| field.name().len() as u64 + MARKS).sum::<u64>();
    let names: u64 = returned.map(|(table, rows)| rows as u64 * of_row(table)).sum();
    match names <= MAX_NAMES {
        true => Ok(()),
        false => {
            Err(format!("rows whose columns' names take {names} bytes where they are text; {MAX_NAMES} are the most"))
        }
    }
}

fn column(table: &str, field: &Field, rows: usize, returned: ColumnResult) -> Result<ArrayRef, String> {
    // What is wrong is said in one of two forms.
    let place = || format!("column `{}` of `{table}`", field.name());
    let count = |what: &str, has: usize, needed: usize| match has == needed {
        true => Ok(()),
        false => Err(format!("{rows} rows but {}{what}: {needed} are needed, it has {has}", place())),
    };
    let given = match &returned.values {
        ValuesResult::Boolean(_) => "boolean",
        ValuesResult::Int32(_) => "int32",
        ValuesResult::Int64(_) => "int64",
        ValuesResult::Float32(_) => "float32",
        ValuesResult::Float64(_) => "float64",
        ValuesResult::Utf8(_) => "utf8",
        ValuesResult::Binary(_) => "binary",
        ValuesResult::Date(_) => "date",
        ValuesResult::Timestamp(_) => "timestamp",
    };
    let announced = type_name(field.data_type()).unwrap_or_default();
    if given != announced {
        return Err(format!("{} as {given}, and `open` announced {announced}", place()));
    }
    let nulls = match returned.validity {
        None => None,
        Some(bitmap) => {
            count(" has too few or too many bytes of validity", bitmap.len(), rows.div_ceil(8))?;
            let nulls = NullBuffer::new(BooleanBuffer::new(Buffer::from_vec(bitmap), 0, rows));
            Some(nulls).filter(|nulls| nulls.null_count() > 0)
        }
    };
    if let (Some(nulls), false) = (&nulls, field.is_nullable()) {
        return Err(format!("{} nulls in {}, which `open` announced without nulls", nulls.null_count(), place()));
    }
    let few = " has too few or too many values";
    Ok(match returned.values {
        ValuesResult::Boolean(bits) => {
            count(" has too few or too many bytes of bits", bits.len(), rows.div_ceil(8))?;
            Arc::new(BooleanArray::new(BooleanBuffer::new(Buffer::from_vec(bits), 0, rows), nulls))
        }
        ValuesResult::Int32(values) => {
            count(few, values.len(), rows)?;
            primitive::<Int32Type>(values, nulls)
        }
        ValuesResult::Int64(values) => {
            count(few, values.len(), rows)?;
            primitive::<Int64Type>(values, nulls)
        }
        ValuesResult::Float32(values) => {
            count(few, values.len(), rows)?;
            primitive::<Float32Type>(values, nulls)
        }
        ValuesResult::Float64(values) => {
            count(few, values.len(), rows)?;
            primitive::<Float64Type>(values, nulls)
        }
        ValuesResult::Date(values) => {
            count(few, values.len(), rows)?;
            primitive::<Date32Type>(values, nulls)
        }
        ValuesResult::Timestamp(values) => {
            count(few, values.len(), rows)?;
            let zone = match field.data_type() {
                DataType::Timestamp(_, zone) => zone.clone(),
                _ => None,
            };
            Arc::new(TimestampMicrosecondArray::new(ScalarBuffer::from(values), nulls).with_timezone_opt(zone))
        }
        ValuesResult::Utf8(VarlenResult { offsets, bytes }) => {
            count(" has too few or too many offsets", offsets.len(), rows + 1)?;
            check_offsets(&offsets, bytes.len()).map_err(|wrong| format!("offsets of {} that {wrong}", place()))?;
            check_text(&offsets, &bytes)
                .map_err(|row| format!("text in row {row} of {} that is not UTF-8", place()))?;
            // SAFETY: every row's bytes lie within the buffer and are valid UTF-8 by themselves, as was just checked;
            // the nulls are as many as the rows.
            Arc::new(unsafe { StringArray::new_unchecked(arrow_offsets(offsets), Buffer::from_vec(bytes), nulls) })
        }
        ValuesResult::Binary(VarlenResult { offsets, bytes }) => {
            count(" has too few or too many offsets", offsets.len(), rows + 1)?;
            check_offsets(&offsets, bytes.len()).map_err(|wrong| format!("offsets of {} that {wrong}", place()))?;
            // SAFETY: as above, but for the UTF-8.
            Arc::new(unsafe { BinaryArray::new_unchecked(arrow_offsets(offsets), Buffer::from_vec(bytes), nulls) })
        }
    })
}

fn primitive<T: ArrowPrimitiveType>(values: Vec<T::Native>, nulls: Option<NullBuffer>) -> ArrayRef {
    Arc::new(PrimitiveArray::<T>::new(ScalarBuffer::from(values), nulls))
}

/// Offsets that [`check_offsets`] has seen, as Arrow's signed ones.
fn arrow_offsets(offsets: Vec<u32>) -> OffsetBuffer<i32> {
    // SAFETY: there is at least one, the first is 0, none is less than the one before, and none is above `i32::MAX`.
    unsafe { OffsetBuffer::new_unchecked(ScalarBuffer::from(bytemuck::cast_vec::<u32, i32>(offsets))) }
}

/// Offsets begin at 0, never decrease, and end where the bytes end, within what Arrow can count.
fn check_offsets(offsets: &[u32], bytes: usize) -> Result<(), String> {
    let (Some(&first), Some(&last)) = (offsets.first(), offsets.last()) else {
        return Err("are missing".to_owned());
    };
    if first != 0 {
        return Err(format!("begin at {first}, not at 0"));
    }
    // All pairs are looked at, so that the compiler can do many at once.
    if !offsets.windows(2).fold(true, |rising, pair| rising & (pair[0] <= pair[1])) {
        let row = offsets.windows(2).position(|pair| pair[0] > pair[1]).unwrap_or_default();
        return Err(format!("decrease after row {row}"));
    }
    if last as usize != bytes {
        return Err(format!("end at {last}, and there are {bytes} bytes"));
    }
    match i32::try_from(last) {
        Ok(_) => Ok(()),
        Err(_) => Err("go past 2 GiB".to_owned()),
    }
}

/// Whether every row is UTF-8; `Err` has the first row that is not. The offsets have been checked.
fn check_text(offsets: &[u32], bytes: &[u8]) -> Result<(), usize> {
    if bytes.is_ascii() {
        return Ok(());
    }
    let row_of = |byte: usize| offsets.partition_point(|&offset| offset as usize <= byte).saturating_sub(1);
    let text = simdutf8::basic::from_utf8(bytes).or_else(|_| {
        // Once more, slower, to find the place.
        simdutf8::compat::from_utf8(bytes).map_err(|error| row_of(error.valid_up_to()))
    })?;
    match offsets.iter().position(|&offset| !text.is_char_boundary(offset as usize)) {
        Some(index) => Err(index.saturating_sub(1)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Schema;

    /// A table of so many boolean columns with names of 255 bytes, and so many rows of it.
    fn flags(columns: usize, rows: u32) -> (Table, BatchResult) {
        let fields: Vec<_> =
            (0..columns).map(|column| Field::new(format!("{column:0>255}"), DataType::Boolean, false)).collect();
        let bits =
            || ColumnResult { values: ValuesResult::Boolean(vec![0; rows.div_ceil(8) as usize]), validity: None };
        let table = Table { name: "main".to_owned(), schema: Arc::new(Schema::new(fields)) };
        (table, BatchResult { rows, columns: (0..columns).map(|_| bits()).collect() })
    }

    #[test]
    fn rows_that_take_little_and_would_be_written_at_length_are_refused() {
        let most = (MAX_NAMES / (4 * 271)) as u32;
        let (table, returned) = flags(4, most);
        assert_eq!(batch(&table, returned).unwrap().num_rows(), most as usize);
        let (table, returned) = flags(4, most + 1);
        let error = batch(&table, returned).unwrap_err();
        assert!(error.starts_with("rows whose columns' names take 1073742108 bytes"), "{error}");

        // All tables of a call are written.
        let (table, half) = flags(4, most / 2 + 1);
        let output = Output { batches: vec![half.clone(), half], rejected: vec![] };
        let error = take(&[table.clone(), table], 1, output, &Secrets::default()).unwrap_err();
        assert!(error.starts_with("rows whose columns' names"), "{error}");
    }
}
