//! One CSV or JSON lines file in the making, plain or compressed.
//!
//! Both write times as ISO 8601 in UTC and binary columns as base64. CSV writes null as an empty field, and so can't
//! tell it from empty text. JSON writes null as `null`: a reader that guesses the columns from the first lines (DuckDB,
//! Spark, BigQuery) then finds every column, also one that is mostly null. NaN and infinities are null in JSON, which
//! has no word for them.
//!
//! Measured with `benches/encode.rs`, ns and bytes a record: JSON 260 and 202 (gzip 810 and 51, zstd 520 and 28), CSV 350 and
//! 97 (gzip 730 and 44, zstd 630 and 27). Higher levels pay for gzip only: CSV at level 3 takes 1,090 ns and 30
//! bytes.

use std::io::{self, Write};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, LargeStringArray};
use arrow::buffer::OffsetBuffer;
use arrow::csv;
use arrow::datatypes::{Date32Type, TimestampMicrosecondType};
use arrow::error::ArrowError;
use arrow::json::writer::{LineDelimited, WriterBuilder};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use flate2::write::GzEncoder;

use super::chunks::Chunks;
use super::error::EncodeError;
use super::iso::{self, Timestamps};
use crate::batch::{DataType, Field, RecordBatch, Schema, SchemaRef};

/// What a gzip stream holds: 256 KiB by zlib's zconf.h, and 32 KiB of output.
const GZIP_BYTES: usize = 288 << 10;

/// What a zstd stream holds, in bytes (ZSTD_sizeof_CCtx, zstd 1.5.7).
fn zstd_bytes(level: u32) -> usize {
    match level {
        ..=1 => 1340 << 10,
        2..=3 => 3580 << 10,
        4..=9 => 15 << 20,
        _ => 90 << 20,
    }
}

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lines {
    /// Comma-separated, with a header.
    Csv,
    /// A JSON object each.
    Json,
}

/// How the file is compressed as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    /// Not at all.
    Plain,
    /// One gzip member of this level.
    Gzip(u32),
    /// One zstd frame of this level.
    Zstd(u32),
}

/// One file.
pub(super) struct TextFile {
    lines: Lines,
    /// The columns as they are printed.
    schema: SchemaRef,
    sink: Sink,
    started: bool,
}

impl TextFile {
    pub fn new(schema: &Schema, lines: Lines, stream: Stream) -> Result<Self, EncodeError> {
        Ok(Self { lines, schema: printed_schema(schema), sink: Sink::new(stream)?, started: false })
    }

    pub fn write(&mut self, batch: &RecordBatch, out: &mut Vec<Bytes>) -> Result<(), EncodeError> {
        let batch = printed(&self.schema, batch)?;
        match self.lines {
            Lines::Csv => {
                csv::WriterBuilder::new().with_header(!self.started).build(&mut self.sink).write(&batch)?;
            }
            Lines::Json => {
                write_json(&batch, &mut self.sink)?;
            }
        }
        self.started = true;
        self.sink.chunks_mut().take_complete(out);
        Ok(())
    }

    /// Lets all bytes go that are complete.
    pub fn relieve(&mut self, out: &mut Vec<Bytes>) {
        self.sink.chunks_mut().take_all(out);
    }

    pub fn finish(self, out: &mut Vec<Bytes>) -> Result<(), EncodeError> {
        self.sink.finish()?.take_all(out);
        Ok(())
    }

    /// Memory held, about.
    pub fn buffered_bytes(&self) -> usize {
        self.sink.chunks().buffered() + self.sink.context_bytes()
    }

    /// Memory that [`TextFile::relieve`] would free.
    pub fn waiting_bytes(&self) -> usize {
        self.sink.chunks().buffered()
    }

    /// The file's length if it were finished now, about: what the compressor still holds isn't counted.
    pub fn file_bytes(&self) -> u64 {
        self.sink.chunks().written()
    }
}

/// The columns as they are printed.
fn printed_schema(schema: &Schema) -> SchemaRef {
    let printed = |field: &Arc<Field>| match field.data_type() {
        DataType::Date32 | DataType::Timestamp(..) | DataType::Binary => {
            Field::new(field.name(), DataType::LargeUtf8, field.is_nullable()).into()
        }
        _ => field.clone(),
    };
    Arc::new(Schema::new(schema.fields().iter().map(printed).collect::<Vec<_>>()))
}

