//! The rules of the interface that an answer of a plugin has to keep, as the host checks them.

use std::collections::HashSet;

use crate::wit::{Batch, Column, DataType, Field, Output, OutputTable, Plan, Rejection, Values, Varlen};

/// Whether `output` is a possible answer to a batch of `rows` rows; what is wrong with it, if not.
pub(crate) fn output(tables: &[OutputTable], output: &Output, rows: u32) -> Result<(), String> {
    self::tables(tables)?;
    if output.batches.len() != tables.len() {
        return Err(format!("{} batches for {} tables", output.batches.len(), tables.len()));
    }
    for (table, batch) in tables.iter().zip(&output.batches) {
        self::batch(&table.schema, batch).map_err(|problem| format!("table `{}`: {problem}", table.name))?;
    }
    rejections(&output.rejected, rows)
}

/// Whether an aggregate can announce this.
pub(crate) fn plan(plan: &Plan) -> Result<(), String> {
    schema(&plan.state).map_err(|problem| format!("the state: {problem}"))?;
    schema(&plan.output).map_err(|problem| format!("the output: {problem}"))
}

/// Whether `states` can be those of so many groups.
pub(crate) fn states(plan: &Plan, states: &Batch, groups: u32) -> Result<(), String> {
    if states.rows != groups {
        return Err(format!("{} states for {groups} groups", states.rows));
    }
    batch(&plan.state, states).map_err(|problem| format!("the states: {problem}"))
}

/// Whether so many rows can have been rejected so.
pub(crate) fn rejections(rejected: &[Rejection], rows: u32) -> Result<(), String> {
    let mut seen = HashSet::new();
    for rejection in rejected {
        if rejection.row >= rows {
            return Err(format!("row {} of {rows} is rejected", rejection.row));
        }
        if !seen.insert(rejection.row) {
            return Err(format!("row {} is rejected twice", rejection.row));
        }
    }
    Ok(())
}

fn tables(tables: &[OutputTable]) -> Result<(), String> {
    if tables.is_empty() || tables.len() > 64 {
        return Err(format!("{} tables, must be 1 to 64", tables.len()));
    }
    let mut names = HashSet::new();
    for OutputTable { name, schema } in tables {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if name.len() > 64 || !name.starts_with(|c: char| c.is_ascii_alphabetic()) || !name.chars().all(plain) {
            return Err(format!("`{name}` is no name of a table: a letter, then letters, digits, `_` and `-`"));
        }
        if !names.insert(name) {
            return Err(format!("two tables are called `{name}`"));
        }
        self::schema(schema).map_err(|problem| format!("table `{name}`: {problem}"))?;
    }
    Ok(())
}

fn schema(schema: &[Field]) -> Result<(), String> {
    if schema.is_empty() {
        return Err("has no columns".to_owned());
    }
    let mut names = HashSet::new();
    for Field { name, .. } in schema {
        if name.is_empty() || name.len() > 255 || name.chars().any(char::is_control) {
            return Err(format!("{name:?} is no name of a column: 1 to 255 bytes, no control characters"));
        }
        if !names.insert(name) {
            return Err(format!("two columns are called `{name}`"));
        }
    }
    Ok(())
}

/// Whether `batch` has these columns.
pub(crate) fn batch(schema: &[Field], batch: &Batch) -> Result<(), String> {
    if batch.columns.len() != schema.len() {
        return Err(format!("{} columns for {} fields", batch.columns.len(), schema.len()));
    }
    for (field, column) in schema.iter().zip(&batch.columns) {
        self::column(field, column, batch.rows as usize)
            .map_err(|problem| format!("column `{}`: {problem}", field.name))?;
    }
    Ok(())
}

fn column(field: &Field, column: &Column, rows: usize) -> Result<(), String> {
    let found = column.values.data_type();
    if found != field.data_type {
        return Err(format!("is {}, not {}", found.name(), field.data_type.name()));
    }
    let (length, expected) = match &column.values {
        Values::Boolean(bits) => (bits.len(), rows.div_ceil(8)),
        Values::Int32(list) | Values::Date(list) => (list.len(), rows),
        Values::Int64(list) | Values::Timestamp(list) => (list.len(), rows),
        Values::Float32(list) => (list.len(), rows),
        Values::Float64(list) => (list.len(), rows),
        Values::Utf8(values) | Values::Binary(values) => (values.offsets.len(), rows + 1),
    };
    if length != expected {
        return Err(format!("has {length} entries, must be {expected} for {rows} rows"));
    }
    if let Values::Utf8(values) | Values::Binary(values) = &column.values {
        varlen(values, found == DataType::Utf8)?;
    }
    match &column.validity {
        Some(bits) if bits.len() != rows.div_ceil(8) => {
            Err(format!("has {} bytes of validity, must be {}", bits.len(), rows.div_ceil(8)))
        }
        Some(_) if !field.nullable => match (0..rows).find(|row| !column.is_valid(*row)) {
            Some(row) => Err(format!("is not nullable and null in row {row}")),
            None => Ok(()),
        },
        _ => Ok(()),
    }
}

fn varlen(values: &Varlen, text: bool) -> Result<(), String> {
    let ends = (values.offsets.first().copied(), values.offsets.last().map(|last| *last as usize));
    if ends != (Some(0), Some(values.bytes.len())) || !values.offsets.is_sorted() {
        return Err("offsets must go up from 0 to the length of the bytes".to_owned());
    }
    if text {
        for (row, ends) in values.offsets.windows(2).enumerate() {
            if let Err(error) = std::str::from_utf8(&values.bytes[ends[0] as usize..ends[1] as usize]) {
                return Err(format!("row {row} is no UTF-8: {error}"));
            }
        }
    }
    Ok(())
}
