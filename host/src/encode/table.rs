//! Batches of one table into files, one for each directory.

use std::collections::HashMap;

use bytes::Bytes;
use parquet::basic::Compression as Codec;
use parquet::file::properties::WriterProperties;

use super::error::{EncodeError, listed};
use super::options::{Compression, Format, TableOptions};
use super::parquet::{ParquetFile, codec, properties};
use super::split::Splitter;
use super::text::{Lines, Stream, TextFile};
use crate::batch::{RecordBatch, Rejection, Schema, SchemaRef, type_name};

/// Past this (24 MiB) the file that holds the most memory gives it back, by a row group closed early if need be.
const MEMORY_BYTES: usize = 24 << 20;

/// A sample of fewer rows says little about a column: the next file is judged anew.
const FAIR_SAMPLE_ROWS: usize = 1024;

/// Tells the files of one writer apart. Never given twice in a writer's life.
pub type FileId = u32;

/// What comes out of a writer. A file's outputs are in order; those of several files mix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// The next bytes of a file.
    Bytes {
        /// Which file.
        file: FileId,
        /// Never empty.
        bytes: Bytes,
    },
    /// The file is complete: its bytes are all that came before.
    Closed {
        /// Which file.
        file: FileId,
        /// `date=2026-01-01/station=A`, or empty for a table without partitions. Escaped: it parses as an
        /// `object_store` path and stays as it is.
        directory: String,
        /// What the file's name ends in, without the first dot.
        extension: &'static str,
        /// How many rows are in it; never 0.
        rows: u64,
    },
}

/// Writes the files of one table, for one task. After an error its open files are worthless: drop it.
pub struct TableWriter {
    schema: SchemaRef,
    splitter: Splitter,
    encoding: Encoding,
    extension: &'static str,
    max_open_files: usize,
    /// By directory.
    open: HashMap<String, OpenFile>,
    next_file: FileId,
    /// Counts writes to files, so that the one least recently written is known.
    turn: u64,
    /// For the footers of files that are closed before `finish`.
    metadata: Vec<(String, String)>,
}

struct OpenFile {
    id: FileId,
    rows: u64,
    written_at: u64,
    file: File,
}

enum File {
    Parquet(Box<ParquetFile>),
    Text(Box<TextFile>),
}

/// How new files are written.
enum Encoding {
    /// With properties found by a sample of so many rows, once there has been one.
    Parquet {
        codec: Codec,
        judged: Option<(usize, WriterProperties)>,
    },
    Text(Lines, Stream),
}

impl TableWriter {
    /// A writer of batches with this schema. Errors name the option at fault and what to write instead.
    pub fn new(options: &TableOptions, schema: &SchemaRef) -> Result<Self, EncodeError> {
        check_table(&options.table)?;
        check_columns(schema)?;
        if options.max_open_files == 0 {
            return Err(EncodeError::option("max_open_files", "`max_open_files` must be at least 1"));
        }
        Ok(Self {
            schema: schema.clone(),
            splitter: Splitter::new(&options.partition_by, schema)?,
            encoding: encoding(options)?,
            extension: options.format.extension(),
            max_open_files: options.max_open_files as usize,
            open: HashMap::new(),
            next_file: 0,
            turn: 0,
            metadata: Vec::new(),
        })
    }

    /// The first row of a batch that can't be written: a value too long for a path, a year that paths don't have.
    /// Costs next to nothing for a table without partitions. The batch has the writer's columns.
    pub fn check(&self, batch: &RecordBatch) -> Result<(), Rejection> {
        self.splitter.check(batch)
    }

    /// Writes a batch that passed [`TableWriter::check`]; bytes that are complete, and files closed to make room, come
    /// out.
    pub fn write(&mut self, batch: &RecordBatch, out: &mut Vec<Output>) -> Result<(), EncodeError> {
        self.same_columns(batch)?;
        if batch.num_rows() == 0 {
            return Ok(());
        }
        self.splitter.check(batch).map_err(EncodeError::Row)?;
        let mut chunks = Vec::new();
        let pieces = self.splitter.split(batch)?;
        for piece in pieces {
            self.turn += 1;
            if !self.open.contains_key(&piece.directory) {
                if self.open.len() >= self.max_open_files {
                    self.close_oldest(out)?;
                }
                let opened = self.open_file(batch)?;
                self.open.insert(piece.directory.clone(), opened);
            }
            let Some(open) = self.open.get_mut(&piece.directory) else { continue };
            match &mut open.file {
                File::Parquet(file) => file.write(&piece.rows, &mut chunks)?,
                File::Text(file) => file.write(&piece.rows, &mut chunks)?,
            }
            open.rows += piece.rows.num_rows() as u64;
            open.written_at = self.turn;
            emit(open.id, &mut chunks, out);
        }
        self.relieve(out)
    }

