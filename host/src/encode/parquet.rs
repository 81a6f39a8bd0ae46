//! One Parquet file in the making.

use std::collections::HashSet;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Date32Type, Float32Type, Float64Type, Int32Type, Int64Type};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression as Codec, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use super::chunks::Chunks;
use super::error::EncodeError;
use super::options::Compression;
use crate::batch::{RecordBatch, SchemaRef};

/// A row group is closed when it holds so much memory (16 MiB).
const ROW_GROUP_BYTES: usize = 16 << 20;

/// Rows handed to the library at once, so that the row group's size is looked at often enough.
const STEP_ROWS: usize = 4096;

/// Rows after which a page is full, and its column's compressor comes alive.
const PAGE_ROWS: usize = 20_000;

/// A column whose sample shrinks by less than this share isn't compressed.
const LEAST_SAVING: f64 = 0.1;

/// Of this many rows a column is judged.
const SAMPLE_ROWS: usize = 4096;

/// How pages are compressed; the level is one that zstd has.
pub(super) fn codec(compression: Compression, level: u32) -> Result<Codec, EncodeError> {
    Ok(match compression {
        Compression::Zstd => Codec::ZSTD(ZstdLevel::try_new(level as i32)?),
        Compression::Snappy => Codec::SNAPPY,
        Compression::None => Codec::UNCOMPRESSED,
    })
}

/// What the zstd compressor of one column holds while a row group is open, in bytes (ZSTD_sizeof_CCtx, zstd 1.5.7).
fn zstd_bytes(level: i32) -> usize {
    match level {
        ..=1 => 570 << 10,
        2..=3 => 1300 << 10,
        4..=9 => 11 << 20,
        _ => 18 << 20,
    }
}

/// How to write rows like these.
///
/// Measured with `benches/encode.rs` (the reference job's seven columns, 18 bytes a record, one core): the library's
/// defaults with zstd-1 take 140 to 153 ns a record, 110 when columns of unique values have no dictionary, and 95 when
/// floats that hardly shrink are left uncompressed too (for 4 % more bytes). The rest differs by 5 ns at most, so what
/// every reader knows decides: plain and dictionary encoding, since delta encodings save 0.5 bytes a record and byte
/// stream split 1.2, but older readers fail on them; statistics and index by page, which let readers skip. Row groups
/// of 64 Ki rows cost 5 % more than of a million, so memory can be kept low. The library makes a compressor for each column of
/// each row group and uses it for all pages.
pub(super) fn properties(codec: Codec, sample: &RecordBatch) -> WriterProperties {
    let mut builder = WriterProperties::builder()
        .set_compression(codec)
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_max_row_group_row_count(None);
    let sample = sample.slice(0, sample.num_rows().min(SAMPLE_ROWS));
    for (field, column) in sample.schema_ref().fields().iter().zip(sample.columns()) {
        let path = ColumnPath::new(vec![field.name().clone()]);
        let dictionary = is_worth_a_dictionary(column);
        if !dictionary && !is_worth_compressing(column) {
            builder = builder.set_column_compression(path.clone(), Codec::UNCOMPRESSED);
        }
        builder = builder.set_column_dictionary_enabled(path, dictionary);
    }
    builder.build()
}

