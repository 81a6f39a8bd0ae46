//! A file of a state: Parquet, so that anything that reads tables can show it.

use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use super::seen::DIGEST;
use super::table::{KEY, VALUE};
use crate::batch::{RecordBatch, Schema};

/// Under this name the footer says whose state it is.
const OWNER: &str = "rillgate.state";

/// Rows that are read at once.
const BATCH_ROWS: usize = 8192;

/// Why a file can't be taken for a part of a task's state.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It isn't one of ours.
    #[error("it can't be read: {0}")]
    Unreadable(#[from] ParquetError),
    /// It belongs to something else.
    #[error("it is a state of {found}, not of {expected}")]
    Foreign {
        /// What its footer says.
        found: String,
        /// Whose it should be.
        expected: String,
    },
    /// Columns have come, gone, or changed.
    #[error("it has the columns {found}, and {expected} are kept now")]
    Columns {
        /// Those of the file.
        found: String,
        /// Those of the table.
        expected: String,
    },
}

/// The bytes of a file. `owner` says whose state it is, and how it came about.
///
/// # Errors
/// None that Parquet should have.
pub fn encode(batch: &RecordBatch, owner: &str) -> Result<Bytes, FileError> {
    // Digests are all different, and as random as can be: nothing makes them smaller.
    let digests = || ColumnPath::from(format!("{KEY}{DIGEST}"));
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_column_compression(digests(), Compression::UNCOMPRESSED)
        .set_column_dictionary_enabled(digests(), false)
        .set_column_statistics_enabled(digests(), EnabledStatistics::None)
        .set_key_value_metadata(Some(vec![KeyValue::new(OWNER.to_owned(), owner.to_owned())]))
        .build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties))?;
    writer.write(batch)?;
    Ok(writer.into_inner()?.into())
}

/// What a file holds, whosesoever it is.
///
/// # Errors
/// See [`FileError`].
pub fn decode_any(bytes: Bytes) -> Result<Vec<RecordBatch>, FileError> {
    let batches = ParquetRecordBatchReaderBuilder::try_new(bytes)?.with_batch_size(BATCH_ROWS).build()?;
    let wrong = |error: arrow::error::ArrowError| ParquetError::General(error.to_string());
    batches.map(|batch| Ok(batch.map_err(wrong)?)).collect()
}

/// What a file holds. It must be `owner`'s, and of the columns of `schema` in their order; but columns of values are those of the file,
/// whatever `schema` has, and come last.
///
/// # Errors
/// See [`FileError`].
pub fn decode(bytes: Bytes, owner: &str, schema: &Schema) -> Result<Vec<RecordBatch>, FileError> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes)?;
    let metadata = builder.metadata().file_metadata().key_value_metadata();
    let found = metadata.into_iter().flatten().find(|pair| pair.key == OWNER).and_then(|pair| pair.value.clone());
    let found = found.unwrap_or_else(|| "nobody".to_owned());
    if found != owner {
        return Err(FileError::Foreign { found, expected: owner.to_owned() });
    }
    let file = builder.schema().clone();
    let is_value = |field: &crate::batch::Field| field.name().starts_with(VALUE);
    let has_values = schema.fields().iter().any(|field| is_value(field));
    let has = |field: &crate::batch::Field| {
        is_value(field) || file.field_with_name(field.name()).is_ok_and(|same| same.data_type() == field.data_type())
    };
    let known = |field: &crate::batch::Field| match is_value(field) {
        true => has_values,
        false => schema.field_with_name(field.name()).is_ok(),
    };
    if !schema.fields().iter().all(|field| has(field)) || !file.fields().iter().all(|field| known(field)) {
        return Err(FileError::Columns { found: describe(&file), expected: describe(schema) });
    }
    let others = schema.fields().iter().filter(|field| !is_value(field));
    let fields: Vec<_> = others.chain(file.fields().iter().filter(|field| is_value(field))).cloned().collect();
    // The file's own: what it says of itself beside its columns.
    let schema = std::sync::Arc::new(Schema::new_with_metadata(fields, file.metadata().clone()));
    let mut batches = Vec::new();
    for batch in builder.with_batch_size(BATCH_ROWS).build()? {
        let batch = batch.map_err(|error| ParquetError::General(error.to_string()))?;
        let columns = schema.fields().iter().map(|field| match batch.column_by_name(field.name()) {
            Some(column) => column.clone(),
            None => arrow::array::new_null_array(field.data_type(), batch.num_rows()),
        });
        let batch = RecordBatch::try_new(std::sync::Arc::clone(&schema), columns.collect());
        batches.push(batch.map_err(|error| ParquetError::General(error.to_string()))?);
    }
    Ok(batches)
}

/// `value.count int64, ...`: a schema in a message, without what every file has.
fn describe(schema: &Schema) -> String {
    let field = |field: &crate::batch::Field| {
        let name = crate::batch::type_name(field.data_type());
        format!("{} {}", field.name(), name.map_or_else(|| field.data_type().to_string(), str::to_owned))
    };
    let fields = schema.fields().iter().map(|known| field(known));
    fields.collect::<Vec<_>>().join(", ")
}