    /// What the footers of Parquet files say that are closed for want of room before [`TableWriter::finish`].
    pub fn set_metadata(&mut self, metadata: &[(String, String)]) {
        self.metadata = metadata.to_vec();
    }

    /// Closes all open files, oldest first; Parquet footers get the keys and values. The writer is then empty and can
    /// be used again.
    pub fn finish(&mut self, metadata: &[(String, String)], out: &mut Vec<Output>) -> Result<(), EncodeError> {
        let mut files: Vec<(String, OpenFile)> = self.open.drain().collect();
        files.sort_by_key(|(_, open)| open.id);
        for (directory, open) in files {
            close(directory, open, self.extension, metadata, out)?;
        }
        if let Encoding::Parquet { judged, .. } = &mut self.encoding {
            *judged = None; // columns may change their ways: the next file is judged by what is then in it
        }
        Ok(())
    }

    /// Rows in files that aren't closed.
    pub fn open_rows(&self) -> u64 {
        self.open.values().map(|open| open.rows).sum()
    }

    /// The length that the longest open file would have if it were closed now, about, in bytes.
    pub fn largest_file_bytes(&self) -> u64 {
        self.open.values().map(|open| open.file.file_bytes()).max().unwrap_or(0)
    }

    /// Memory that the open files hold, about, in bytes.
    pub fn buffered_bytes(&self) -> usize {
        self.open.values().map(|open| open.file.buffered_bytes()).sum()
    }

    /// Whether no file is open.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// The columns as they land in files: those that name directories by their value are left out.
    pub fn file_schema(&self) -> SchemaRef {
        self.splitter.file_schema().clone()
    }

    fn same_columns(&self, batch: &RecordBatch) -> Result<(), EncodeError> {
        let columns = |schema: &Schema| {
            let columns = schema.fields().iter().map(|field| format!("{} {}", field.name(), field.data_type()));
            columns.collect::<Vec<_>>().join(", ")
        };
        let same = |(one, other): (&crate::batch::Field, &crate::batch::Field)| {
            one.name() == other.name() && one.data_type() == other.data_type()
        };
        let (found, expected) = (batch.schema_ref(), &self.schema);
        let pairs = || found.fields().iter().zip(expected.fields()).map(|(one, other)| (one.as_ref(), other.as_ref()));
        match found.fields().len() == expected.fields().len() && pairs().all(same) {
            true => Ok(()),
            false => Err(EncodeError::Columns { found: columns(found), expected: columns(expected) }),
        }
    }

    fn open_file(&mut self, sample: &RecordBatch) -> Result<OpenFile, EncodeError> {
        let schema = self.splitter.file_schema();
        let file = match &mut self.encoding {
            Encoding::Text(lines, stream) => File::Text(Box::new(TextFile::new(schema, *lines, *stream)?)),
            Encoding::Parquet { codec, judged } => {
                let rows = sample.num_rows();
                let fair = judged.take().filter(|(judged_rows, _)| *judged_rows >= rows.min(FAIR_SAMPLE_ROWS));
                let (_, properties) = judged.insert(fair.unwrap_or_else(|| (rows, properties(*codec, sample))));
                File::Parquet(Box::new(ParquetFile::new(schema, properties.clone())?))
            }
        };
        let id = self.next_file;
        self.next_file += 1;
        Ok(OpenFile { id, rows: 0, written_at: 0, file })
    }

    fn close_oldest(&mut self, out: &mut Vec<Output>) -> Result<(), EncodeError> {
        let oldest = self.open.iter().min_by_key(|(_, open)| open.written_at).map(|(directory, _)| directory.clone());
        if let Some((directory, open)) = oldest.and_then(|directory| self.open.remove_entry(&directory)) {
            close(directory, open, self.extension, &self.metadata, out)?;
        }
        Ok(())
    }

    /// Brings memory below its bound, the greatest holder first.
    fn relieve(&mut self, out: &mut Vec<Output>) -> Result<(), EncodeError> {
        let mut held = self.buffered_bytes();
        if held <= MEMORY_BYTES {
            return Ok(());
        }
        let mut files: Vec<&mut OpenFile> = self.open.values_mut().collect();
        files.sort_by_key(|open| std::cmp::Reverse(open.file.relievable_bytes()));
        let mut chunks = Vec::new();
        for open in files {
            held -= open.file.relievable_bytes();
            match &mut open.file {
                File::Parquet(file) => file.relieve(&mut chunks)?,
                File::Text(file) => file.relieve(&mut chunks),
            }
            emit(open.id, &mut chunks, out);
            if held <= MEMORY_BYTES {
                break;
            }
        }
        Ok(())
    }
}

impl File {
    fn buffered_bytes(&self) -> usize {
        match self {
            Self::Parquet(file) => file.buffered_bytes(),
            Self::Text(file) => file.buffered_bytes(),
        }
    }

    fn relievable_bytes(&self) -> usize {
        match self {
            Self::Parquet(file) => file.buffered_bytes(),
            Self::Text(file) => file.waiting_bytes(),
        }
    }

