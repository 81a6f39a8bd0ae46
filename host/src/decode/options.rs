//! What pipelines.toml can say about decoding: the format of the values, and the columns to make of them.

use std::borrow::Cow;
use std::fmt;

use indexmap::IndexMap;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, MapAccess, Visitor};

use super::kafka::KafkaField;
use crate::avro::SchemaText;
use crate::batch::COLUMN_TYPES;

/// How the values of a topic's messages are written. A null or empty value is skipped and counted, in every format.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(tag = "format", rename_all = "lowercase", deny_unknown_fields)]
pub enum DecodeOptions {
    /// One JSON object per message. Fields that no column reads are ignored, missing ones are null.
    Json {},
    /// One CSV record per message, without a header: the columns are its fields, in order.
    Csv(CsvOptions),
    /// Avro in Confluent's wire format, by the schemas of `[schema_registry]`. Without columns that read the values those of
    /// the newest schema of the subject `<topic>-value` are taken.
    Avro(AvroOptions),
    /// The bytes as they are, in the columns `key` and `value`.
    Raw {},
}

/// What `from` begins with where a column reads a field of the key: `_key.station_id`.
pub(super) const KEY_FIELDS: &str = "_key.";

impl DecodeOptions {
    /// How Avro is read; `None` for the other formats.
    pub fn avro(&self) -> Option<&AvroOptions> {
        match self {
            Self::Avro(avro) => Some(avro),
            _ => None,
        }
    }

    /// Whether the columns of values are to come from the registry: none of these reads them.
    pub fn wants_newest_schema(&self, columns: &IndexMap<String, ColumnOptions>) -> bool {
        self.avro().is_some_and(|avro| !columns.iter().any(|(name, column)| avro.reads_value(name, column)))
    }
}

/// How Avro is read.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AvroOptions {
    /// How the keys are written that columns read: `"avro"`. Unless given, `_key` is their bytes.
    pub key: Option<KeyFormat>,
    /// The newest schemas, where columns come from them: asked for before the pipeline is opened.
    #[serde(skip)]
    pub newest: Vec<NewestSchemas>,
}

/// How keys are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum KeyFormat {
    /// As values are.
    Avro,
}

/// The newest schemas of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewestSchemas {
    /// The topic.
    pub topic: String,
    /// Of its values.
    pub value: SchemaText,
    /// Of its keys, where columns read them.
    pub key: Option<SchemaText>,
}

impl AvroOptions {
    /// Whether columns of keys are to come from the registry, where those of values do.
    pub fn wants_newest_key(&self, columns: &IndexMap<String, ColumnOptions>) -> bool {
        self.key.is_some() && !columns.iter().any(|(name, column)| self.reads_key(name, column))
    }

    /// Whether a column reads the key, or a field of it, as Avro.
    pub(super) fn reads_key(&self, name: &str, column: &ColumnOptions) -> bool {
        self.key.is_some()
            && match &column.from {
                Some(from) => from.starts_with(KEY_FIELDS),
                None => name == "_key",
            }
    }

    fn reads_value(&self, name: &str, column: &ColumnOptions) -> bool {
        let is_kafkas = column.from.is_none() && KafkaField::named(name).is_some();
        !is_kafkas && !self.reads_key(name, column)
    }
}

/// How a CSV record is written.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CsvOptions {
    /// What stands between two fields: one ASCII character.
    pub delimiter: char,
    /// What stands around a field that holds a delimiter; doubled inside of it. One ASCII character.
    pub quote: char,
    /// Whether an empty field of a `utf8` or `binary` column is null. In the other columns it always is.
    pub empty_as_null: bool,
    /// A field of exactly this text is null, in every column. None unless given.
    pub null: Option<String>,
}

impl Default for CsvOptions {
    fn default() -> Self {
        Self { delimiter: ',', quote: '"', empty_as_null: false, null: None }
    }
}

/// A column: the name of its type, or a table with more to say.
///
/// Columns named `_key _topic _partition _offset _timestamp _headers` (and not given `from`) are Kafka's own fields.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnOptions {
    /// The type's name, one of [`COLUMN_TYPES`].
    pub data_type: String,
    /// For a `timestamp`: how it is written. Absent = ISO-8601 text or epoch milliseconds, whichever comes; else
    /// `iso8601`, `epoch_s`, `epoch_ms`, `epoch_us` or a strftime pattern such as `%d.%m.%Y %H:%M`.
    pub format: Option<String>,
    /// For a `timestamp` without an offset of its own: where it was local time, `Europe/Paris` or `+02:00`. Absent = UTC.
    pub timezone: Option<String>,
    /// The field of the JSON object that the column reads. Absent = the one of the column's name.
    pub from: Option<String>,
    /// Whether the column may be null. If not, a message without it is a dead letter.
    pub nullable: bool,
}

impl ColumnOptions {
    /// A nullable column of this type that reads the field of its own name.
    pub fn new(data_type: &str) -> Self {
        Self { data_type: data_type.to_owned(), format: None, timezone: None, from: None, nullable: true }
    }
}

