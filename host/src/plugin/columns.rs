//! Arrow columns as the plugin interface wants them: borrowed, so that wasmtime copies them straight into the plugin.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, GenericByteArray};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer};
use arrow::datatypes::{
    ByteArrayType, DataType, Date32Type, Float32Type, Float64Type, Int32Type, Int64Type, TimeUnit,
    TimestampMicrosecondType,
};

use super::bindings::rillgate::plugin::table::{BatchParam, ColumnParam, ValuesParam, VarlenParam};
use crate::batch::RecordBatch;

/// Calls `with` with the batch as the interface has it. `Err` names a type that can't cross.
///
/// Nothing is copied but what a slice of a larger batch holds out of place: bitmaps that begin within a byte, and
/// offsets that don't begin at 0.
pub(super) fn lower<R>(batch: &RecordBatch, with: impl FnOnce(BatchParam) -> R) -> Result<R, String> {
    let rebased: Vec<Rebased> = batch.columns().iter().map(Rebased::new).collect();
    let columns = batch.columns().iter().zip(&rebased).map(|(array, rebased)| {
        let values =
            values(array, rebased).ok_or_else(|| format!("columns of type {} can't cross", array.data_type()))?;
        let validity = nulls(array).map(|nulls| bits(nulls.inner(), rebased.validity.as_ref()));
        Ok(ColumnParam { values, validity })
    });
    let columns = columns.collect::<Result<Vec<_>, String>>()?;
    let rows = u32::try_from(batch.num_rows()).map_err(|_| "a batch of more than 2^32 rows can't cross".to_owned())?;
    Ok(with(BatchParam { rows, columns: &columns }))
}

/// Buffers of one column that had to be made anew, since it is a slice.
#[derive(Default)]
struct Rebased {
    validity: Option<Buffer>,
    bits: Option<Buffer>,
    offsets: Option<Vec<u32>>,
}

impl Rebased {
    fn new(array: &ArrayRef) -> Self {
        let mut rebased =
            Self { validity: nulls(array).and_then(|nulls| rebase_bits(nulls.inner())), ..Self::default() };
        match array.data_type() {
            DataType::Boolean => rebased.bits = rebase_bits(array.as_boolean().values()),
            DataType::Utf8 => rebased.offsets = rebase_offsets(array.as_string::<i32>().value_offsets()),
            DataType::Binary => rebased.offsets = rebase_offsets(array.as_binary::<i32>().value_offsets()),
            _ => {}
        }
        rebased
    }
}

/// Which rows are null, if any is.
fn nulls(array: &ArrayRef) -> Option<&NullBuffer> {
    array.nulls().filter(|nulls| nulls.null_count() > 0)
}

fn rebase_bits(bits: &BooleanBuffer) -> Option<Buffer> {
    if bits.offset().is_multiple_of(8) { None } else { Some(bits.sliced()) }
}

fn rebase_offsets(offsets: &[i32]) -> Option<Vec<u32>> {
    let first = offsets[0];
    (first != 0).then(|| offsets.iter().map(|offset| (offset - first) as u32).collect())
}

/// The bytes of a bitmap: `ceil(rows / 8)`.
fn bits<'a>(bits: &'a BooleanBuffer, rebased: Option<&'a Buffer>) -> &'a [u8] {
    let bytes = match rebased {
        Some(bytes) => bytes.as_slice(),
        None => &bits.values()[bits.offset() / 8..],
    };
    &bytes[..bits.len().div_ceil(8)]
}

/// `None` for a type that can't cross.
fn values<'a>(array: &'a ArrayRef, rebased: &'a Rebased) -> Option<ValuesParam<'a>> {
    Some(match array.data_type() {
        DataType::Boolean => {
            let array: &BooleanArray = array.as_boolean();
            ValuesParam::Boolean(bits(array.values(), rebased.bits.as_ref()))
        }
        DataType::Int32 => ValuesParam::Int32(array.as_primitive::<Int32Type>().values()),
        DataType::Int64 => ValuesParam::Int64(array.as_primitive::<Int64Type>().values()),
        DataType::Float32 => ValuesParam::Float32(array.as_primitive::<Float32Type>().values()),
        DataType::Float64 => ValuesParam::Float64(array.as_primitive::<Float64Type>().values()),
        DataType::Utf8 => ValuesParam::Utf8(varlen(array.as_string::<i32>(), rebased)),
        DataType::Binary => ValuesParam::Binary(varlen(array.as_binary::<i32>(), rebased)),
        DataType::Date32 => ValuesParam::Date(array.as_primitive::<Date32Type>().values()),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            ValuesParam::Timestamp(array.as_primitive::<TimestampMicrosecondType>().values())
        }
        _ => return None,
    })
}

fn varlen<'a, T: ByteArrayType<Offset = i32>>(array: &'a GenericByteArray<T>, rebased: &'a Rebased) -> VarlenParam<'a> {
    let offsets = array.value_offsets();
    let bytes = &array.value_data()[offsets[0] as usize..offsets[offsets.len() - 1] as usize];
    // Arrow's offsets are never negative.
    let offsets = rebased.offsets.as_deref().unwrap_or_else(|| bytemuck::cast_slice(offsets));
    VarlenParam { offsets, bytes }
}
