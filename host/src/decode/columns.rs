//! From the columns that a pipeline declares to a decoder: what each of them reads, or why it can't.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::BooleanBufferBuilder;
use indexmap::IndexMap;

use super::builder::{Column, Texts, Values};
use super::csv::Csv;
use super::json::Json;
use super::kafka::KafkaField;
use super::options::{ColumnOptions, DecodeOptions};
use super::timestamp::TimestampFormat;
use super::{DecodeError, Decoder, Format, Schema};
use crate::batch::{self, COLUMN_TYPES, DataType, Field};

/// Builds the decoder that [`Decoder::new`] promises.
pub(super) fn decoder(
    options: &DecodeOptions,
    declared: &IndexMap<String, ColumnOptions>,
) -> Result<Decoder, DecodeError> {
    let raw = raw_columns();
    let declared = match options {
        DecodeOptions::Raw {} if declared.is_empty() => &raw,
        _ => declared,
    };
    let mut columns = Vec::with_capacity(declared.len());
    let mut schema = Vec::with_capacity(declared.len());
    let mut kafka = Vec::new();
    // Those that read the value: the field's name, the column's name and its index.
    let mut fields = Vec::new();
    for (index, (name, column)) in declared.iter().enumerate() {
        let (data_type, values) = values(name, column)?;
        match kafka_field(name, column, options)? {
            Some(field) => kafka.push((field, index)),
            None => fields.push((column.from.as_deref().unwrap_or(name), name.as_str(), index)),
        }
        columns.push(Column::new(name, column.nullable, values));
        schema.push(Field::new(name, data_type, column.nullable));
    }
    let format = match options {
        DecodeOptions::Json {} => json(&fields, declared)?,
        DecodeOptions::Csv(csv) => {
            no_from(
                declared,
                "a CSV record's fields have no names: columns are its fields in order; leave `from` out",
            )?;
            if fields.is_empty() {
                return Err(none_declared("csv", r#"columns = { CA = "utf8", ENTRIES = "int64" }"#));
            }
            Format::Csv(Csv::new(csv, fields.iter().map(|(.., index)| *index).collect())?)
        }
        DecodeOptions::Raw {} => {
            no_from(declared, "raw values have no fields; leave `from` out")?;
            raw_format(&fields, declared)?
        }
    };
    Ok(Decoder { schema: Arc::new(Schema::new(schema)), columns, kafka, format })
}

fn json(fields: &[(&str, &str, usize)], declared: &IndexMap<String, ColumnOptions>) -> Result<Format, DecodeError> {
    if declared.is_empty() {
        return Err(none_declared("json", r#"columns = { id = "utf8", time = "timestamp" }"#));
    }
    let mut readers = HashMap::new();
    for (field, name, _) in fields {
        if let Some(other) = readers.insert(*field, *name) {
            let problem = format!("column {other} reads the field `{field}` already; a field goes to one column");
            return Err(error(name, Some("from"), problem));
        }
    }
    Ok(Format::Json(Json::new(fields.iter().map(|(field, _, index)| (*field, *index)))))
}

fn raw_format(
    fields: &[(&str, &str, usize)],
    declared: &IndexMap<String, ColumnOptions>,
) -> Result<Format, DecodeError> {
    let (mut key, mut value) = (None, None);
    for (_, name, index) in fields {
        match *name {
            "key" => key = Some(*index),
            "value" => value = Some(*index),
            _ => {
                let names = KafkaField::NAMES.join("`, `");
                let problem = format!("raw values make the columns `key` and `value` only, beside `{names}`");
                return Err(error(name, None, problem));
            }
        }
        let data_type = &declared[*name].data_type;
        if data_type != "binary" && data_type != "utf8" {
            let problem = format!("a raw {name} is `binary` or `utf8`, not `{data_type}`");
            return Err(error(name, Some("type"), problem));
        }
    }
    Ok(Format::Raw { key, value })
}

/// What raw values make where no columns are declared. A null value is skipped, so `value` is never null.
fn raw_columns() -> IndexMap<String, ColumnOptions> {
    let value = ColumnOptions { nullable: false, ..ColumnOptions::new("binary") };
    IndexMap::from([("key".to_owned(), ColumnOptions::new("binary")), ("value".to_owned(), value)])
}

/// The field of Kafka's that a column is, if its name says so.
fn kafka_field(name: &str, column: &ColumnOptions, options: &DecodeOptions) -> Result<Option<KafkaField>, DecodeError> {
    if !name.starts_with('_') || column.from.is_some() {
        return Ok(None);
    }
    let Some(field) = KafkaField::named(name) else {
        let names = KafkaField::NAMES.join("`, `");
        let way_out = match options {
            DecodeOptions::Json {} => {
                format!("to read a field of that name, write {{ type = \"{}\", from = \"{name}\" }}", column.data_type)
            }
            _ => "give it a name without the underscore".to_owned(),
        };
        let problem = format!("names that begin with `_` are Kafka's own, and those are `{names}`; {way_out}");
        return Err(error(name, None, problem));
    };
    if !field.types().contains(&column.data_type.as_str()) {
        let types = field.types().join("` or `");
        return Err(error(name, Some("type"), format!("Kafka's {name} is `{types}`, not `{}`", column.data_type)));
    }
    if field == KafkaField::Timestamp {
        for (key, option) in [("format", &column.format), ("timezone", &column.timezone)] {
            if option.is_some() {
                return Err(error(name, Some(key), format!("Kafka's {name} is no text; leave `{key}` out")));
            }
        }
    }
    Ok(Some(field))
}

/// A column's type, and empty values of it.
fn values(name: &str, column: &ColumnOptions) -> Result<(DataType, Values), DecodeError> {
    let Some(data_type) = batch::data_type(&column.data_type) else {
        let types = COLUMN_TYPES.join("`, `");
        return Err(error(name, Some("type"), format!("no type `{}`; the types are `{types}`", column.data_type)));
    };
    if !matches!(data_type, DataType::Timestamp(..)) {
        for (key, option) in [("format", &column.format), ("timezone", &column.timezone)] {
            if option.is_some() {
                let problem = format!("`{key}` is for timestamps, and this is `{}`; leave it out", column.data_type);
                return Err(error(name, Some(key), problem));
            }
        }
    }
    let values = match data_type {
        DataType::Boolean => Values::Boolean(BooleanBufferBuilder::new(0)),
        DataType::Int32 => Values::Int32(Vec::new()),
        DataType::Int64 => Values::Int64(Vec::new()),
        DataType::Float32 => Values::Float32(Vec::new()),
        DataType::Float64 => Values::Float64(Vec::new()),
        DataType::Utf8 => Values::Utf8(Texts::new()),
        DataType::Binary => Values::Binary(Texts::new()),
        DataType::Date32 => Values::Date(Vec::new()),
        DataType::Timestamp(..) => {
            let format = TimestampFormat::new(column.format.as_deref(), column.timezone.as_deref())
                .map_err(|bad| error(name, Some(bad.key), bad.problem))?;
            Values::Timestamp(Vec::new(), format)
        }
        _ => return Err(error(name, Some("type"), format!("type `{}` can't be decoded", column.data_type))),
    };
    Ok((data_type, values))
}

fn no_from(declared: &IndexMap<String, ColumnOptions>, problem: &str) -> Result<(), DecodeError> {
    match declared.iter().find(|(_, column)| column.from.is_some()) {
        Some((name, _)) => Err(error(name, Some("from"), problem.to_owned())),
        None => Ok(()),
    }
}

fn none_declared(format: &str, example: &str) -> DecodeError {
    let problem = format!("`{format}` needs columns that read the values; declare some, such as {example}");
    DecodeError { column: None, key: None, problem }
}

fn error(column: &str, key: Option<&'static str>, problem: String) -> DecodeError {
    DecodeError { column: Some(column.to_owned()), key, problem }
}
