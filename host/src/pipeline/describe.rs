//! What will come out of a pipeline, in words and as JSON: what `check` prints.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytesize::ByteSize;
use serde::Serialize;

use super::{Pipeline, PipelineTable};
use crate::batch::{Field, Schema, type_name};
use crate::config::{Exchange, OutputOptions, SinkOptions};
use crate::encode::{Compression, Format, Target, TargetWriter};
use crate::exchange;
use crate::plugin::MAIN;
use crate::window::{Window, WindowOptions};

/// What will come out of a pipeline.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Description {
    /// Its name.
    pub pipeline: String,
    /// The topics it reads.
    pub topics: Vec<String>,
    /// Its consumer group.
    pub group: String,
    /// The columns that decoding gives.
    pub columns: Vec<ColumnDescription>,
    /// File and SHA-256 of each plugin.
    pub plugins: Vec<(String, String)>,
    /// How rows are folded into groups, if they are.
    pub groups: Option<GroupsDescription>,
    /// The outputs.
    pub tables: Vec<TableDescription>,
}

/// How rows are folded into groups.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GroupsDescription {
    /// The columns that make a group.
    pub key: Vec<String>,
    /// The windows: `tumbling 5m of TIMESTAMP, delay 5m`; `None`: groups last for ever.
    pub window: Option<String>,
    /// Rows that are the same in these columns count once.
    pub dedup: Vec<String>,
    /// The topic in which rows of a group meet that are in several partitions; `None`: they don't.
    pub exchange: Option<String>,
    /// The columns by which they are placed there; none: all in one partition.
    pub placed_by: Vec<String>,
    /// The columns of a group's state.
    pub state: Vec<ColumnDescription>,
}

/// What becomes of an output.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TableDescription {
    /// `main`, or its name.
    pub output: String,
    /// The table's folder in the store; `None` if it is a topic, or the rows are dropped.
    pub table: Option<String>,
    /// The topic; `None` if it is a table, or the rows are dropped.
    pub topic: Option<String>,
    /// The columns of the records' keys.
    pub key: Vec<String>,
    /// The headers of the records.
    pub headers: Vec<String>,
    /// The format of files or records.
    pub format: Option<&'static str>,
    /// The compression of Parquet's pages.
    pub compression: Option<&'static str>,
    /// Hive partitions, outermost first.
    pub partition_by: Vec<String>,
    /// Time after which files are closed.
    pub every: Option<String>,
    /// Size of the largest file at which files are closed.
    pub bytes: Option<u64>,
    /// Rows at which files are closed.
    pub rows: Option<u64>,
    /// The columns as they stand in the files.
    pub columns: Vec<ColumnDescription>,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ColumnDescription {
    /// Its name.
    pub name: String,
    /// Its type, as pipelines.toml has it.
    #[serde(rename = "type")]
    pub data_type: String,
    /// Whether rows may lack a value.
    pub nullable: bool,
}

impl Pipeline {
    /// What will come out.
    pub fn describe(&self) -> Description {
        Description {
            pipeline: self.name.clone(),
            topics: self.options.topics.clone(),
            group: self.options.group.clone(),
            columns: columns(&self.input),
            plugins: self.plugins().map(|plugin| (plugin.path.display().to_string(), plugin.digest.clone())).collect(),
            groups: self.aggregate.as_ref().map(|aggregate| GroupsDescription {
                key: aggregate.window.key.clone(),
                window: window(&aggregate.window),
                dedup: aggregate.window.dedup.clone(),
                exchange: self
                    .options
                    .aggregate
                    .as_ref()
                    .filter(|options| options.exchange != Some(Exchange::None))
                    .map(|_| exchange::topic(&self.name)),
                placed_by: aggregate.window.placed_by(),
                state: columns(&aggregate.state),
            }),
            tables: self.tables.iter().map(|table| self.describe_table(table)).collect(),
        }
    }

    fn describe_table(&self, table: &PipelineTable) -> TableDescription {
        let target = table.target.as_ref();
        let (options, topic) = (target.and_then(Target::table), target.and_then(Target::topic));
        let sink = match table.output.as_str() {
            MAIN => Some(&self.options.sink),
            name => match self.options.outputs.get(name) {
                Some(OutputOptions::Sink(sink)) => Some(sink.as_ref()),
                _ => None,
            },
        };
        // A writer could be made in `open`, so one can be made now; the schema without partitions is the second best.
        let writer = target.and_then(|target| TargetWriter::new(target, &table.schema).ok());
        TableDescription {
            output: table.output.clone(),
            table: options.map(|options| options.table.clone()),
            topic: topic.map(|topic| topic.topic.clone()),
            key: topic.map(|topic| topic.key.clone()).unwrap_or_default(),
            headers: topic.map(|topic| topic.headers.keys().cloned().collect()).unwrap_or_default(),
            format: options.map(|options| options.format.name()).or(topic.map(|topic| topic.format.name())),
            compression: options.filter(|options| options.format == Format::Parquet).map(|options| {
                match options.compression.unwrap_or_default() {
                    Compression::Zstd => "zstd",
                    Compression::Snappy => "snappy",
                    Compression::None => "none",
                }
            }),
            partition_by: options.map(|options| options.partition_by.clone()).unwrap_or_default(),
            every: sink.map(|sink: &SinkOptions| humantime::format_duration(sink.every).to_string()),
            bytes: sink.map(|sink| sink.size),
            rows: sink.and_then(|sink| sink.rows),
            columns: columns(&writer.map_or_else(|| Arc::clone(&table.schema), |writer| writer.visible_schema())),
        }
    }
}

