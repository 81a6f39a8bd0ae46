//! The types of the plugin interface, as `wit/` defines them: batches in Arrow's layout, errors, rejections.
//!
//! Row functions never meet them; whoever works on columns does. They are plain structs and lists, the same on every
//! target, so that everything above them runs natively too.

use crate::time::{Date, Timestamp};

pub use crate::aggregate_bindings::exports::rillgate::plugin::aggregate::{Plan, Updated};
pub use crate::bindings::exports::rillgate::plugin::transform::{Output, OutputTable};
pub use crate::bindings::rillgate::plugin::common::{Error, Rejection};
pub use crate::bindings::rillgate::plugin::table::{Batch, Column, DataType, Field, Values, Varlen};

impl DataType {
    /// The type's name, as the pipeline's `columns` take it.
    pub const fn name(self) -> &'static str {
        match self {
            DataType::Boolean => "boolean",
            DataType::Int32 => "int32",
            DataType::Int64 => "int64",
            DataType::Float32 => "float32",
            DataType::Float64 => "float64",
            DataType::Utf8 => "utf8",
            DataType::Binary => "binary",
            DataType::Date => "date",
            DataType::Timestamp => "timestamp",
        }
    }
}

impl Values {
    /// What the column holds.
    pub const fn data_type(&self) -> DataType {
        match self {
            Values::Boolean(_) => DataType::Boolean,
            Values::Int32(_) => DataType::Int32,
            Values::Int64(_) => DataType::Int64,
            Values::Float32(_) => DataType::Float32,
            Values::Float64(_) => DataType::Float64,
            Values::Utf8(_) => DataType::Utf8,
            Values::Binary(_) => DataType::Binary,
            Values::Date(_) => DataType::Date,
            Values::Timestamp(_) => DataType::Timestamp,
        }
    }
}

impl Values {
    /// The value of row `row` in words, for messages.
    pub(crate) fn text(&self, row: usize) -> String {
        let range = |values: &Varlen| values.offsets[row] as usize..values.offsets[row + 1] as usize;
        match self {
            Values::Boolean(bits) => bit(bits, row).to_string(),
            Values::Int32(list) => list[row].to_string(),
            Values::Int64(list) => list[row].to_string(),
            Values::Float32(list) => format!("{:?}", list[row]),
            Values::Float64(list) => format!("{:?}", list[row]),
            Values::Utf8(values) => format!("{:?}", String::from_utf8_lossy(&values.bytes[range(values)])),
            Values::Binary(values) => format!("{:?}", &values.bytes[range(values)]),
            Values::Date(list) => Date(list[row]).to_string(),
            Values::Timestamp(list) => Timestamp(list[row]).to_string(),
        }
    }
}

impl Column {
    /// Whether row `row` has a value.
    ///
    /// # Panics
    /// If the column has no such row.
    #[inline]
    pub fn is_valid(&self, row: usize) -> bool {
        self.validity.as_deref().is_none_or(|bits| bit(bits, row))
    }
}

/// Bit `row` of a bitmap, least significant first.
#[inline]
pub(crate) fn bit(bits: &[u8], row: usize) -> bool {
    bits[row / 8] >> (row % 8) & 1 == 1
}
