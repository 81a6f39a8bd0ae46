//! What the fuzz targets share: decoders made for them, cells of what comes out, and oracles that read the same text by other means.

pub mod oracle;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Date32Type, Float32Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType,
};
use indexmap::IndexMap;
use rillgate::batch::Messages;
use rillgate::decode::{ColumnOptions, DecodeError, DecodeOptions, Decoded, Decoder};

/// A value of a column, whatever its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    /// No value.
    Null,
    /// A boolean.
    Boolean(bool),
    /// An integer, a date in days, or a timestamp in microseconds.
    Integer(i64),
    /// A 32-bit float by its bits.
    Float32(u32),
    /// A 64-bit float by its bits.
    Float64(u64),
    /// Text or bytes.
    Bytes(Vec<u8>),
}

/// What a decoder must make of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// This.
    Cell(Cell),
    /// A rejection.
    Rejected,
    /// Either: the oracle doesn't know.
    Unknown,
}

/// A decoder to these columns.
pub fn decoder(options: &DecodeOptions, columns: &[(&str, ColumnOptions)]) -> Result<Decoder, DecodeError> {
    let columns: IndexMap<String, ColumnOptions> =
        columns.iter().map(|(name, column)| ((*name).to_owned(), column.clone())).collect();
    Decoder::new(options, &columns)
}

/// Decodes, and checks what is true of every answer: each message has one fate, and arrays are valid through and through.
pub fn decode(decoder: &mut Decoder, messages: &dyn Messages) -> Decoded {
    let decoded = decoder.decode(messages);
    check_batch(&decoded.rows.batch);
    assert_eq!(decoded.rows.batch.num_rows(), decoded.rows.origin.len());
    let mut fates = vec![0; messages.len()];
    decoded.rows.origin.iter().for_each(|message| fates[*message as usize] += 1);
    decoded.rejected.iter().for_each(|rejection| fates[rejection.row as usize] += 1);
    let skipped = (0..messages.len()).filter(|index| messages.value(*index).is_none_or(<[u8]>::is_empty));
    skipped.clone().for_each(|index| fates[index] += 1);
    assert!(fates.iter().all(|count| *count == 1), "{fates:?}");
    assert_eq!(skipped.count(), decoded.skipped as usize);
    decoded
}

/// Reasons are one short line, whatever is in the messages.
pub fn check_reasons(decoded: &Decoded) {
    for rejection in &decoded.rejected {
        let reason = &rejection.reason;
        assert!(!reason.is_empty() && reason.len() < 1000 && !reason.contains(char::is_control), "{reason:?}");
    }
}

/// Arrow's own full check of each column; and that nulls are only where the schema allows them.
pub fn check_batch(batch: &RecordBatch) {
    for (column, field) in batch.columns().iter().zip(batch.schema_ref().fields()) {
        column.to_data().validate_full().unwrap();
        assert_eq!(column.len(), batch.num_rows());
        assert!(field.is_nullable() || column.null_count() == 0, "{field}");
        assert_eq!(column.data_type(), field.data_type());
    }
}

/// The value of a column in a row.
pub fn cell(batch: &RecordBatch, row: usize, column: usize) -> Cell {
    let column = batch.column(column);
    if column.is_null(row) {
        return Cell::Null;
    }
    match column.data_type() {
        DataType::Boolean => Cell::Boolean(column.as_boolean().value(row)),
        DataType::Int32 => Cell::Integer(column.as_primitive::<Int32Type>().value(row).into()),
        DataType::Int64 => Cell::Integer(column.as_primitive::<Int64Type>().value(row)),
        DataType::Float32 => Cell::Float32(column.as_primitive::<Float32Type>().value(row).to_bits()),
        DataType::Float64 => Cell::Float64(column.as_primitive::<Float64Type>().value(row).to_bits()),
        DataType::Utf8 => Cell::Bytes(column.as_string::<i32>().value(row).as_bytes().to_vec()),
        DataType::Binary => Cell::Bytes(column.as_binary::<i32>().value(row).to_vec()),
        DataType::Date32 => Cell::Integer(column.as_primitive::<Date32Type>().value(row).into()),
        DataType::Timestamp(..) => Cell::Integer(column.as_primitive::<TimestampMicrosecondType>().value(row)),
        other => panic!("a column of type {other}"),
    }
}

/// Compares a message's fate with what its fields are expected to become; `row` is `None` if it was rejected.
pub fn compare(batch: &RecordBatch, row: Option<usize>, fields: Option<&[Expected]>, message: &[u8]) {
    let shown = || String::from_utf8_lossy(message).into_owned();
    let Some(fields) = fields else {
        return assert!(row.is_none(), "accepted: {}", shown());
    };
    if fields.contains(&Expected::Rejected) {
        return assert!(row.is_none(), "accepted although {fields:?}: {}", shown());
    }
    let Some(row) = row else {
        return assert!(fields.contains(&Expected::Unknown), "rejected although {fields:?}: {}", shown());
    };
    for (column, expected) in fields.iter().enumerate() {
        if let Expected::Cell(expected) = expected {
            assert_eq!(&cell(batch, row, column), expected, "column {column} of {}", shown());
        }
    }
}
