//! Key columns as bytes and back: equal keys are equal bytes, and different ones different bytes.
//!
//! Each cell is its length as a varint, 0 for null and one more than there are bytes otherwise, and then its bytes. Arrow's row format
//! would do, and could be compared for order besides; but it takes twice the bytes for short texts, and a pass for each column. The
//! bytes never leave the process.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, ArrayData, ArrayRef, make_array};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, ScalarBuffer};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, Rows, SortField};

use crate::batch::{DataType, Field, RecordBatch, Schema, SchemaRef};

/// Some columns of a table, in order.
#[derive(Debug, Clone)]
pub struct KeyColumns {
    schema: SchemaRef,
    /// Where they are in the table.
    places: Vec<usize>,
}

/// The key columns of a batch's rows.
#[derive(Debug)]
pub struct KeyRows {
    columns: Vec<Column>,
}

#[derive(Debug)]
struct Column {
    cells: Cells,
    /// Where any is null.
    nulls: Option<NullBuffer>,
}

#[derive(Debug)]
enum Cells {
    Bits(BooleanBuffer),
    Words(ScalarBuffer<u32>),
    Longs(ScalarBuffer<u64>),
    Texts { offsets: ScalarBuffer<i32>, bytes: Buffer },
}

/// How the values of a column lie in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bits,
    /// Of four bytes each, and of eight.
    Words,
    Longs,
    Texts,
}

impl Kind {
    fn of(data_type: &DataType) -> Option<Self> {
        Some(match data_type {
            DataType::Boolean => Self::Bits,
            DataType::Int32 | DataType::Float32 | DataType::Date32 => Self::Words,
            DataType::Int64 | DataType::Float64 | DataType::Timestamp(..) => Self::Longs,
            DataType::Utf8 | DataType::Binary => Self::Texts,
            _ => return None,
        })
    }
}

impl KeyRows {
    fn write(&self, row: usize, into: &mut Vec<u8>) {
        for column in &self.columns {
            if column.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
                into.push(0);
                continue;
            }
            match &column.cells {
                Cells::Bits(bits) => into.extend([2, bits.value(row).into()]),
                Cells::Words(words) => cell(into, &words[row].to_le_bytes()),
                Cells::Longs(longs) => cell(into, &longs[row].to_le_bytes()),
                Cells::Texts { offsets, bytes } => text(into, bytes, offsets[row] as usize, offsets[row + 1] as usize),
            }
        }
    }

    /// The keys of these rows.
    pub fn all(&self, rows: impl Iterator<Item = usize>) -> KeyBytes {
        let mut keys = KeyBytes::default();
        self.put(rows, &mut keys);
        keys
    }

    /// The same, in place of what `into` held.
    pub fn put(&self, rows: impl Iterator<Item = usize>, into: &mut KeyBytes) {
        into.bytes.clear();
        into.ends.clear();
        for row in rows {
            self.write(row, &mut into.bytes);
            into.ends.push(into.bytes.len());
        }
    }

    /// The key of a row, in place of what `into` held.
    pub fn get<'a>(&self, row: usize, into: &'a mut Vec<u8>) -> &'a [u8] {
        into.clear();
        self.write(row, into);
        into
    }
}

/// Keys one after another.
#[derive(Debug, Default)]
pub struct KeyBytes {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl KeyBytes {
    /// One of them.
    pub fn get(&self, at: usize) -> &[u8] {
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..self.ends[at]]
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(&0).chain(&self.ends);
        starts.zip(&self.ends).map(|(&start, &end)| &self.bytes[start..end])
    }
}

fn cell(into: &mut Vec<u8>, bytes: &[u8]) {
    let mut length = bytes.len() + 1;
    while length >= 0x80 {
        into.push(length as u8 | 0x80);
        length >>= 7;
    }
    into.push(length as u8);
    into.extend_from_slice(bytes);
}

