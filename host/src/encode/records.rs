//! Rows into records for a topic, and those into a staged file: key, value and headers as columns of bytes.
//!
//! The staged file is Parquet, so that it is small and can be looked into. It says all that a record has: whoever reads it
//! needs no configuration.

use std::cell::RefCell;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, Int32Array, OffsetSizeTrait};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::cast;
use bytes::Bytes;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use super::avro::AvroEncoder;
use super::error::{EncodeError, listed};
use super::options::{Format, TableOptions};
use super::plan::check_columns;
use super::table::{Output, TableWriter};
use super::text;
use super::topic::{RecordFormat, TopicOptions};
use crate::batch::{DataType, Field, RecordBatch, Rejection, Schema, SchemaRef};

const KEY: &str = "key";
const VALUE: &str = "value";
const PARTITION: &str = "partition";
/// What the names of columns begin with that hold headers.
const HEADER: &str = "header.";
/// The most bytes that the lengths of a header take.
const HEADER_LENGTHS: usize = 10;
/// Rows of a staged file that are in memory as records at once.
const READ_ROWS: usize = 1024;

/// Writes rows as records into staged files.
pub struct RecordWriter {
    topic: String,
    /// Writes values, and the id of their schema; of JSON there is none.
    avro: Option<(RefCell<AvroEncoder>, Option<u32>)>,
    key: Vec<usize>,
    headers: Vec<usize>,
    tombstone: Option<usize>,
    /// The columns of values.
    values: Vec<usize>,
    needs_key: bool,
    max_bytes: usize,
    /// What headers take beside their values.
    header_bytes: usize,
    schema: SchemaRef,
    staged: SchemaRef,
    pub(super) files: TableWriter,
}

