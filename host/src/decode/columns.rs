//! From the columns that a pipeline declares to a decoder: what each of them reads, or why it can't.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::BooleanBufferBuilder;
use indexmap::IndexMap;

use super::avro::{self, Avro, Derived, Target};
use super::builder::{Column, Texts, Values};
use super::csv::Csv;
use super::json::Json;
use super::kafka::KafkaField;
use super::options::{AvroOptions, ColumnOptions, DecodeOptions, KEY_FIELDS};
use super::timestamp::TimestampFormat;
use super::{DecodeError, Decoder, Format, Schema};
use crate::batch::{self, COLUMN_TYPES, DataType, Field};

/// Builds the decoder that [`Decoder::new`] promises.
pub(super) fn decoder(
    options: &DecodeOptions,
    declared: &IndexMap<String, ColumnOptions>,
) -> Result<Decoder, DecodeError> {
    let mut derived = IndexMap::new();
    let declared = match options {
        DecodeOptions::Raw {} if declared.is_empty() => Cow::Owned(raw_columns()),
        DecodeOptions::Avro(avro) if options.wants_newest_schema(declared) => {
            derived = newest(avro, declared)?;
            let columns = derived.iter().map(|(name, column)| (name.clone(), column.options.clone()));
            let kafkas = declared.iter().map(|(name, column)| (name.clone(), column.clone()));
            Cow::Owned(columns.chain(kafkas).collect())
        }
        _ => Cow::Borrowed(declared),
    };
    let declared = declared.as_ref();
    let mut columns = Vec::with_capacity(declared.len());
    let mut schema = Vec::with_capacity(declared.len());
    let mut kafka = Vec::new();
    // Those that read the value: the field's name, the column's name and its index.
    let mut fields = Vec::new();
    for (index, (name, column)) in declared.iter().enumerate() {
        match kafka_field(name, column, options)? {
            Some(field) => kafka.push((field, index)),
            None => fields.push((column.from.as_deref().unwrap_or(name), name.as_str(), index)),
        }
        let (data_type, values) = values(name, column)?;
        columns.push(Column::new(name, column.nullable, values));
        schema.push(Field::new(name, data_type, column.nullable));
    }
    let format = match options {
        DecodeOptions::Json {} => {
            if declared.is_empty() {
                return Err(none_declared("json", r#"columns = { id = "utf8", time = "timestamp" }"#));
            }
            one_column_each(&fields)?;
            Format::Json(Json::new(fields.iter().map(|(field, _, index)| (*field, *index))))
        }
        DecodeOptions::Avro(avro) => {
            one_column_each(&fields)?;
            Format::Avro(Box::new(self::avro(avro, &fields, declared, derived)?))
        }
        DecodeOptions::Csv(csv) => {
            no_from(
                declared,
                "a CSV record's fields have no names: columns are its fields in order; leave `from` out",
            )?;
            if fields.is_empty() {
                return Err(none_declared("csv", r#"columns = { CA = "utf8", ENTRIES = "int64" }"#));
            }
            Format::Csv(Box::new(Csv::new(csv, fields.iter().map(|(.., index)| *index).collect())?))
        }
        DecodeOptions::Raw {} => {
            no_from(declared, "raw values have no fields; leave `from` out")?;
            raw_format(&fields, declared)?
        }
    };
    Ok(Decoder { schema: Arc::new(Schema::new(schema)), columns, kafka, format })
}

fn one_column_each(fields: &[(&str, &str, usize)]) -> Result<(), DecodeError> {
    let mut readers = HashMap::new();
    for (field, name, _) in fields {
        if let Some(other) = readers.insert(*field, *name) {
            let problem = format!("column {other} reads the field `{field}` already; a field goes to one column");
            return Err(error(name, Some("from"), problem));
        }
    }
    Ok(())
}

/// The columns of the newest schemas, but for those of keys that are declared.
fn newest(
    options: &AvroOptions,
    declared: &IndexMap<String, ColumnOptions>,
) -> Result<IndexMap<String, Derived>, DecodeError> {
    if options.newest.is_empty() {
        let problem = "without `columns` they come from the schema registry, which has not been asked".to_owned();
        return Err(DecodeError { column: None, key: None, problem });
    }
    let derived = avro::derive(options, options.wants_newest_key(declared))?;
    if let Some(name) = declared.keys().find(|name| derived.contains_key(*name)) {
        return Err(error(name, None, "a field of the schema is called so, too; declare all columns".to_owned()));
    }
    if derived.is_empty() {
        let problem = "the newest schema has no fields; declare `columns`".to_owned();
        return Err(DecodeError { column: None, key: None, problem });
    }
    Ok(derived)
}

fn avro(
    options: &AvroOptions,
    fields: &[(&str, &str, usize)],
    declared: &IndexMap<String, ColumnOptions>,
    mut derived: IndexMap<String, Derived>,
) -> Result<Avro, DecodeError> {
    let (mut keys, mut values) = (Vec::new(), Vec::new());
    for (field, name, index) in fields {
        let (aliases, default) =
            derived.swap_remove(*name).map(|column| (column.aliases, column.default)).unwrap_or_default();
        let target = |field: Option<&str>| Target { field: field.map(str::to_owned), aliases, column: *index, default };
        if options.reads_key(name, &declared[*name]) {
            keys.push(target(field.strip_prefix(KEY_FIELDS)));
        } else if field.starts_with(KEY_FIELDS) {
            let problem =
                format!("`{field}` is a field of an Avro key: decode = {{ format = \"avro\", key = \"avro\" }}");
            return Err(error(name, Some("from"), problem));
        } else {
            values.push(target(Some(field)));
        }
    }
    Ok(Avro::new(values, keys))
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
    if options.avro().is_some_and(|avro| avro.reads_key(name, column)) {
        return Ok(None);
    }
    let Some(field) = KafkaField::named(name) else {
        let names = KafkaField::NAMES.join("`, `");
        let way_out = match options {
            DecodeOptions::Json {} | DecodeOptions::Avro(_) => {
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

#[cfg(test)]
mod tests {
    use super::super::CsvOptions;
    use super::super::tests::helpers::{decoder, error};
    use super::*;

    const JSON: DecodeOptions = DecodeOptions::Json {};
    const RAW: DecodeOptions = DecodeOptions::Raw {};

    #[test]
    fn errors_name_the_column_and_the_way_out() {
        let csv = DecodeOptions::Csv(CsvOptions::default());
        for (options, columns, key, message) in [
            (&JSON, "a = 'text'", Some("type"), "column a: no type `text`; the types are `boolean`, `int32`"),
            (
                &JSON,
                "a = { type = 'utf8', format = '%Y' }",
                Some("format"),
                "column a: `format` is for timestamps, and this is `utf8`",
            ),
            (
                &JSON,
                "a = { type = 'date', timezone = 'UTC' }",
                Some("timezone"),
                "column a: `timezone` is for timestamps",
            ),
            (
                &JSON,
                "a = { type = 'timestamp', format = 'iso' }",
                Some("format"),
                "column a: no timestamp format `iso`; write `iso8601`",
            ),
            (
                &JSON,
                "a = { type = 'timestamp', timezone = 'Paris' }",
                Some("timezone"),
                "column a: no time zone `Paris`; write",
            ),
            (&JSON, "", None, "`json` needs columns that read the values; declare some, such as columns = {"),
            (
                &JSON,
                "a = 'utf8', b = { type = 'int64', from = 'a' }",
                Some("from"),
                "column b: column a reads the field `a` already",
            ),
            (
                &JSON,
                "_id = 'utf8'",
                None,
                "column _id: names that begin with `_` are Kafka's own, and those are `_key`, `_topic`",
            ),
            (&JSON, "_id = 'utf8'", None, "to read a field of that name, write { type = \"utf8\", from = \"_id\" }"),
            (&csv, "_id = 'utf8'", None, "give it a name without the underscore"),
            (&JSON, "_offset = 'int32'", Some("type"), "column _offset: Kafka's _offset is `int64`, not `int32`"),
            (&JSON, "_key = 'int64'", Some("type"), "Kafka's _key is `binary` or `utf8`, not `int64`"),
            (
                &JSON,
                "_timestamp = { type = 'timestamp', format = '%Y' }",
                Some("format"),
                "Kafka's _timestamp is no text",
            ),
            (&csv, "", None, "`csv` needs columns"),
            (&csv, "_offset = 'int64'", None, "`csv` needs columns"),
            (&csv, "a = { type = 'utf8', from = 'b' }", Some("from"), "column a: a CSV record's fields have no names"),
            (&RAW, "id = 'utf8'", None, "column id: raw values make the columns `key` and `value` only"),
            (&RAW, "value = 'int64'", Some("type"), "column value: a raw value is `binary` or `utf8`, not `int64`"),
            (&RAW, "value = { type = 'utf8', from = 'x' }", Some("from"), "column value: raw values have no fields"),
        ] {
            let error = error(options, columns);
            assert!(error.to_string().contains(message), "{error}");
            assert_eq!(error.key, key, "{error}");
            let named = error
                .to_string()
                .split_once(": ")
                .and_then(|(start, _)| start.strip_prefix("column "))
                .map(str::to_owned);
            assert_eq!(error.column, named);
        }
    }

    #[test]
    fn the_schema_is_what_was_declared() {
        let all = COLUMN_TYPES
            .map(|name| format!("{name} = {{ type = '{name}', nullable = {} }}", name != "utf8"))
            .join(", ");
        let decoder = decoder(&JSON, &all);
        assert_eq!(decoder.schema().fields().len(), COLUMN_TYPES.len());
        for field in decoder.schema().fields() {
            assert_eq!(Some(field.data_type()), batch::data_type(field.name()).as_ref());
            assert_eq!(field.is_nullable(), field.name() != "utf8");
        }
        let raw = super::decoder(&RAW, &IndexMap::new()).unwrap();
        let fields: Vec<_> =
            raw.schema().fields().iter().map(|f| (f.name().as_str(), f.data_type(), f.is_nullable())).collect();
        assert_eq!(fields, [("key", &DataType::Binary, true), ("value", &DataType::Binary, false)]);
    }
}