fn printed(schema: &SchemaRef, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let columns = batch.columns().iter().map(print).collect::<Result<Vec<_>, _>>()?;
    RecordBatch::try_new(schema.clone(), columns)
}

fn write_json(printed: &RecordBatch, out: &mut impl Write) -> Result<(), ArrowError> {
    let builder = WriterBuilder::new().with_explicit_nulls(true);
    builder.build::<_, LineDelimited>(out).write(printed)
}

/// Each row as a JSON object on a line of its own.
pub fn json_lines(batch: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
    let mut lines = Vec::new();
    write_json(&printed(&printed_schema(batch.schema_ref()), batch)?, &mut lines)?;
    Ok(lines)
}

/// The column as text, if it is of a type that Arrow prints in another way than we do.
pub(super) fn print(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    Ok(match column.data_type() {
        DataType::Date32 => {
            let days = column.as_primitive::<Date32Type>();
            texts(column, |row, out| iso::write_date(i64::from(days.value(row)), out))?
        }
        DataType::Timestamp(..) => {
            let (micros, mut timestamps) = (column.as_primitive::<TimestampMicrosecondType>(), Timestamps::default());
            texts(column, |row, out| timestamps.write(micros.value(row), out))?
        }
        DataType::Binary => {
            let bytes = column.as_binary::<i32>();
            texts(column, |row, out| BASE64_STANDARD.encode_string(bytes.value(row), out))?
        }
        _ => column.clone(),
    })
}

/// A text column with what `write` adds for each row of `column` that isn't null.
fn texts(column: &ArrayRef, mut write: impl FnMut(usize, &mut String)) -> Result<ArrayRef, ArrowError> {
    let mut text = String::new();
    let lengths = (0..column.len()).map(|row| {
        let start = text.len();
        if !column.is_null(row) {
            write(row, &mut text);
        }
        text.len() - start
    });
    let offsets = OffsetBuffer::from_lengths(lengths);
    Ok(Arc::new(LargeStringArray::try_new(offsets, text.into_bytes().into(), column.nulls().cloned())?))
}

/// Compresses what is written to it.
enum Sink {
    Plain(Chunks),
    Gzip(GzEncoder<Chunks>),
    /// With its level.
    Zstd(zstd::Encoder<'static, Chunks>, u32),
}

impl Sink {
    fn new(stream: Stream) -> io::Result<Self> {
        Ok(match stream {
            Stream::Plain => Self::Plain(Chunks::default()),
            Stream::Gzip(level) => Self::Gzip(GzEncoder::new(Chunks::default(), flate2::Compression::new(level))),
            Stream::Zstd(level) => {
                let mut encoder = zstd::Encoder::new(Chunks::default(), level as i32)?;
                // So that `zstd -t` and readers notice damage, as gzip's do.
                encoder.include_checksum(true)?;
                Self::Zstd(encoder, level)
            }
        })
    }

    fn chunks(&self) -> &Chunks {
        match self {
            Self::Plain(chunks) => chunks,
            Self::Gzip(encoder) => encoder.get_ref(),
            Self::Zstd(encoder, _) => encoder.get_ref(),
        }
    }

    fn chunks_mut(&mut self) -> &mut Chunks {
        match self {
            Self::Plain(chunks) => chunks,
            Self::Gzip(encoder) => encoder.get_mut(),
            Self::Zstd(encoder, _) => encoder.get_mut(),
        }
    }

    fn context_bytes(&self) -> usize {
        match self {
            Self::Plain(_) => 0,
            Self::Gzip(_) => GZIP_BYTES,
            Self::Zstd(_, level) => zstd_bytes(*level),
        }
    }

    fn finish(self) -> io::Result<Chunks> {
        match self {
            Self::Plain(chunks) => Ok(chunks),
            Self::Gzip(encoder) => encoder.finish(),
            Self::Zstd(encoder, _) => encoder.finish(),
        }
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(chunks) => chunks.write(bytes),
            Self::Gzip(encoder) => encoder.write(bytes),
            Self::Zstd(encoder, _) => encoder.write(bytes),
        }
    }

    /// Does nothing: Arrow's CSV writer flushes after each batch, and a compressor's flush costs size.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
