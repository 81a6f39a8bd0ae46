//! `sink` and each of `outputs`: a table of files or a topic, and when an epoch ends.
//!
//! Both kinds are typed as one table of keys ([`Keys`]): which of them it is, and so which keys it may have, is told by
//! `table` or `topic`.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use indexmap::IndexMap;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};

use super::options::Properties;
use super::units;
use crate::encode::{Compression, Format, RecordFormat, TableOptions, Target, TopicOptions};

/// Size of the largest file at which the files of a table are closed.
const TABLE_SIZE: u64 = 128 << 20;
/// The same of a topic's staged file, which is in memory while it is sent.
const TOPIC_SIZE: u64 = 16 << 20;

/// Where rows end up, and when an epoch ends. Whichever of `every`, `size` and `rows` comes first commits all that the
/// task has open.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Keys")]
pub struct SinkOptions {
    /// Where they go.
    pub target: Target,
    /// Time after which files are closed.
    pub every: Duration,
    /// Size of the largest file at which files are closed.
    pub size: u64,
    /// Rows at which files are closed.
    pub rows: Option<u64>,
}

impl JsonSchema for SinkOptions {
    fn schema_name() -> Cow<'static, str> {
        "SinkOptions".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Keys::json_schema(generator)
    }
}

/// Where rows end up, and when an epoch ends: in the files of a table, or as records of a topic. Whichever of `every`,
/// `size` and `rows` comes first commits all that the task has open.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Keys {
    /// The table's folder in the store, for example `railway_station/passenger_flow`; or a `topic` in its place.
    table: Option<String>,
    /// The topic that rows are sent to, in place of a table. It is created if it isn't there.
    topic: Option<String>,
    /// How rows are written: `parquet` unless said otherwise, `json` to a topic.
    format: Option<AnyFormat>,
    /// How the pages of a Parquet file are compressed: zstd unless said otherwise. Text formats are compressed as a
    /// whole and say so in `format`.
    compression: Option<Compression>,
    /// Level of zstd (1 to 19) or gzip (1 to 9), for formats that use them. 1, the fastest and the one that takes the
    /// least memory, unless said otherwise.
    compression_level: Option<u32>,
    /// Hive partitions, outermost first: a column (utf8, int32, int64, boolean or date), or `year(column)`,
    /// `month(column)`, `day(column)`, `hour(column)`, `date(column)` of a timestamp or date column, in UTC. Where the
    /// table has one timestamp column its name can be left out: `date`.
    partition_by: Option<Vec<String>>,
    /// How many files a task keeps open at once, at least 1; 64 unless said otherwise. Past that, the file least recently
    /// written is closed before another is opened: partitions that take turns make more and smaller files, never more
    /// memory.
    max_open_files: Option<u32>,
    /// The columns that make a record's key: of one its plain text, of several a JSON object.
    key: Option<Columns>,
    /// The columns that go along as headers, by the header's name; or an array of columns that give it their names.
    headers: Option<Headers>,
    /// A boolean column: where it is true the record has no value, which says that its key is gone.
    tombstone: Option<String>,
    /// Partitions that the topic is created with; the cluster's default unless given.
    #[serde(default, deserialize_with = "units::count")]
    #[schemars(range(min = 1))]
    partitions: Option<i32>,
    /// Replicas that the topic is created with; the cluster's default unless given.
    #[serde(default, deserialize_with = "units::count")]
    #[schemars(range(min = 1))]
    replication: Option<i32>,
    /// What else the topic is created with, as Kafka names it: `cleanup.policy`, `retention.ms` ...
    config: Option<Properties>,
    /// Time after which files are closed: `"180s"`, `"5m"`. 60 s unless said otherwise.
    #[serde(default = "default_every", deserialize_with = "units::every")]
    #[schemars(with = "String", default = "default_every_text")]
    every: Duration,
    /// Size of the largest file at which files are closed: `"128MiB"`, or a number of bytes. 128 MiB unless said otherwise,
    /// 16 MiB to a topic.
    #[serde(default, deserialize_with = "units::some_size")]
    #[schemars(schema_with = "size_schema")]
    size: Option<u64>,
    /// Rows at which files are closed. No limit unless given.
    #[serde(default, deserialize_with = "units::rows")]
    #[schemars(range(min = 1))]
    rows: Option<u64>,
}

