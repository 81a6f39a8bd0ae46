//! Rows as JSON objects, for people: read into columns, and written as they would be in a file of JSON lines.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BinaryArray};
use arrow::datatypes::TimestampMicrosecondType;
use arrow::error::ArrowError;
use arrow::json::ReaderBuilder;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value};

use crate::batch::{DataType, Field, RecordBatch, Schema, SchemaRef, TimeUnit};
use crate::encode::json_lines;

/// A row: names and values of its columns.
pub(super) type Row = Map<String, Value>;

/// Longer texts, and more columns of a row, are cut where they are shown.
const SHOWN_CHARS: usize = 200;
const SHOWN_COLUMNS: usize = 50;

/// Rows in these columns. Times are texts or microseconds since 1970, binary is base64. What is missing is null.
///
/// `Err` says what is wrong, and with which row.
pub(super) fn columns(rows: &[Row], schema: &SchemaRef) -> Result<RecordBatch, String> {
    let all = read(rows, schema);
    all.map_err(|error| {
        let alone = rows
            .iter()
            .enumerate()
            .find_map(|(index, row)| Some((index, read(std::slice::from_ref(row), schema).err()?)));
        let (at, error) = alone.map_or((String::new(), error), |(index, error)| (format!("row {index}: "), error));
        format!("{at}{}", words(&error))
    })
}

/// Without what Arrow puts before them.
fn words(error: &ArrowError) -> String {
    match error {
        ArrowError::JsonError(words) | ArrowError::InvalidArgumentError(words) => words.clone(),
        other => other.to_string(),
    }
}

fn read(rows: &[Row], schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let readable = |field: &Arc<Field>| {
        let data_type = match field.data_type() {
            // Arrow knows zones by their offset.
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into()))
            }
            DataType::Binary => DataType::Utf8,
            other => other.clone(),
        };
        field.as_ref().clone().with_data_type(data_type)
    };
    let fields: Vec<Field> = schema.fields().iter().map(readable).collect();
    let reader = ReaderBuilder::new(Arc::new(Schema::new(fields))).with_batch_size(rows.len().max(1));
    let mut decoder = reader.with_strict_mode(true).build_decoder()?;
    decoder.serialize(rows)?;
    let Some(read) = decoder.flush()? else { return Ok(RecordBatch::new_empty(Arc::clone(schema))) };
    let columns = schema.fields().iter().zip(read.columns()).map(|(field, column)| {
        Ok(match field.data_type() {
            DataType::Timestamp(..) => {
                let times = column.as_primitive::<TimestampMicrosecondType>().clone();
                Arc::new(times.with_timezone("UTC")) as ArrayRef
            }
            DataType::Binary => {
                let decode = |text: &str| {
                    BASE64_STANDARD.decode(text).map_err(|error| {
                        ArrowError::JsonError(format!("column `{}` is no base64: {error}", field.name()))
                    })
                };
                let texts = column.as_string::<i32>().iter();
                let bytes = texts.map(|text| text.map(decode).transpose()).collect::<Result<Vec<_>, _>>()?;
                Arc::new(BinaryArray::from_iter(bytes))
            }
            _ => Arc::clone(column),
        })
    });
    RecordBatch::try_new(Arc::clone(schema), columns.collect::<Result<Vec<_>, ArrowError>>()?)
}

/// One row of a batch.
pub(super) fn row(batch: &RecordBatch, index: usize) -> Result<Row, ArrowError> {
    let line = json_lines(&batch.slice(index, 1))?;
    serde_json::from_slice(&line).map_err(|error| ArrowError::JsonError(error.to_string()))
}

/// As much of a row as is shown.
pub(super) fn cut_row(row: Row) -> Value {
    let more = row.len().saturating_sub(SHOWN_COLUMNS);
    let mut cut: Row = row.into_iter().take(SHOWN_COLUMNS).map(|(name, value)| (name, cut_value(value))).collect();
    if more > 0 {
        cut.insert("…".to_owned(), format!("{more} more columns").into());
    }
    Value::Object(cut)
}