    fn file_bytes(&self) -> u64 {
        match self {
            Self::Parquet(file) => file.file_bytes(),
            Self::Text(file) => file.file_bytes(),
        }
    }
}

fn emit(file: FileId, chunks: &mut Vec<Bytes>, out: &mut Vec<Output>) {
    out.extend(chunks.drain(..).map(|bytes| Output::Bytes { file, bytes }));
}

fn close(
    directory: String,
    open: OpenFile,
    extension: &'static str,
    metadata: &[(String, String)],
    out: &mut Vec<Output>,
) -> Result<(), EncodeError> {
    let mut chunks = Vec::new();
    match open.file {
        File::Parquet(file) => file.finish(metadata, &mut chunks)?,
        File::Text(file) => file.finish(&mut chunks)?,
    }
    emit(open.id, &mut chunks, out);
    out.push(Output::Closed { file: open.id, directory, extension, rows: open.rows });
    Ok(())
}

/// A table's folder is a path below the store, of directories that readers look into and don't take for partitions.
fn check_table(table: &str) -> Result<(), EncodeError> {
    let fault = |what: &str| Err(EncodeError::option("table", format!("the table `{table}` {what}")));
    // Dead letters are a table whose folder is ours.
    let mut directories = table.strip_prefix("_dead/").unwrap_or(table).split('/');
    if directories.clone().any(str::is_empty) {
        return fault("must be a folder's name, like `railway_station/passenger_flow`, without `/` at its ends");
    }
    if directories.clone().any(|directory| directory.starts_with(['.', '_'])) {
        return fault("has a folder that begins with `.` or `_`, which most readers hide: rename it");
    }
    if directories.any(|directory| directory.contains(|c: char| c.is_ascii_control() || "=\\%#?*".contains(c))) {
        return fault(
            "has a folder with one of `= \\ % # ? *` or a control character, which paths can't carry: rename it",
        );
    }
    Ok(())
}

fn check_columns(schema: &Schema) -> Result<(), EncodeError> {
    let fault = |message: String| Err(EncodeError::option("format", message));
    if schema.fields().is_empty() {
        return fault("the table has no columns, so there is nothing to write".to_owned());
    }
    for (index, field) in schema.fields().iter().enumerate() {
        if type_name(field.data_type()).is_none() {
            let types = listed(crate::batch::COLUMN_TYPES);
            return fault(format!("column `{}` is of type {}: there are {types}", field.name(), field.data_type()));
        }
        if schema.fields()[..index].iter().any(|other| other.name() == field.name()) {
            return fault(format!("there are two columns `{}`: rename one", field.name()));
        }
    }
    Ok(())
}

/// What format, compression and level come to. Fails for levels out of range and for settings that say nothing.
fn encoding(options: &TableOptions) -> Result<Encoding, EncodeError> {
    let name = options.format.name();
    let (lines, stream) = match options.format {
        Format::Parquet => {
            let compression = options.compression.unwrap_or_default();
            let level = match compression {
                Compression::Zstd => level(options, 22)?,
                _ => no_level(options, "`compression = \"zstd\"` has one")?,
            };
            return Ok(Encoding::Parquet { codec: codec(compression, level)?, judged: None });
        }
        Format::Csv => (Lines::Csv, Stream::Plain),
        Format::CsvGz => (Lines::Csv, Stream::Gzip(level(options, 9)?)),
        Format::CsvZst => (Lines::Csv, Stream::Zstd(level(options, 22)?)),
        Format::Json => (Lines::Json, Stream::Plain),
        Format::JsonGz => (Lines::Json, Stream::Gzip(level(options, 9)?)),
        Format::JsonZst => (Lines::Json, Stream::Zstd(level(options, 22)?)),
    };
    let plain = name.split('.').next().unwrap_or(name);
    if options.compression.is_some() {
        return Err(EncodeError::option(
            "compression",
            format!(
                "`compression` is for Parquet: of {plain} there are the formats `{plain}`, `{plain}.gz` and `{plain}.zst`"
            ),
        ));
    }
    if stream == Stream::Plain {
        no_level(options, &format!("`{plain}.gz` and `{plain}.zst` have one"))?;
    }
    Ok(Encoding::Text(lines, stream))
}

fn level(options: &TableOptions, highest: u32) -> Result<u32, EncodeError> {
    match options.compression_level.unwrap_or(1) {
        level if (1..=highest).contains(&level) => Ok(level),
        level => {
            Err(EncodeError::option("compression_level", format!("there is no level {level}: write 1 to {highest}")))
        }
    }
}

fn no_level(options: &TableOptions, instead: &str) -> Result<u32, EncodeError> {
    match options.compression_level {
        None => Ok(0),
        Some(_) => Err(EncodeError::option(
            "compression_level",
            format!("nothing is compressed by level here: leave it out ({instead})"),
        )),
    }
}