fn default_every() -> Duration {
    Duration::from_secs(60)
}

fn default_every_text() -> String {
    "60s".to_owned()
}

fn size_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": ["string", "integer"] })
}

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
enum AnyFormat {
    /// Apache Parquet.
    #[serde(rename = "parquet")]
    Parquet,
    /// Comma-separated values with a header line; null is empty.
    #[serde(rename = "csv")]
    Csv,
    /// CSV in one gzip stream.
    #[serde(rename = "csv.gz")]
    CsvGz,
    /// CSV in one zstd frame.
    #[serde(rename = "csv.zst")]
    CsvZst,
    /// One JSON object a line, or a record.
    #[serde(rename = "json")]
    Json,
    /// JSON lines in one gzip stream.
    #[serde(rename = "json.gz")]
    JsonGz,
    /// JSON lines in one zstd frame.
    #[serde(rename = "json.zst")]
    JsonZst,
    /// Records in Avro, by a schema registry.
    #[serde(rename = "avro")]
    Avro,
}

impl AnyFormat {
    fn of_table(self) -> Option<Format> {
        Some(match self {
            Self::Parquet => Format::Parquet,
            Self::Csv => Format::Csv,
            Self::CsvGz => Format::CsvGz,
            Self::CsvZst => Format::CsvZst,
            Self::Json => Format::Json,
            Self::JsonGz => Format::JsonGz,
            Self::JsonZst => Format::JsonZst,
            Self::Avro => return None,
        })
    }

    fn of_topic(self) -> Option<RecordFormat> {
        match self {
            Self::Json => Some(RecordFormat::Json),
            Self::Avro => Some(RecordFormat::Avro),
            _ => None,
        }
    }
}

impl TryFrom<Keys> for SinkOptions {
    type Error = String;

    fn try_from(keys: Keys) -> Result<Self, String> {
        let (every, size, rows) = (keys.every, keys.size, keys.rows);
        let (target, size) = match (&keys.table, &keys.topic) {
            (Some(_), Some(_)) => return Err("a sink has a `table` or a `topic`, not both".to_owned()),
            // As serde says it, so that it is explained as such.
            (None, None) => return Err("missing field `table`".to_owned()),
            (Some(table), None) => (Target::Table(keys.of_table(table)?), size.unwrap_or(TABLE_SIZE)),
            (None, Some(topic)) => (Target::Topic(keys.of_topic(topic)?), size.unwrap_or(TOPIC_SIZE)),
        };
        Ok(Self { target, every, size, rows })
    }
}

impl Keys {
    fn of_table(&self, table: &str) -> Result<TableOptions, String> {
        let of_topics = [
            ("key", self.key.is_some()),
            ("headers", self.headers.is_some()),
            ("tombstone", self.tombstone.is_some()),
            ("partitions", self.partitions.is_some()),
            ("replication", self.replication.is_some()),
            ("config", self.config.is_some()),
        ];
        if let Some((key, _)) = of_topics.iter().find(|(_, given)| *given) {
            return Err(format!("`{key}` is for a `topic`, and this sink is a table"));
        }
        let Some(format) = self.format.map_or(Some(Format::default()), AnyFormat::of_table) else {
            return Err("`avro` is for a `topic`, and this sink is a table".to_owned());
        };
        let defaults = TableOptions::new(table, format);
        Ok(TableOptions {
            compression: self.compression,
            compression_level: self.compression_level,
            partition_by: self.partition_by.clone().unwrap_or_default(),
            max_open_files: self.max_open_files.unwrap_or(defaults.max_open_files),
            ..defaults
        })
    }

