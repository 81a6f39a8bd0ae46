//! Batches of one table into files, one for each directory.

use std::collections::HashMap;

use bytes::Bytes;

use super::error::EncodeError;
use super::options::TableOptions;
use super::parquet::{ParquetFile, properties};
use super::plan::{Encoding, check_columns, check_table, encoding};
use super::split::Splitter;
use super::text::TextFile;
use crate::batch::{Field, RecordBatch, Rejection, Schema, SchemaRef};

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
        let same = |(one, other): (&Field, &Field)| one.name() == other.name() && one.data_type() == other.data_type();
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
                let fair = judged.take().filter(|judged| judged.0 >= rows.min(FAIR_SAMPLE_ROWS));
                let judged = judged.insert(fair.unwrap_or_else(|| Box::new((rows, properties(*codec, sample)))));
                File::Parquet(Box::new(ParquetFile::new(schema, judged.1.clone())?))
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