/// The cell `bytes[from..to]`. Most are short, and a copy of a fixed size is no call.
fn text(into: &mut Vec<u8>, bytes: &[u8], from: usize, to: usize) {
    const SHORT: usize = 16;
    let length = to - from;
    match bytes.get(from..from + SHORT).and_then(|bytes| <&[u8; SHORT]>::try_from(bytes).ok()) {
        Some(short) if length <= SHORT => {
            into.push(length as u8 + 1);
            let end = into.len() + length;
            into.extend_from_slice(short);
            into.truncate(end);
        }
        _ => cell(into, &bytes[from..to]),
    }
}

/// Takes the next cell off a key; `None` for null.
fn take_cell<'a>(key: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (mut length, mut shift) = (0, 0);
    while let Some((&byte, rest)) = key.split_first() {
        *key = rest;
        length |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            break;
        }
    }
    let (cell, rest) = key.split_at(length.checked_sub(1)?);
    *key = rest;
    Some(cell)
}

impl KeyColumns {
    /// The columns of these names in tables of this schema; each is there.
    ///
    /// # Errors
    /// A column that isn't there, or of a type that can't be a key.
    pub fn new(table: &Schema, names: &[String]) -> Result<Self, ArrowError> {
        let places: Vec<usize> = names.iter().map(|name| table.index_of(name)).collect::<Result<_, _>>()?;
        let fields: Vec<Field> = places.iter().map(|&place| table.field(place).clone()).collect();
        if let Some(field) = fields.iter().find(|field| Kind::of(field.data_type()).is_none()) {
            return Err(ArrowError::SchemaError(format!("`{}` can't be part of a key", field.name())));
        }
        Ok(Self { schema: Arc::new(Schema::new(fields)), places })
    }

    /// The columns.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The keys of the rows of a table.
    ///
    /// # Errors
    /// Columns of other types than were announced.
    pub fn rows(&self, table: &RecordBatch) -> Result<KeyRows, ArrowError> {
        self.rows_of(self.places.iter().map(|&place| table.column(place)))
    }

    /// The keys that these columns make, in the order of [`Self::schema`].
    ///
    /// # Errors
    /// Columns of other types than were announced.
    pub fn rows_of<'a>(&self, columns: impl IntoIterator<Item = &'a ArrayRef>) -> Result<KeyRows, ArrowError> {
        let columns = columns.into_iter().zip(self.schema.fields()).map(|(array, field)| {
            let data = array.to_data();
            let kind = Kind::of(data.data_type()).filter(|_| data.data_type() == field.data_type());
            let wrong = || ArrowError::SchemaError(format!("`{}` is of type {}", field.name(), data.data_type()));
            let kind = kind.ok_or_else(wrong)?;
            let (buffer, offset, len) = (data.buffers()[0].clone(), data.offset(), data.len());
            let cells = match kind {
                Kind::Bits => Cells::Bits(BooleanBuffer::new(buffer, offset, len)),
                Kind::Words => Cells::Words(ScalarBuffer::new(buffer, offset, len)),
                Kind::Longs => Cells::Longs(ScalarBuffer::new(buffer, offset, len)),
                // Without rows there may be no offsets.
                Kind::Texts if len == 0 => Cells::Bits(BooleanBuffer::new_unset(0)),
                Kind::Texts => Cells::Texts {
                    offsets: ScalarBuffer::new(buffer, offset, len + 1),
                    bytes: data.buffers()[1].clone(),
                },
            };
            Ok(Column { cells, nulls: data.nulls().filter(|nulls| nulls.null_count() > 0).cloned() })
        });
        Ok(KeyRows { columns: columns.collect::<Result<_, ArrowError>>()? })
    }

    /// The columns that these keys were made of.
    ///
    /// # Errors
    /// None for keys of [`Self::rows`].
    pub fn columns<'a>(&self, keys: impl Iterator<Item = &'a [u8]>) -> Result<Vec<ArrayRef>, ArrowError> {
        let fields = self.schema.fields();
        let mut columns: Vec<Decoded> = fields.iter().map(|_| Decoded::default()).collect();
        for mut key in keys {
            for (column, field) in columns.iter_mut().zip(fields) {
                column.push(take_cell(&mut key), field.data_type());
            }
        }
        columns.into_iter().zip(fields).map(|(column, field)| column.finish(field.data_type())).collect()
    }

    /// What these keys are ordered by, column for column, nulls first.
    ///
    /// # Errors
    /// None for keys of [`Self::rows`].
    pub fn order<'a>(&self, keys: impl Iterator<Item = &'a [u8]>) -> Result<KeyOrder, ArrowError> {
        if self.places.is_empty() {
            return Ok(KeyOrder(None));
        }
        let sorts = self.schema.fields().iter().map(|field| SortField::new(field.data_type().clone())).collect();
        Ok(KeyOrder(Some(RowConverter::new(sorts)?.convert_columns(&self.columns(keys)?)?)))
    }
}