impl RecordWriter {
    /// A writer of rows with this schema. Errors name the option at fault and what to write instead.
    pub fn new(options: &TopicOptions, schema: &SchemaRef) -> Result<Self, EncodeError> {
        check_columns(schema)?;
        let find = |key: &'static str, name: &String| {
            let all = || listed(schema.fields().iter().map(|field| field.name().as_str()));
            let missing = || EncodeError::option(key, format!("there is no column `{name}`: there are {}", all()));
            schema.index_of(name).map_err(|_| missing())
        };
        let key = options.key.iter().map(|name| find("key", name)).collect::<Result<Vec<_>, _>>()?;
        let headers = options.headers.values().map(|name| find("headers", name)).collect::<Result<Vec<_>, _>>()?;
        let tombstone = options.tombstone.as_ref().map(|name| find("tombstone", name)).transpose()?;
        if let Some(column) = tombstone.map(|index| schema.field(index))
            && column.data_type() != &DataType::Boolean
        {
            let message = format!("the column `{}` must be boolean: true where the key is gone", column.name());
            return Err(EncodeError::option("tombstone", message));
        }
        let why_a_key = match (tombstone, options.is_compacted()) {
            (Some(_), _) => Some("a tombstone says that a key is gone"),
            (None, true) => Some("a compacted topic keeps the newest record of each key"),
            (None, false) => None,
        };
        if let (Some(why), true) = (why_a_key, key.is_empty()) {
            return Err(EncodeError::option("key", format!("{why}: name the columns of the key, key = [\"id\"]")));
        }
        let values: Vec<usize> = (0..schema.fields().len()).filter(|index| Some(*index) != tombstone).collect();
        if values.is_empty() {
            return Err(EncodeError::option("tombstone", "there is no other column, so there is nothing to write"));
        }
        let avro = match options.format {
            RecordFormat::Json => None,
            RecordFormat::Avro => {
                let columns = schema.project(&values)?;
                let encoder = AvroEncoder::new(&record_name(&options.topic), None, &columns)?;
                Some((RefCell::new(encoder), options.schema_id))
            }
        };
        let mut fields = vec![Field::new(KEY, DataType::Binary, true), Field::new(VALUE, DataType::Binary, true)];
        fields.extend(options.headers.keys().map(|name| Field::new(format!("{HEADER}{name}"), DataType::Binary, true)));
        let staged = Arc::new(Schema::new(fields));
        let files = TableWriter::new(&TableOptions::new("records", Format::Parquet), &staged)?;
        Ok(Self {
            topic: options.topic.clone(),
            avro,
            key,
            headers,
            tombstone,
            values,
            needs_key: why_a_key.is_some(),
            max_bytes: options.max_record_bytes,
            header_bytes: options.headers.keys().map(|name| name.len() + HEADER_LENGTHS).sum(),
            schema: schema.clone(),
            staged,
            files,
        })
    }

    /// The schema of the values, to be registered; `None` if they aren't Avro.
    pub fn avro_schema(&self) -> Option<String> {
        self.avro.as_ref().map(|(encoder, _)| encoder.borrow().schema_json().to_owned())
    }

    /// The columns of values.
    pub fn value_schema(&self) -> SchemaRef {
        Arc::new(Schema::new(self.values.iter().map(|index| self.schema.fields()[*index].clone()).collect::<Vec<_>>()))
    }

    /// The first row of a batch that can't be a record of this topic. Costs next to nothing where no row is large.
    pub fn check(&self, batch: &RecordBatch) -> Result<(), Rejection> {
        if let (true, [column]) = (self.needs_key, &self.key[..])
            && let Some(row) = (0..batch.num_rows()).find(|row| batch.column(*column).is_null(*row))
        {
            let (name, topic) = (self.schema.field(*column).name(), &self.topic);
            let reason = format!("`{name}` is null, and topic {topic} takes no record without a key");
            return Err(Rejection { row: row as u32, reason });
        }
        if batch.columns().iter().map(longest).sum::<usize>() * 3 + self.header_bytes <= self.max_bytes {
            return Ok(());
        }
        let records = match self.records(batch) {
            Ok(records) => records,
            Err(error) => return Err(Rejection { row: 0, reason: error.to_string() }),
        };
        let length = |row: usize| {
            let values = records.columns().iter().map(|column| column.as_binary::<i32>().value(row).len());
            values.sum::<usize>() + self.header_bytes
        };
        let found =
            (0..batch.num_rows()).map(|row| (row, length(row))).find(|(_, bytes): &(_, usize)| *bytes > self.max_bytes);
        found.map_or(Ok(()), |(row, bytes)| {
            let (most, topic) = (self.max_bytes, &self.topic);
            let reason = format!("a record of {bytes} bytes is too large for topic {topic}, which takes {most}");
            Err(Rejection { row: row as u32, reason })
        })
    }

    /// Writes a batch that passed [`RecordWriter::check`].
    pub fn write(&mut self, batch: &RecordBatch, out: &mut Vec<Output>) -> Result<(), EncodeError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        if matches!(self.avro, Some((_, None))) {
            return Err(EncodeError::option("format", "the schema of the values isn't registered"));
        }
        let records = self.records(batch)?;
        self.files.write(&records, out)
    }

    /// Closes the open file. See [`TableWriter::finish`].
    pub fn finish(&mut self, metadata: &[(String, String)], out: &mut Vec<Output>) -> Result<(), EncodeError> {
        self.files.finish(metadata, out)
    }

    fn records(&self, batch: &RecordBatch) -> Result<RecordBatch, EncodeError> {
        let gone = self.tombstone.map(|index| batch.column(index).as_boolean());
        let is_there = |row: usize| gone.is_none_or(|gone| gone.is_null(row) || !gone.value(row));
        let there = NullBuffer::from_iter((0..batch.num_rows()).map(is_there));
        let mut columns: Vec<ArrayRef> = vec![self.keys(batch)?, Arc::new(self.values(batch, there)?)];
        for index in &self.headers {
            columns.push(plain(batch.column(*index))?);
        }
        Ok(RecordBatch::try_new(self.staged.clone(), columns)?)
    }

    fn keys(&self, batch: &RecordBatch) -> Result<ArrayRef, EncodeError> {
        match &self.key[..] {
            [] => Ok(arrow::array::new_null_array(&DataType::Binary, batch.num_rows())),
            [one] => plain(batch.column(*one)),
            several => Ok(Arc::new(objects(&batch.project(several)?, None)?)),
        }
    }

    fn values(&self, batch: &RecordBatch, there: NullBuffer) -> Result<BinaryArray, EncodeError> {
        let columns = batch.project(&self.values)?;
        let Some((encoder, id)) = &self.avro else { return objects(&columns, Some(there)) };
        // Before it is registered values are as long as they will be.
        let rows = encoder.borrow_mut().encode(&columns, id.unwrap_or_default())?;
        let values: Vec<&[u8]> =
            rows.iter().zip(&there).map(|(row, is_there)| if is_there { row } else { &[] }).collect();
        let offsets = offsets(values.iter().map(|value| value.len()).collect())?;
        Ok(BinaryArray::try_new(offsets, values.concat().into(), Some(there))?)
    }
}

/// The topic's name, as Avro takes it for a record's.
fn record_name(topic: &str) -> String {
    let sign = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let name: String = topic.chars().map(sign).collect();
    if name.starts_with(|c: char| c.is_ascii_digit()) { format!("_{name}") } else { name }
}

