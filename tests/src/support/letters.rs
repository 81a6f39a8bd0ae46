//! Dead letters as anyone can read them back: every field of the record as it was, and why it is there.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

use super::reader::Reader;
use super::store::Place;

/// One dead letter, without topic and place in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// Milliseconds since 1970-01-01T00:00:00Z, as ISO-8601.
    pub timestamp: String,
    /// `decode`, `transform` or `sink`.
    pub stage: String,
    /// Why.
    pub reason: String,
    /// Digest of the plugin, if it was one.
    pub plugin: Option<String>,
    /// The key's bytes.
    pub key: Option<Vec<u8>>,
    /// The value's bytes.
    pub value: Option<Vec<u8>>,
    /// Names and values of the headers.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

/// The dead letters of a pipeline by partition and offset, all of them from this topic. `format` is `json` or `parquet`.
/// Panics if one is there twice.
pub fn dead_letters(place: &Place, pipeline: &str, format: &str, topic: &str) -> BTreeMap<(i64, i64), Letter> {
    let folder = format!("_dead/{pipeline}");
    let rows = match format {
        "json" => json_lines(place, &folder),
        _ => parquet_rows(place, &folder),
    };
    let mut letters = BTreeMap::new();
    for row in rows {
        assert_eq!(row["topic"], topic);
        let place = (row["partition"].as_i64().unwrap(), row["offset"].as_i64().unwrap());
        assert!(letters.insert(place, letter(&row)).is_none(), "a dead letter twice: {row}");
    }
    letters
}

fn letter(row: &Value) -> Letter {
    let text = |name: &str| row[name].as_str().unwrap_or_else(|| panic!("no {name} in {row}")).to_owned();
    // What Parquet holds as text comes as text, and JSON lines hold it as text, too.
    let headers: Vec<Value> = serde_json::from_str(&text("headers")).unwrap();
    Letter {
        timestamp: text("timestamp"),
        stage: text("stage"),
        reason: text("reason"),
        plugin: row["plugin"].as_str().map(str::to_owned),
        key: bytes(row, "key"),
        value: bytes(row, "value"),
        headers: headers
            .iter()
            .map(|header| (header["key"].as_str().unwrap().to_owned(), bytes(header, "value")))
            .collect(),
    }
}

/// Text, or base64 of what is none; never both.
fn bytes(row: &Value, name: &str) -> Option<Vec<u8>> {
    let base64 = row[format!("{name}_base64")].as_str();
    let base64 = base64.map(|text| BASE64_STANDARD.decode(text).unwrap());
    let text = row[name].as_str().map(|text| text.as_bytes().to_vec());
    assert!(base64.is_none() || text.is_none(), "both {name} and {name}_base64 in {row}");
    base64.or(text)
}

fn json_lines(place: &Place, folder: &str) -> Vec<Value> {
    let files = place.list(folder);
    let texts = files.keys().map(|path| String::from_utf8(place.read(path).unwrap()).unwrap());
    let lines: String = texts.collect();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn parquet_rows(place: &Place, folder: &str) -> Vec<Value> {
    let mut table = Reader::open(place, folder, "parquet");
    let fields = [
        ("topic", "topic"),
        ("partition", "partition"),
        ("offset", "\"offset\""),
        ("timestamp", "strftime(timezone('UTC', timestamp), '%Y-%m-%dT%H:%M:%S.%gZ')"),
        ("stage", "stage"),
        ("reason", "reason"),
        ("plugin", "plugin"),
        ("key_base64", "to_base64(key)"),
        ("value_base64", "to_base64(value)"),
        ("headers", "headers"),
    ];
    let columns: Vec<&str> = fields.iter().map(|(_, sql)| *sql).collect();
    let rows = table.rows(&format!("select {} from t", columns.join(", ")));
    let object = |row: Vec<Value>| fields.iter().map(|(name, _)| (*name).to_owned()).zip(row).collect();
    rows.into_iter().map(|row| Value::Object(object(row))).collect()
}