/// As much of a value as is shown.
pub(super) fn cut_value(value: Value) -> Value {
    match value {
        Value::String(text) => match text.char_indices().nth(SHOWN_CHARS) {
            Some((end, _)) => format!("{}…", &text[..end]).into(),
            None => text.into(),
        },
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::batch::{COLUMN_TYPES, data_type};

    fn schema() -> SchemaRef {
        let field = |name: &&str| Field::new(*name, data_type(name).unwrap(), *name != "utf8");
        Arc::new(Schema::new(COLUMN_TYPES.iter().map(field).collect::<Vec<_>>()))
    }

    fn rows(rows: Value) -> Vec<Row> {
        serde_json::from_value(rows).unwrap()
    }

    #[test]
    fn rows_of_all_types_are_read_as_they_are_written() {
        let rows = rows(json!([
            { "boolean": true, "int32": -1, "int64": 1_i64 << 60, "float32": 0.5, "float64": 1e300, "utf8": "Süd",
              "binary": "AAH/", "date": "2026-01-31", "timestamp": "2026-01-31T12:00:00.000001Z" },
            { "boolean": null, "int32": null, "int64": null, "float32": null, "float64": null, "utf8": "",
              "binary": null, "date": null, "timestamp": null },
        ]));
        let batch = columns(&rows, &schema()).unwrap();
        assert_eq!(batch.schema(), schema());
        assert_eq!([row(&batch, 0).unwrap(), row(&batch, 1).unwrap()], *rows);
        let lacking = columns(&self::rows(json!([{ "utf8": "" }])), &schema()).unwrap();
        assert_eq!(row(&lacking, 0).unwrap(), rows[1]);
        assert_eq!(columns(&[], &schema()).unwrap(), RecordBatch::new_empty(schema()));
        // Other ways to say the same.
        let said = self::rows(json!([{ "utf8": "", "timestamp": 1, "float64": 2, "int64": "3" }]));
        let read = row(&columns(&said, &schema()).unwrap(), 0).unwrap();
        assert_eq!((&read["timestamp"], &read["float64"]), (&json!("1970-01-01T00:00:00.000001Z"), &json!(2.0)));
    }

    #[test]
    fn the_row_is_named_that_can_not_be_read() {
        for (bad, expected) in [
            (json!({ "utf8": 1 }), "utf8"),
            (json!({ "utf8": "", "int32": "many" }), "int32"),
            (json!({ "utf8": "", "int23": 1 }), "int23"),
            (json!({ "utf8": "", "date": "soon" }), "date"),
            (json!({ "utf8": "", "binary": "?" }), "column `binary` is no base64"),
            (json!({ "int32": 1 }), "utf8"),
        ] {
            let error = columns(&rows(json!([{ "utf8": "" }, { "utf8": "" }, bad])), &schema()).unwrap_err();
            assert!(error.starts_with("row 2: ") && error.contains(expected), "{error}");
        }
    }

    #[test]
    fn what_is_long_is_cut_where_it_is_shown() {
        let long = cut_value("ü".repeat(1000).into());
        assert_eq!(long.as_str().unwrap().chars().count(), SHOWN_CHARS + 1);
        assert_eq!(cut_value("ü".repeat(SHOWN_CHARS).into()), "ü".repeat(SHOWN_CHARS));
        let wide: Row = (0..60).map(|n| (format!("c{n}"), n.into())).collect();
        let cut = cut_row(wide);
        assert_eq!((cut.as_object().unwrap().len(), &cut["…"]), (SHOWN_COLUMNS + 1, &json!("10 more columns")));
        assert_eq!(cut_row(rows(json!([{ "a": 1 }])).remove(0)), json!({ "a": 1 }));
    }
}
