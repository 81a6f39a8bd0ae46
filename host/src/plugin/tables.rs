//! The tables that a plugin says it writes, and schemas on their way to a plugin and back.

use std::collections::HashSet;
use std::sync::Arc;

use super::bindings::exports::rillgate::plugin::transform::OutputTable;
use super::bindings::rillgate::plugin::table::{DataType as WitType, FieldParam, FieldResult};
use super::log::plain;
use crate::batch::{DataType, Field, Schema, SchemaRef, data_type, type_name};

/// The output that a pipeline's sink takes.
pub const MAIN: &str = "main";

/// Tables, and columns of one table, that a plugin may announce.
const MAX_TABLES: usize = 64;
const MAX_COLUMNS: usize = 4096;
/// Bytes of the names of a table, and of a column.
const MAX_TABLE_NAME: usize = 64;
const MAX_COLUMN_NAME: usize = 255;

/// A table that a plugin writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// `main`, or the name of an output that the pipeline gives a sink of its own; of an aggregate `state` and `output`.
    pub name: String,
    /// Its columns.
    pub schema: SchemaRef,
}

/// The names that the interface has for the types of columns, in the order of [`crate::batch::COLUMN_TYPES`].
fn wit_type(name: &str) -> Option<WitType> {
    Some(match name {
        "boolean" => WitType::Boolean,
        "int32" => WitType::Int32,
        "int64" => WitType::Int64,
        "float32" => WitType::Float32,
        "float64" => WitType::Float64,
        "utf8" => WitType::Utf8,
        "binary" => WitType::Binary,
        "date" => WitType::Date,
        "timestamp" => WitType::Timestamp,
        _ => return None,
    })
}

fn arrow_type(wit: WitType) -> DataType {
    match wit {
        WitType::Boolean => DataType::Boolean,
        WitType::Int32 => DataType::Int32,
        WitType::Int64 => DataType::Int64,
        WitType::Float32 => DataType::Float32,
        WitType::Float64 => DataType::Float64,
        WitType::Utf8 => DataType::Utf8,
        WitType::Binary => DataType::Binary,
        WitType::Date => DataType::Date32,
        // `data_type` knows the one time zone that timestamps have.
        WitType::Timestamp => data_type("timestamp").unwrap_or(DataType::Null),
    }
}

/// A schema for `open`; `Err` names a column that can't cross.
pub(super) fn lower_schema(schema: &Schema) -> Result<Vec<FieldParam<'_>>, String> {
    let lower = |field: &'_ Arc<Field>| {
        let data_type = type_name(field.data_type()).and_then(wit_type);
        data_type.ok_or_else(|| {
            format!("column `{}` is {}, a type that plugins don't have", field.name(), field.data_type())
        })
    };
    let fields = schema.fields().iter();
    fields
        .map(|field| Ok(FieldParam { name: field.name(), data_type: lower(field)?, nullable: field.is_nullable() }))
        .collect()
}

/// The tables that `open` announced; `Err` says what is wrong with them.
pub(super) fn take_tables(announced: Vec<OutputTable>) -> Result<Vec<Table>, String> {
    if announced.len() > MAX_TABLES {
        return Err(format!("{} tables; {MAX_TABLES} are the most", announced.len()));
    }
    if let Some(OutputTable { name, .. }) = announced.iter().find(|table| !is_table_name(&table.name)) {
        let shown = plain(name, MAX_TABLE_NAME + 1);
        return Err(format!(
            "table `{shown}`: its name is not 1 to {MAX_TABLE_NAME} letters, digits, `_` and `-` that begin with a letter"
        ));
    }
    check_distinct("table", announced.iter().map(|table| &table.name))?;
    if !announced.iter().any(|table| table.name == MAIN) {
        return Err(format!("there is no table `{MAIN}`"));
    }
    announced.into_iter().map(|OutputTable { name, schema }| take_table(&name, schema)).collect()
}

/// One table that `open` announced.
pub(super) fn take_table(name: &str, announced: Vec<FieldResult>) -> Result<Table, String> {
    match take_schema(announced) {
        Ok(schema) => Ok(Table { name: name.to_owned(), schema }),
        Err(wrong) => Err(format!("table `{name}`: {wrong}")),
    }
}

fn take_schema(announced: Vec<FieldResult>) -> Result<SchemaRef, String> {
    if announced.is_empty() {
        return Err("it has no columns".to_owned());
    }
    if announced.len() > MAX_COLUMNS {
        return Err(format!("it has {} columns; {MAX_COLUMNS} are the most", announced.len()));
    }
    for FieldResult { name, .. } in &announced {
        if name.is_empty() {
            return Err("a column has no name".to_owned());
        }
        if name.len() > MAX_COLUMN_NAME || name.contains(char::is_control) {
            return Err(format!("a column has a name of over {MAX_COLUMN_NAME} bytes or with control characters"));
        }
    }
    check_distinct("column", announced.iter().map(|field| &field.name))?;
    let field = |field: FieldResult| Field::new(field.name, arrow_type(field.data_type), field.nullable);
    Ok(Arc::new(Schema::new(announced.into_iter().map(field).collect::<Vec<_>>())))
}

/// Part of a key of pipelines.toml and of paths: nothing that means anything else there.
fn is_table_name(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    name.len() <= MAX_TABLE_NAME && name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.chars().all(is_plain)
}

fn check_distinct<'a>(what: &str, names: impl Iterator<Item = &'a String>) -> Result<(), String> {
    let mut seen = HashSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(format!("there are two {what}s `{name}`"));
        }
    }
    Ok(())
}

/// `station utf8, passengers int64`: a schema in a message.
pub(super) fn describe(schema: &Schema) -> String {
    let field = |field: &Arc<Field>| {
        let data_type = field.data_type();
        format!("{} {}", field.name(), type_name(data_type).map_or_else(|| data_type.to_string(), str::to_owned))
    };
    schema.fields().iter().map(field).collect::<Vec<_>>().join(", ")
}
