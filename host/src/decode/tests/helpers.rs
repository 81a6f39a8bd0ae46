//! What the tests of decoding share: columns in short, and rows as JSON text.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::TimestampMicrosecondType;
use arrow::json::WriterBuilder;
use arrow::json::writer::LineDelimited;
use indexmap::IndexMap;

use crate::batch::{MemoryMessages, RecordBatch};
use crate::decode::{ColumnOptions, DecodeError, DecodeOptions, Decoded, Decoder};

/// Columns as pipelines.toml has them, such as `a = 'utf8', b = { type = 'int64', nullable = false }`.
pub(in crate::decode) fn columns(toml: &str) -> IndexMap<String, ColumnOptions> {
    #[derive(serde::Deserialize)]
    struct Config {
        columns: IndexMap<String, ColumnOptions>,
    }
    toml::from_str::<Config>(&format!("columns = {{ {toml} }}")).unwrap().columns
}

pub(in crate::decode) fn decoder(options: &DecodeOptions, columns: &str) -> Decoder {
    Decoder::new(options, &self::columns(columns)).unwrap()
}

pub(in crate::decode) fn error(options: &DecodeOptions, columns: &str) -> DecodeError {
    Decoder::new(options, &self::columns(columns)).unwrap_err()
}

pub(in crate::decode) fn decode<V: AsRef<[u8]>>(decoder: &mut Decoder, values: impl IntoIterator<Item = V>) -> Decoded {
    decoder.decode(&MemoryMessages::from_values("topic", values))
}

/// Every row as a JSON object, nulls included.
pub(in crate::decode) fn rows(batch: &RecordBatch) -> Vec<String> {
    // Arrow's writer knows no time zone by name.
    let columns = batch.schema_ref().fields().iter().zip(batch.columns()).map(|(field, column)| {
        let column: ArrayRef = match column.as_primitive_opt::<TimestampMicrosecondType>() {
            Some(micros) => Arc::new(micros.clone().with_timezone("+00:00")),
            None => Arc::clone(column),
        };
        (field.name().clone(), column)
    });
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut json = Vec::new();
    let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(&mut json);
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
    String::from_utf8(json).unwrap().lines().map(str::to_owned).collect()
}

/// Decodes one value: its row as JSON, or the reason of its rejection.
pub(in crate::decode) fn one(decoder: &mut Decoder, value: impl AsRef<[u8]>) -> Result<String, String> {
    let decoded = decode(decoder, [value]);
    assert_eq!(decoded.skipped, 0);
    match decoded.rejected.as_slice() {
        [] => Ok(rows(&decoded.rows.batch).remove(0)),
        [rejection] => {
            assert_eq!((decoded.rows.batch.num_rows(), rejection.row), (0, 0));
            assert!(!rejection.reason.contains(['\n', '\r']), "{:?}", rejection.reason);
            Err(rejection.reason.clone())
        }
        several => panic!("one message, {several:?}"),
    }
}

/// Decodes values one by one: `Ok` is what the row must be, `Err` what the reason must be.
pub(in crate::decode) fn check(options: &DecodeOptions, columns: &str, cases: &[(&str, Result<&str, &str>)]) {
    let mut decoder = decoder(options, columns);
    for (value, expected) in cases {
        let found = one(&mut decoder, value);
        assert_eq!(found.as_deref().map_err(String::as_str), *expected, "{value}");
    }
}