/// How keys compare.
#[derive(Debug)]
pub struct KeyOrder(Option<Rows>);

impl KeyOrder {
    /// Compares two of the keys, by their places.
    pub fn cmp(&self, a: usize, b: usize) -> Ordering {
        self.0.as_ref().map_or(Ordering::Equal, |rows| rows.row(a).cmp(&rows.row(b)))
    }
}

/// A column out of keys.
#[derive(Default)]
struct Decoded {
    valid: Vec<bool>,
    bytes: Vec<u8>,
    /// Ends of texts.
    ends: Vec<i32>,
}

impl Decoded {
    fn push(&mut self, cell: Option<&[u8]>, data_type: &DataType) {
        self.valid.push(cell.is_some());
        match (cell, Kind::of(data_type)) {
            (Some(cell), _) => self.bytes.extend_from_slice(cell),
            (None, Some(Kind::Bits)) => self.bytes.push(0),
            (None, Some(Kind::Words)) => self.bytes.extend([0; 4]),
            (None, Some(Kind::Longs)) => self.bytes.extend([0; 8]),
            (None, _) => {}
        }
        // Past that, the array is refused below.
        self.ends.push(self.bytes.len().try_into().unwrap_or(-1));
    }

    fn finish(self, data_type: &DataType) -> Result<ArrayRef, ArrowError> {
        let Self { valid, bytes, ends } = self;
        let rows = valid.len();
        let array = ArrayData::builder(data_type.clone()).len(rows);
        let array = match Kind::of(data_type) {
            Some(Kind::Bits) => {
                array.add_buffer(bytes.iter().map(|&bit| bit != 0).collect::<BooleanBuffer>().into_inner())
            }
            Some(Kind::Texts) => {
                let offsets: Vec<i32> = std::iter::once(0).chain(ends).collect();
                array.add_buffer(Buffer::from_vec(offsets)).add_buffer(Buffer::from_vec(bytes))
            }
            _ => array.add_buffer(Buffer::from_vec(bytes)),
        };
        let nulls = valid.contains(&false).then(|| NullBuffer::from(valid));
        Ok(make_array(array.nulls(nulls).align_buffers(true).build()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{COLUMN_TYPES, data_type};
    use arrow::array::{
        BinaryArray, BooleanArray, Date32Array, Float32Array, Float64Array, Int32Array, Int64Array, StringArray,
        TimestampMicrosecondArray,
    };

    /// Rows of every type; one of them null, texts of up to 300 bytes.
    fn batch() -> RecordBatch {
        let fields: Vec<_> =
            COLUMN_TYPES.iter().map(|name| Field::new(*name, data_type(name).unwrap(), true)).collect();
        let rows = || [0, 3, -7, 126, 127, 300, 128].map(|n| (n != 3).then_some(n)).into_iter();
        let texts: Vec<_> = rows().map(|n| n.map(|n: i32| "x".repeat(n.unsigned_abs() as usize))).collect();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(BooleanArray::from_iter(rows().map(|n| n.map(|n| n % 2 == 0)))),
            Arc::new(Int32Array::from_iter(rows())),
            Arc::new(Int64Array::from_iter(rows().map(|n| n.map(|n| i64::from(n) << 40)))),
            Arc::new(Float32Array::from_iter(rows().map(|n| n.map(|n| n as f32)))),
            Arc::new(Float64Array::from_iter(rows().map(|n| n.map(|n| f64::from(n) / 3.0)))),
            Arc::new(StringArray::from_iter(texts.iter().map(|text| text.as_deref()))),
            Arc::new(BinaryArray::from_iter(texts.iter().map(|text| text.as_deref().map(str::as_bytes)))),
            Arc::new(Date32Array::from_iter(rows())),
            Arc::new(TimestampMicrosecondArray::from_iter(rows().map(|n| n.map(i64::from))).with_timezone("UTC")),
        ];
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
    }

    fn keys(columns: &KeyColumns, batch: &RecordBatch) -> Vec<Vec<u8>> {
        let rows = columns.rows(batch).unwrap();
        let all = rows.all(0..batch.num_rows());
        let one = |row| rows.get(row, &mut vec![9]).to_vec();
        let keys: Vec<Vec<u8>> = (0..batch.num_rows()).map(one).collect();
        assert!((0..keys.len()).all(|row| keys[row] == all.get(row)));
        keys
    }

    #[test]
    fn keys_of_every_type_come_back_as_columns_out_of_slices_too() {
        let batch = batch();
        let columns = KeyColumns::new(&batch.schema(), &COLUMN_TYPES.map(str::to_owned)).unwrap();
        for slice in [batch.clone(), batch.slice(1, 4), batch.slice(3, 4), batch.slice(2, 0)] {
            let keys = keys(&columns, &slice);
            let back = columns.columns(keys.iter().map(Vec::as_slice)).unwrap();
            assert_eq!(RecordBatch::try_new(batch.schema(), back).unwrap(), slice);
        }
        assert_eq!(keys(&columns, &batch)[3..5], keys(&columns, &batch.slice(3, 2)));
    }

    #[test]
    fn what_differs_anywhere_is_another_key() {
        let two = |a: [Option<&str>; 5], b: [Option<&str>; 5]| {
            let columns: Vec<ArrayRef> = vec![Arc::new(StringArray::from_iter(a)), Arc::new(StringArray::from_iter(b))];
            let fields = ["a", "b"].map(|name| Field::new(name, data_type("utf8").unwrap(), true));
            RecordBatch::try_new(Arc::new(Schema::new(fields.to_vec())), columns).unwrap()
        };
        let batch = two(
            [Some("ab"), Some("a"), Some(""), None, Some("\0")],
            [Some("c"), Some("bc"), Some("abc"), Some("abc"), Some("\0")],
        );
        let columns = KeyColumns::new(&batch.schema(), &["a".to_owned(), "b".to_owned()]).unwrap();
        let all = keys(&columns, &batch);
        let different: std::collections::HashSet<_> = all.iter().collect();
        assert_eq!(different.len(), all.len());
        // Nulls first, and by columns: not as the bytes are.
        let order = columns.order(all.iter().map(Vec::as_slice)).unwrap();
        let mut places: Vec<usize> = (0..5).collect();
        places.sort_by(|&a, &b| order.cmp(a, b));
        assert_eq!(places, [3, 2, 4, 1, 0]);
    }

    #[test]
    fn columns_of_other_types_are_refused() {
        let batch = batch();
        let columns = KeyColumns::new(&batch.schema(), &["int32".to_owned()]).unwrap();
        assert!(columns.rows_of([batch.column(1)]).is_ok());
        assert!(columns.rows_of([batch.column(2)]).is_err());
    }
}