/// The table form of a column. `ColumnOptions` itself also takes the bare name of a type.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ColumnTable {
    /// The column's type.
    #[serde(rename = "type")]
    #[schemars(extend("enum" = COLUMN_TYPES))]
    data_type: String,
    /// How a timestamp is written: `iso8601`, `epoch_s`, `epoch_ms`, `epoch_us`, or a strftime pattern.
    /// Absent = ISO-8601 text or epoch milliseconds, whichever comes.
    format: Option<String>,
    /// Where a timestamp without an offset was local time: `Europe/Paris` or `+02:00`. Absent = UTC.
    timezone: Option<String>,
    /// The field of the JSON object to read. Absent = the one of the column's name.
    from: Option<String>,
    /// Whether the column may be null. If not, a message without it is a dead letter.
    #[serde(default = "yes")]
    nullable: bool,
}

fn yes() -> bool {
    true
}

impl<'de> Deserialize<'de> for ColumnOptions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // By hand, since an untagged enum answers every mistake with "did not match any variant".
        struct NameOrTable;
        impl<'de> Visitor<'de> for NameOrTable {
            type Value = ColumnOptions;
            fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
                formatter.write_str("a column: \"utf8\" or { type = \"utf8\", ... }")
            }
            fn visit_str<E: de::Error>(self, name: &str) -> Result<ColumnOptions, E> {
                Ok(ColumnOptions::new(name))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ColumnOptions, A::Error> {
                let ColumnTable { data_type, format, timezone, from, nullable } =
                    Deserialize::deserialize(MapAccessDeserializer::new(map))?;
                Ok(ColumnOptions { data_type, format, timezone, from, nullable })
            }
        }
        deserializer.deserialize_any(NameOrTable)
    }
}

impl JsonSchema for ColumnOptions {
    fn schema_name() -> Cow<'static, str> {
        "ColumnOptions".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let table = generator.subschema_for::<ColumnTable>();
        json_schema!({
            "description": "The name of a type, or a table with more to say about the column.",
            "anyOf": [{ "type": "string", "enum": COLUMN_TYPES }, table],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Config {
        decode: Option<DecodeOptions>,
        column: Option<ColumnOptions>,
    }

    fn decode(toml: &str) -> Result<DecodeOptions, String> {
        toml::from_str::<Config>(&format!("decode = {toml}")).map(|c| c.decode.unwrap()).map_err(|e| e.to_string())
    }

    fn column(toml: &str) -> Result<ColumnOptions, String> {
        toml::from_str::<Config>(&format!("column = {toml}")).map(|c| c.column.unwrap()).map_err(|e| e.to_string())
    }

    #[test]
    fn formats_with_their_defaults() {
        assert_eq!(decode("{ format = 'json' }").unwrap(), DecodeOptions::Json {});
        assert_eq!(decode("{ format = 'raw' }").unwrap(), DecodeOptions::Raw {});
        assert_eq!(decode("{ format = 'avro' }").unwrap(), DecodeOptions::Avro(AvroOptions::default()));
        let keyed = AvroOptions { key: Some(KeyFormat::Avro), ..AvroOptions::default() };
        assert_eq!(decode("{ format = 'avro', key = 'avro' }").unwrap(), DecodeOptions::Avro(keyed));
        assert_eq!(decode("{ format = 'csv' }").unwrap(), DecodeOptions::Csv(CsvOptions::default()));
        let csv = decode("{ format = 'csv', delimiter = ';', quote = \"'\", empty_as_null = true, null = 'NA' }");
        let options = CsvOptions { delimiter: ';', quote: '\'', empty_as_null: true, null: Some("NA".into()) };
        assert_eq!(csv.unwrap(), DecodeOptions::Csv(options));
    }

    #[test]
    fn columns_by_name_or_table() {
        assert_eq!(column("'utf8'").unwrap(), ColumnOptions::new("utf8"));
        assert_eq!(column("{ type = 'utf8' }").unwrap(), ColumnOptions::new("utf8"));
        let full = "{ type = 'timestamp', format = '%Y', timezone = '+02:00', from = 'time', nullable = false }";
        let expected = ColumnOptions {
            data_type: "timestamp".into(),
            format: Some("%Y".into()),
            timezone: Some("+02:00".into()),
            from: Some("time".into()),
            nullable: false,
        };
        assert_eq!(column(full).unwrap(), expected);
    }

    #[test]
    fn mistakes_are_named() {
        for (text, expected) in [
            ("{ format = 'json', delimiter = ',' }", "unknown field `delimiter`"),
            ("{ format = 'raw', x = 1 }", "unknown field `x`"),
            ("{ format = 'avro', newest = [] }", "unknown field `newest`"),
            ("{ format = 'avro', key = 'json' }", "unknown variant `json`"),
            ("{ format = 'csv', header = true }", "unknown field `header`"),
            ("{ format = 'csv', delimiter = '||' }", "expected a character"),
            ("{ format = 'xml' }", "unknown variant `xml`"),
            ("{}", "missing field `format`"),
        ] {
            let error = decode(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
        for (text, expected) in [
            ("{ type = 'utf8', nulls = true }", "unknown field `nulls`"),
            ("{ format = '%Y' }", "missing field `type`"),
            ("3", "a column"),
        ] {
            let error = column(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn the_schema_lists_the_types() {
        let schema = serde_json::to_string(&schemars::schema_for!(ColumnOptions)).unwrap();
        assert_eq!(schema.matches(r#""enum":["boolean","int32""#).count(), 2, "{schema}");
    }
}