fn columns(schema: &Schema) -> Vec<ColumnDescription> {
    let describe = |field: &Arc<Field>| ColumnDescription {
        name: field.name().clone(),
        data_type: type_name(field.data_type()).map_or_else(|| field.data_type().to_string(), str::to_owned),
        nullable: field.is_nullable(),
    };
    schema.fields().iter().map(describe).collect()
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "pipeline {}", self.pipeline)?;
        writeln!(f, "  reads    {} (group {})", self.topics.join(", "), self.group)?;
        writeln!(f, "  columns  {}", list(&self.columns))?;
        for (path, digest) in &self.plugins {
            writeln!(f, "  plugin   {path} (sha256 {})", digest.get(..12).unwrap_or(digest))?;
        }
        if let Some(GroupsDescription { key, window, dedup, exchange, placed_by, state }) = &self.groups {
            let mut parts = vec![if key.is_empty() { "all rows".to_owned() } else { format!("by {}", key.join(", ")) }];
            parts.extend(window.clone());
            if !dedup.is_empty() {
                parts.push(format!("doubles dropped by {}", dedup.join(", ")));
            }
            writeln!(f, "  groups   {}\n           state: {}", parts.join("; "), list(state))?;
            if let Some(topic) = exchange {
                let by = match placed_by.is_empty() {
                    true => "all in one partition".to_owned(),
                    false => format!("by {}", placed_by.join(", ")),
                };
                writeln!(f, "           of several partitions: through {topic}, {by}")?;
            }
        }
        for table in &self.tables {
            let (verb, place) = match (&table.table, &table.topic) {
                (Some(folder), _) => ("writes", folder),
                (None, Some(topic)) => ("sends", topic),
                (None, None) => {
                    writeln!(f, "  drops    {}", table.output)?;
                    continue;
                }
            };
            writeln!(f, "  {verb:<8} {place} ({})\n           {}", how(table), list(&table.columns))?;
        }
        Ok(())
    }
}

fn window(options: &WindowOptions) -> Option<String> {
    let time = |us: i64| humantime::format_duration(Duration::from_micros(us.unsigned_abs())).to_string();
    let windows = match options.window? {
        Window::Tumbling { size_us } => format!("tumbling {}", time(size_us)),
        Window::Hopping { size_us, slide_us } => format!("hopping {} each {}", time(size_us), time(slide_us)),
        Window::Session { gap_us } => format!("sessions with a gap of {}", time(gap_us)),
    };
    let of = options.time.as_deref().map(|column| format!(" of {column}")).unwrap_or_default();
    Some(format!("{windows}{of}, delay {}", time(options.delay_us)))
}

fn list(columns: &[ColumnDescription]) -> String {
    let column = |column: &ColumnDescription| {
        format!("{} {}{}", column.name, column.data_type, if column.nullable { "" } else { " not null" })
    };
    columns.iter().map(column).collect::<Vec<_>>().join(", ")
}

/// `output late, parquet zstd, by date, closed every 60s or at 128.0 MiB`
fn how(table: &TableDescription) -> String {
    let mut parts = Vec::new();
    if table.output != MAIN {
        parts.push(format!("output {}", table.output));
    }
    let format = [table.format, table.compression.filter(|how| *how != "none")];
    parts.push(format.into_iter().flatten().collect::<Vec<_>>().join(" "));
    if !table.partition_by.is_empty() {
        parts.push(format!("by {}", table.partition_by.join(", ")));
    }
    if !table.key.is_empty() {
        parts.push(format!("key {}", table.key.join(", ")));
    }
    if !table.headers.is_empty() {
        parts.push(format!("headers {}", table.headers.join(", ")));
    }
    let size = table.bytes.map(|bytes| format!("at {}", ByteSize(bytes)));
    let rows = table.rows.map(|rows| format!("at {rows} rows"));
    let closed: Vec<String> =
        table.every.iter().map(|every| format!("every {every}")).chain(size).chain(rows).collect();
    let ends = if table.topic.is_some() { "sent" } else { "closed" };
    parts.push(format!("{ends} {}", closed.join(" or ")));
    parts.join(", ")
}
