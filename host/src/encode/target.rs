//! Where the rows of an output go: files of a table, or records of a topic.

use super::error::EncodeError;
use super::options::{Format, TableOptions};
use super::records::RecordWriter;
use super::table::{Output, TableWriter};
use super::topic::{RecordFormat, TopicOptions};
use crate::batch::{RecordBatch, Rejection, SchemaRef};

/// Where the rows of an output go.
#[derive(Debug, Clone, PartialEq)]
pub enum Target {
    /// Into the files of a table.
    Table(TableOptions),
    /// To a topic.
    Topic(TopicOptions),
    /// To the topic of this name, as records that are made already: see [`super::placed_records`].
    Placed(String),
}

impl Target {
    /// The table, if it is one.
    pub fn table(&self) -> Option<&TableOptions> {
        match self {
            Self::Table(table) => Some(table),
            Self::Topic(_) | Self::Placed(_) => None,
        }
    }

    /// The table's folder, or the topic.
    pub fn name(&self) -> &str {
        match self {
            Self::Table(options) => &options.table,
            Self::Topic(options) => &options.topic,
            Self::Placed(topic) => topic,
        }
    }

    /// Whether its values are Avro.
    pub fn is_avro(&self) -> bool {
        self.topic().is_some_and(|topic| topic.format == RecordFormat::Avro)
    }

    /// The topic, if it is one.
    pub fn topic(&self) -> Option<&TopicOptions> {
        match self {
            Self::Table(_) | Self::Placed(_) => None,
            Self::Topic(topic) => Some(topic),
        }
    }
}

/// The rows of a batch, in their order.
#[derive(Debug, Default)]
pub struct Sifted {
    /// Those that can be written.
    pub fit: Vec<RecordBatch>,
    /// Those that can't, each by itself, and why.
    pub unfit: Vec<(RecordBatch, String)>,
}

/// Writes rows for their target, for one task. See [`TableWriter`]: a topic's records go into files, too, which are sent
/// from the stage.
pub enum TargetWriter {
    /// Files as readers see them; or of records as they are.
    Table(Box<TableWriter>),
    /// Files of records.
    Topic(Box<RecordWriter>),
}

impl TargetWriter {
    /// A writer of batches with this schema. Errors name the option at fault and what to write instead.
    pub fn new(target: &Target, schema: &SchemaRef) -> Result<Self, EncodeError> {
        Ok(match target {
            Target::Table(options) => Self::Table(Box::new(TableWriter::new(options, schema)?)),
            Target::Topic(options) => Self::Topic(Box::new(RecordWriter::new(options, schema)?)),
            Target::Placed(_) => {
                Self::Table(Box::new(TableWriter::new(&TableOptions::new("records", Format::Parquet), schema)?))
            }
        })
    }

    /// The first row of a batch that can't be written.
    pub fn check(&self, batch: &RecordBatch) -> Result<(), Rejection> {
        match self {
            Self::Table(writer) => writer.check(batch),
            Self::Topic(writer) => writer.check(batch),
        }
    }

    /// Tells the rows that can be written from those that can't, by halving: [`TargetWriter::check`] names one row at most.
    pub fn sift(&self, batch: &RecordBatch) -> Sifted {
        let mut sifted = Sifted::default();
        // The first rows are last.
        let mut parts = vec![batch.clone()];
        while let Some(part) = parts.pop() {
            let rows = part.num_rows();
            match self.check(&part) {
                Ok(()) => sifted.fit.push(part),
                Err(Rejection { reason, .. }) if rows < 2 => sifted.unfit.push((part, reason)),
                Err(_) => parts.extend([part.slice(rows / 2, rows - rows / 2), part.slice(0, rows / 2)]),
            }
        }
        sifted
    }

    /// Writes a batch that passed [`TargetWriter::check`].
    pub fn write(&mut self, batch: &RecordBatch, out: &mut Vec<Output>) -> Result<(), EncodeError> {
        match self {
            Self::Table(writer) => writer.write(batch, out),
            Self::Topic(writer) => writer.write(batch, out),
        }
    }

    /// What the footers of Parquet files say that are closed before [`TargetWriter::finish`].
    pub fn set_metadata(&mut self, metadata: &[(String, String)]) {
        self.files_mut().set_metadata(metadata);
    }

    /// Closes all open files.
    pub fn finish(&mut self, metadata: &[(String, String)], out: &mut Vec<Output>) -> Result<(), EncodeError> {
        self.files_mut().finish(metadata, out)
    }

    /// Rows in files that aren't closed.
    pub fn open_rows(&self) -> u64 {
        self.files().open_rows()
    }

    /// The length of the longest open file if it were closed now, about, in bytes.
    pub fn largest_file_bytes(&self) -> u64 {
        self.files().largest_file_bytes()
    }

    /// The columns that readers see: of files, or of records' values.
    pub fn visible_schema(&self) -> SchemaRef {
        match self {
            Self::Table(writer) => writer.file_schema(),
            Self::Topic(writer) => writer.value_schema(),
        }
    }

    fn files(&self) -> &TableWriter {
        match self {
            Self::Table(writer) => writer,
            Self::Topic(writer) => &writer.files,
        }
    }

    fn files_mut(&mut self) -> &mut TableWriter {
        match self {
            Self::Table(writer) => writer,
            Self::Topic(writer) => &mut writer.files,
        }
    }
}