/// Each row as a JSON object; nothing where it isn't `there`.
fn objects(batch: &RecordBatch, there: Option<NullBuffer>) -> Result<BinaryArray, EncodeError> {
    let lines = text::json_lines(batch)?;
    let (mut bytes, mut lengths) = (Vec::with_capacity(lines.len()), Vec::with_capacity(batch.num_rows()));
    let mut start = 0;
    for (row, end) in memchr::memchr_iter(b'\n', &lines).enumerate() {
        let is_there = there.as_ref().is_none_or(|there| there.is_valid(row));
        let line = if is_there { &lines[start..end] } else { &[] };
        bytes.extend_from_slice(line);
        lengths.push(line.len());
        start = end + 1;
    }
    Ok(BinaryArray::try_new(offsets(lengths)?, bytes.into(), there)?)
}

/// Where values of these lengths begin and end. They are one column, which Arrow counts to 2 GiB.
pub(super) fn offsets(lengths: Vec<usize>) -> Result<OffsetBuffer<i32>, EncodeError> {
    OffsetBuffer::try_from_lengths(lengths).map_err(|_| EncodeError::TooLong)
}

/// A column as bytes: text and binary as they are, everything else as it is written in CSV.
fn plain(column: &ArrayRef) -> Result<ArrayRef, EncodeError> {
    let text = match column.data_type() {
        DataType::Binary => return Ok(column.clone()),
        _ => cast(&text::print(column)?, &DataType::Utf8)?,
    };
    Ok(cast(&text, &DataType::Binary)?)
}

/// The most bytes that a value of the column takes in JSON, or more; its name is taken for short.
fn longest(column: &ArrayRef) -> usize {
    fn widest<O: OffsetSizeTrait>(offsets: &OffsetBuffer<O>) -> usize {
        offsets.windows(2).map(|pair| (pair[1] - pair[0]).as_usize()).max().unwrap_or_default()
    }
    // A control character takes six signs.
    64 + match column.data_type() {
        DataType::Utf8 => 6 * widest(column.as_string::<i32>().offsets()),
        DataType::Binary => 2 * widest(column.as_binary::<i32>().offsets()),
        _ => 64,
    }
}

/// The columns of a staged file whose records have one header and a partition of their own.
pub fn placed_schema(header: &str) -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new(PARTITION, DataType::Int32, false),
        Field::new(KEY, DataType::Binary, true),
        Field::new(VALUE, DataType::Binary, true),
        Field::new(format!("{HEADER}{header}"), DataType::Binary, true),
    ]))
}

/// Records that are made already, without keys: partition, value, and the value of their one header.
pub fn placed_records(header: &str, records: &[(i32, Vec<u8>, Vec<u8>)]) -> Result<RecordBatch, EncodeError> {
    let values: BinaryArray = records.iter().map(|(_, value, _)| Some(value)).collect();
    let headers: BinaryArray = records.iter().map(|(_, _, header)| Some(header)).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from_iter_values(records.iter().map(|(partition, ..)| *partition))),
        arrow::array::new_null_array(&DataType::Binary, records.len()),
        Arc::new(values),
        Arc::new(headers),
    ];
    Ok(RecordBatch::try_new(placed_schema(header), columns)?)
}

/// Some records of a staged file, in order.
#[derive(Debug, Clone)]
pub struct Records {
    /// Their partitions; `None`: by their keys.
    pub partitions: Option<Int32Array>,
    /// Their keys.
    pub keys: BinaryArray,
    /// Their values; null is a tombstone.
    pub values: BinaryArray,
    /// Names and values of their headers; a null is none.
    pub headers: Vec<(String, BinaryArray)>,
}

/// The records of a staged file.
pub struct StagedRecords(ParquetRecordBatchReader);

impl StagedRecords {
    /// Reads the file's footer.
    pub fn open(file: Bytes) -> Result<Self, EncodeError> {
        Ok(Self(ParquetRecordBatchReaderBuilder::try_new(file)?.with_batch_size(READ_ROWS).build()?))
    }
}

impl Iterator for StagedRecords {
    type Item = Result<Records, EncodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = match self.0.next()? {
            Ok(batch) => batch,
            Err(error) => return Some(Err(error.into())),
        };
        let column = |name: &str| batch.column_by_name(name).and_then(|column| column.as_binary_opt::<i32>()).cloned();
        let (Some(keys), Some(values)) = (column(KEY), column(VALUE)) else {
            return Some(Err(EncodeError::option("format", "a staged file without keys and values")));
        };
        let headers = batch.schema_ref().fields().iter().filter_map(|field| {
            let name = field.name().strip_prefix(HEADER)?;
            Some((name.to_owned(), column(field.name())?))
        });
        let headers = headers.collect();
        let partitions = batch.column_by_name(PARTITION).and_then(|column| column.as_primitive_opt()).cloned();
        Some(Ok(Records { partitions, keys, values, headers }))
    }
}
