//! For the fuzz targets: what a plugin returns, as the bindings have it before anything was checked. Not in any other build.

pub use super::bindings::exports::rillgate::plugin::transform::{Output, OutputTable};
pub use super::bindings::rillgate::plugin::common::Rejection;
pub use super::bindings::rillgate::plugin::table::{
    BatchResult, ColumnResult, DataType, FieldResult, ValuesResult, VarlenResult,
};
use super::{Applied, Table};

/// The tables that `open` announced, or why they can't be.
pub fn take_tables(announced: Vec<OutputTable>) -> Result<Vec<Table>, String> {
    super::tables::take_tables(announced)
}

/// The answer of `apply` to a batch of so many rows, or what is wrong with it.
pub fn take(tables: &[Table], input_rows: u32, output: Output) -> Result<Applied, String> {
    super::returned::take(tables, input_rows, output, &super::secrets::Secrets::default())
}