/// Whether values repeat so much that numbering them pays. Text is long, so a few repetitions do: at nine new values of
/// ten in 4,096 there are some 20,000 different ones. Of numbers every other must repeat; timestamps go on and on.
fn is_worth_a_dictionary(column: &dyn Array) -> bool {
    macro_rules! distinct {
        ($column:expr, $bits:expr) => {
            $column.iter().flatten().map($bits).collect::<HashSet<_>>().len()
        };
    }
    let (distinct, share_tenths) = match column.data_type() {
        DataType::Utf8 => (distinct!(column.as_string::<i32>(), str::as_bytes), 9),
        DataType::Binary => (distinct!(column.as_binary::<i32>(), |bytes| bytes), 9),
        DataType::Int32 => (distinct!(column.as_primitive::<Int32Type>(), |number| number), 5),
        DataType::Int64 => (distinct!(column.as_primitive::<Int64Type>(), |number| number), 5),
        DataType::Date32 => (distinct!(column.as_primitive::<Date32Type>(), |days| days), 5),
        DataType::Float32 => (distinct!(column.as_primitive::<Float32Type>(), f32::to_bits), 5),
        DataType::Float64 => (distinct!(column.as_primitive::<Float64Type>(), f64::to_bits), 5),
        _ => return false,
    };
    distinct * 10 <= (column.len() - column.null_count()) * share_tenths
}

/// Whether a column of floats or long integers shrinks noticeably: random ones only cost the compressor's time.
fn is_worth_compressing(column: &dyn Array) -> bool {
    if !matches!(column.data_type(), DataType::Float32 | DataType::Float64 | DataType::Int64) {
        return true;
    }
    let data = column.to_data();
    let width = data.data_type().primitive_width().unwrap_or(1);
    let bytes = &data.buffers()[0].as_slice()[data.offset() * width..][..data.len() * width];
    // Less than a page says little, and is soon compressed.
    if bytes.len() < 8 << 10 || column.null_count() > 0 {
        return true;
    }
    zstd::bulk::compress(bytes, 1).is_ok_and(|small| small.len() as f64 <= bytes.len() as f64 * (1.0 - LEAST_SAVING))
}

/// One file.
pub(super) struct ParquetFile {
    writer: ArrowWriter<Chunks>,
    /// What the compressors hold that the library doesn't count.
    context_bytes: usize,
}

impl ParquetFile {
    pub fn new(schema: &SchemaRef, properties: WriterProperties) -> Result<Self, EncodeError> {
        let context_bytes = schema.fields().iter().map(|field| {
            match properties.compression(&ColumnPath::new(vec![field.name().clone()])) {
                Codec::ZSTD(level) => zstd_bytes(level.compression_level()),
                _ => 0,
            }
        });
        let context_bytes = context_bytes.sum();
        let writer = ArrowWriter::try_new(Chunks::default(), schema.clone(), Some(properties))?;
        Ok(Self { writer, context_bytes })
    }

    pub fn write(&mut self, batch: &RecordBatch, out: &mut Vec<Bytes>) -> Result<(), EncodeError> {
        for start in (0..batch.num_rows()).step_by(STEP_ROWS) {
            self.writer.write(&batch.slice(start, STEP_ROWS.min(batch.num_rows() - start)))?;
            if self.writer.memory_size() >= ROW_GROUP_BYTES {
                self.writer.flush()?;
                self.writer.inner_mut().take_complete(out);
            }
        }
        Ok(())
    }

    /// Closes the row group, however small, so that its memory is free.
    pub fn relieve(&mut self, out: &mut Vec<Bytes>) -> Result<(), EncodeError> {
        self.writer.flush()?;
        self.writer.inner_mut().take_all(out);
        Ok(())
    }

    pub fn finish(mut self, metadata: &[(String, String)], out: &mut Vec<Bytes>) -> Result<(), EncodeError> {
        for (key, value) in metadata {
            self.writer.append_key_value_metadata(KeyValue::new(key.clone(), value.clone()));
        }
        self.writer.into_inner()?.take_all(out);
        Ok(())
    }

    /// Memory held, about.
    pub fn buffered_bytes(&self) -> usize {
        let contexts = if self.writer.in_progress_rows() >= PAGE_ROWS { self.context_bytes } else { 0 };
        self.writer.memory_size() + self.writer.inner().buffered() + contexts
    }

    /// The file's length if it were finished now, about.
    pub fn file_bytes(&self) -> u64 {
        (self.writer.bytes_written() + self.writer.in_progress_size()) as u64
    }
}