    fn of_topic(&self, topic: &str) -> Result<TopicOptions, String> {
        let of_tables = [
            ("compression", self.compression.is_some()),
            ("compression_level", self.compression_level.is_some()),
            ("partition_by", self.partition_by.is_some()),
            ("max_open_files", self.max_open_files.is_some()),
        ];
        if let Some((key, _)) = of_tables.iter().find(|(_, given)| *given) {
            return Err(format!("`{key}` is for a `table`, and this sink is a topic"));
        }
        let Some(format) = self.format.map_or(Some(RecordFormat::default()), AnyFormat::of_topic) else {
            return Err("records of a topic are written as `json` or `avro`".to_owned());
        };
        Ok(TopicOptions {
            format,
            key: self.key.as_ref().map(|Columns(names)| names.clone()).unwrap_or_default(),
            headers: self.headers.as_ref().map(|Headers(names)| names.clone()).unwrap_or_default(),
            tombstone: self.tombstone.clone(),
            partitions: self.partitions,
            replication: self.replication,
            config: self.config.as_ref().map(|Properties(config)| config.clone()).unwrap_or_default(),
            ..TopicOptions::new(topic)
        })
    }
}

/// One column, or several.
#[derive(Debug)]
struct Columns(Vec<String>);

impl<'de> Deserialize<'de> for Columns {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMore;
        impl<'de> Visitor<'de> for OneOrMore {
            type Value = Columns;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an array of columns")
            }
            fn visit_str<E>(self, name: &str) -> Result<Columns, E> {
                Ok(Columns(vec![name.to_owned()]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut names: A) -> Result<Columns, A::Error> {
                let mut all: Vec<String> = Vec::new();
                while let Some(name) = names.next_element()? {
                    if all.contains(&name) {
                        return Err(de::Error::custom(format_args!("the column `{name}` is named twice")));
                    }
                    all.push(name);
                }
                Ok(Columns(all))
            }
        }
        deserializer.deserialize_any(OneOrMore)
    }
}

impl JsonSchema for Columns {
    fn schema_name() -> Cow<'static, str> {
        "Columns".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["array", "string"], "items": { "type": "string" } })
    }
}

/// Names of headers and the columns that they take their values from.
#[derive(Debug)]
struct Headers(IndexMap<String, String>);

impl<'de> Deserialize<'de> for Headers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ListOrMap;
        impl<'de> Visitor<'de> for ListOrMap {
            type Value = Headers;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an array of columns, or a table of headers like { source = \"station\" }")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut names: A) -> Result<Headers, A::Error> {
                let mut all = IndexMap::new();
                while let Some(name) = names.next_element::<String>()? {
                    all.insert(name.clone(), name);
                }
                Ok(Headers(all))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Headers, A::Error> {
                Ok(Headers(IndexMap::deserialize(MapAccessDeserializer::new(map))?))
            }
        }
        deserializer.deserialize_any(ListOrMap)
    }
}

impl JsonSchema for Headers {
    fn schema_name() -> Cow<'static, str> {
        "Headers".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["array", "object"],
            "items": { "type": "string" },
            "additionalProperties": { "type": "string" }
        })
    }
}

/// Where the rows of a named output end up.
#[derive(Debug, Clone, PartialEq)]
pub enum OutputOptions {
    /// Nowhere: `"drop"`.
    Drop,
    /// In a sink of their own.
    Sink(Box<SinkOptions>),
}

impl<'de> Deserialize<'de> for OutputOptions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct DropOrSink;
        impl<'de> Visitor<'de> for DropOrSink {
            type Value = OutputOptions;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a sink like { table = \"late\" }, or \"drop\"")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<OutputOptions, E> {
                match text {
                    "drop" => Ok(OutputOptions::Drop),
                    _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<OutputOptions, A::Error> {
                let sink = SinkOptions::deserialize(MapAccessDeserializer::new(map))?;
                Ok(OutputOptions::Sink(Box::new(sink)))
            }
        }
        deserializer.deserialize_any(DropOrSink)
    }
}

