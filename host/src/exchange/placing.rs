//! Which partition of the exchange's topic a row goes to.

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{
    Date32Type, Float32Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType, ToByteSlice,
};
use arrow::error::ArrowError;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::batch::{DataType, RecordBatch, Schema, type_name};

/// What takes the place of the hash of a null.
const NULL: u64 = 0x9e37_79b9_7f4a_7c15;

/// Places rows by some of their columns: XXH3 (64 bits) of each column's value after the other, the hash so far being the seed of
/// the next; numbers as their little-endian bytes. It is part of what is written: every version places a key alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placing {
    columns: Vec<String>,
    partitions: u32,
    rule: String,
}

impl Placing {
    /// Places rows of this schema by these columns; none: all of them in the first partition.
    ///
    /// # Errors
    /// A column that isn't there.
    pub fn new(schema: &Schema, columns: &[String], partitions: u32) -> Result<Self, ArrowError> {
        let mut rule = partitions.to_string();
        for name in columns {
            let data_type = schema.field_with_name(name)?.data_type();
            rule.push_str(&format!(" {name}:{}", type_name(data_type).unwrap_or("?")));
        }
        Ok(Self { columns: columns.to_vec(), partitions, rule })
    }

    /// What tells it from any other: `4 station:utf8`.
    pub fn rule(&self) -> &str {
        &self.rule
    }

    /// How many partitions there are.
    pub fn partitions(&self) -> u32 {
        self.partitions
    }

    /// The rows that go to each partition, of a batch whose columns have `prefix` before their names.
    ///
    /// # Errors
    /// A column that isn't there, or can't be a key.
    pub fn rows(&self, batch: &RecordBatch, prefix: &str) -> Result<Vec<Vec<u32>>, ArrowError> {
        let mut hashes = vec![0; batch.num_rows()];
        for name in &self.columns {
            let missing = || ArrowError::SchemaError(format!("there is no column `{prefix}{name}`"));
            hash(batch.column_by_name(&format!("{prefix}{name}")).ok_or_else(missing)?, &mut hashes)?;
        }
        let mut rows = vec![Vec::new(); self.partitions as usize];
        for (row, hash) in hashes.into_iter().enumerate() {
            // The upper bits, scaled: as good as a remainder, without its bias.
            let partition = (u128::from(hash) * u128::from(self.partitions)) >> 64;
            rows[partition as usize].push(row as u32);
        }
        Ok(rows)
    }
}

fn hash(column: &ArrayRef, hashes: &mut [u64]) -> Result<(), ArrowError> {
    match column.data_type() {
        DataType::Boolean => {
            let values: &BooleanBuffer = column.as_boolean().values();
            each(column, hashes, |row, seed| xxh3_64_with_seed(&[u8::from(values.value(row))], seed));
        }
        DataType::Utf8 => {
            let values = column.as_string::<i32>();
            each(column, hashes, |row, seed| xxh3_64_with_seed(values.value(row).as_bytes(), seed));
        }
        DataType::Binary => {
            let values = column.as_binary::<i32>();
            each(column, hashes, |row, seed| xxh3_64_with_seed(values.value(row), seed));
        }
        DataType::Int32 => numbers::<Int32Type>(column, hashes),
        DataType::Int64 => numbers::<Int64Type>(column, hashes),
        DataType::Float32 => numbers::<Float32Type>(column, hashes),
        DataType::Float64 => numbers::<Float64Type>(column, hashes),
        DataType::Date32 => numbers::<Date32Type>(column, hashes),
        DataType::Timestamp(..) => numbers::<TimestampMicrosecondType>(column, hashes),
        other => return Err(ArrowError::SchemaError(format!("rows can't be placed by {other}"))),
    }
    Ok(())
}

fn numbers<T: ArrowPrimitiveType>(column: &ArrayRef, hashes: &mut [u64]) {
    let values = column.as_primitive::<T>().values();
    // Every target that the host is built for is little-endian.
    each(column, hashes, |row, seed| xxh3_64_with_seed(values[row].to_byte_slice(), seed));
}

fn each(column: &ArrayRef, hashes: &mut [u64], hash: impl Fn(usize, u64) -> u64) {
    for (row, sofar) in hashes.iter_mut().enumerate() {
        *sofar = if column.is_null(row) { xxh3_64_with_seed(&[], *sofar ^ NULL) } else { hash(row, *sofar) };
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, StringArray};

    use super::*;
    use crate::batch::Field;

    fn batch() -> RecordBatch {
        let names = StringArray::from_iter((0..64).map(|n| (n % 7 != 3).then(|| format!("Station {n}"))));
        let numbers = Int64Array::from_iter((0..64).map(|n| (n % 5 != 1).then_some(n / 2)));
        let schema =
            Schema::new(vec![Field::new("name", DataType::Utf8, true), Field::new("number", DataType::Int64, true)]);
        RecordBatch::try_new(Arc::new(schema), vec![Arc::new(names), Arc::new(numbers)]).unwrap()
    }

    /// Written out: what an older version has placed stays where it is.
    #[test]
    fn keys_stay_where_they_are_from_version_to_version() {
        let batch = batch();
        let by = |columns: &[&str], partitions| {
            let columns: Vec<String> = columns.iter().map(|name| (*name).to_owned()).collect();
            let placing = Placing::new(&batch.schema(), &columns, partitions).unwrap();
            let rows = placing.rows(&batch.slice(0, 12), "").unwrap();
            (0..12).map(|row| rows.iter().position(|rows| rows.contains(&row)).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(by(&[], 3), [0; 12]);
        assert_eq!(by(&["name"], 4), [1, 0, 2, 1, 1, 3, 3, 2, 1, 2, 1, 3]);
        assert_eq!(by(&["number"], 4), [3, 1, 0, 0, 0, 0, 1, 1, 3, 3, 2, 1]);
        assert_eq!(by(&["name", "number"], 3), [1, 0, 0, 0, 0, 1, 0, 2, 0, 2, 0, 1]);
    }

    #[test]
    fn every_row_is_in_one_partition_and_equal_keys_in_the_same() {
        let batch = batch();
        let placing = Placing::new(&batch.schema(), &["number".to_owned()], 5).unwrap();
        assert_eq!(placing.rule(), "5 number:int64");
        let rows = placing.rows(&batch, "").unwrap();
        let mut all: Vec<u32> = rows.iter().flatten().copied().collect();
        all.sort_unstable();
        assert_eq!(all, (0..64).collect::<Vec<u32>>());
        let at = |row: u32| rows.iter().position(|rows| rows.contains(&row));
        // Those without a number are together, too.
        assert!([6, 11, 16, 61].into_iter().all(|row| at(row) == at(1)));
        assert_eq!(at(8), at(9));
        assert!(rows.iter().filter(|rows| !rows.is_empty()).count() > 3, "they are spread");
        assert!(Placing::new(&batch.schema(), &["other".to_owned()], 5).is_err());
    }
}