impl JsonSchema for OutputOptions {
    fn schema_name() -> Cow<'static, str> {
        "OutputOptions".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let sink = generator.subschema_for::<SinkOptions>();
        json_schema!({ "anyOf": [{ "type": "string", "const": "drop" }, sink] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<SinkOptions, String> {
        toml::from_str(text).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn a_table_by_default() {
        let sink = parse("table = 'a/b'\nevery = '180s'").unwrap();
        let target = Target::Table(TableOptions::new("a/b", Format::Parquet));
        assert_eq!(sink, SinkOptions { target, every: Duration::from_secs(180), size: 128 << 20, rows: None });
    }

    #[test]
    fn a_table_with_every_key() {
        let sink = parse(
            "table = 'a'\nformat = 'json.zst'\ncompression = 'snappy'\ncompression_level = 3\npartition_by = ['date']\n\
             max_open_files = 2\nsize = '1KiB'\nrows = 5",
        );
        let table = TableOptions {
            compression: Some(Compression::Snappy),
            compression_level: Some(3),
            partition_by: vec!["date".to_owned()],
            max_open_files: 2,
            ..TableOptions::new("a", Format::JsonZst)
        };
        let target = Target::Table(table);
        assert_eq!(sink, Ok(SinkOptions { target, every: Duration::from_secs(60), size: 1024, rows: Some(5) }));
    }

    #[test]
    fn a_topic_by_default_and_with_every_key() {
        let sink = parse("topic = 't'").unwrap();
        assert_eq!((sink.target.topic(), sink.size), (Some(&TopicOptions::new("t")), 16 << 20));
        let text = "topic = 't'\nformat = 'json'\nkey = ['a', 'b']\nheaders = { from = 'c' }\ntombstone = 'd'\n\
                    partitions = 3\nreplication = 1\nconfig = { 'cleanup.policy' = 'compact', 'retention.ms' = 5 }\nsize = 7";
        let pairs = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let topic = TopicOptions {
            key: vec!["a".to_owned(), "b".to_owned()],
            headers: pairs(&[("from", "c")]),
            tombstone: Some("d".to_owned()),
            partitions: Some(3),
            replication: Some(1),
            config: pairs(&[("cleanup.policy", "compact"), ("retention.ms", "5")]),
            ..TopicOptions::new("t")
        };
        let sink = parse(text).unwrap();
        assert_eq!((sink.target.topic(), sink.size), (Some(&topic), 7));
        assert!(topic.is_compacted());
        let short = parse("topic = 't'\nkey = 'a'\nheaders = ['c']").unwrap();
        let short = short.target.topic().unwrap();
        assert_eq!((&short.key[..], &short.headers["c"]), (&["a".to_owned()][..], &"c".to_owned()));
    }

    #[test]
    fn keys_of_the_other_kind_are_refused() {
        for (text, expected) in [
            ("table = 'a'\ntopic = 't'", "a sink has a `table` or a `topic`, not both"),
            ("every = '5s'", "missing field `table`"),
            ("table = 'a'\nkey = ['b']", "`key` is for a `topic`, and this sink is a table"),
            ("topic = 'a'\npartition_by = ['b']", "`partition_by` is for a `table`, and this sink is a topic"),
            ("topic = 'a'\nformat = 'csv'", "records of a topic are written as `json` or `avro`"),
            ("table = 'a'\nformat = 'avro'", "`avro` is for a `topic`, and this sink is a table"),
            ("topic = 'a'\npartitions = 0", "must be at least 1; leave the key out for the cluster's default"),
            ("topic = 'a'\nkey = ['b', 'b']", "the column `b` is named twice"),
        ] {
            assert_eq!(parse(text).unwrap_err(), expected, "{text}");
        }
        assert!(parse("table = 'a'\nformat = 'orc'").unwrap_err().contains("unknown variant `orc`"));
        assert!(parse("table = 'a'\ntabel = 'b'").unwrap_err().contains("unknown field `tabel`"));
    }

    #[test]
    fn every_format_of_a_table_by_its_name() {
        use Format::*;
        for format in [Parquet, Csv, CsvGz, CsvZst, Json, JsonGz, JsonZst] {
            let sink = parse(&format!("table = 'a'\nformat = '{}'", format.name())).unwrap();
            assert_eq!(sink.target.table().unwrap().format, format);
        }
    }
}
