//! Records that can't be decoded, among good ones: those are in the table once, these in the dead letters byte for byte.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use support::flow::{CATCH_UP, EPOCH_MS, iso};
use support::host::Config;
use support::kafka::{Cluster, Record};
use support::letters::{Letter, dead_letters};
use support::reader::Reader;
use support::servers::unique;
use support::store::Place;
use support::wait::seconds;

const PARTITIONS: usize = 2;

/// What becomes of a value.
#[derive(Debug, Clone)]
enum Fate {
    /// A row with this id.
    Row(String),
    /// Nothing: there is no value.
    Skipped,
    /// A dead letter, for a reason that has these words in it.
    Dead(&'static str),
}

/// A value, and what becomes of it.
type Sent = (Option<Vec<u8>>, Fate);

fn dead(value: impl AsRef<[u8]>, reason: &'static str) -> Sent {
    (Some(value.as_ref().to_vec()), Fate::Dead(reason))
}

/// Every third value is one of `bad`, the others are what `good` makes of an id.
fn mixed(count: usize, bad: &[Sent], good: impl Fn(&str) -> String) -> Vec<Sent> {
    let value = |i: usize| match i % 3 {
        1 => bad[i / 3 % bad.len()].clone(),
        _ => (Some(good(&format!("r{i}")).into_bytes()), Fate::Row(format!("r{i}"))),
    };
    (0..count).map(value).collect()
}

/// Keys and headers of any bytes, null and empty ones among them.
type Header = (&'static str, Option<Vec<u8>>);

fn key(i: usize) -> Option<Vec<u8>> {
    match i % 5 {
        0 => None,
        1 => Some(Vec::new()),
        2 => Some(format!("key {i}").into_bytes()),
        3 => Some((0..=255).collect()),
        _ => Some(b"\xff\xfe half a surrogate: \xed\xa0\x80".to_vec()),
    }
}

fn headers(i: usize) -> Vec<Header> {
    match i % 4 {
        0 => vec![],
        1 => vec![("trace", Some(format!("{i} \"quoted\"\n").into_bytes()))],
        2 => vec![("again", None), ("again", Some(Vec::new())), ("", Some(b"of no name".to_vec()))],
        _ => vec![("Größe", Some((0..=255).rev().collect())), ("nul", Some(vec![0]))],
    }
}

/// Sends the values, runs a pipeline of this decoder, and expects each value's fate, in `rows` offsets of all.
fn expect_fates(place: &Place, dead_letters_as: &str, decode: &str, columns: &str, values: &[Sent]) {
    let cluster = Cluster::shared();
    let topic = unique("bad_input");
    cluster.create_topic(&topic, PARTITIONS as i32, &[("max.message.bytes", "12000000")]);
    let producer = cluster.clone().with("message.max.bytes", "12000000").producer();
    for (i, (value, _)) in values.iter().enumerate() {
        let (key, headers) = (key(i), headers(i));
        let headers: Vec<(&str, Option<&[u8]>)> =
            headers.iter().map(|(name, value)| (*name, value.as_deref())).collect();
        let record = Record {
            partition: Some((i % PARTITIONS) as i32),
            key: key.as_deref(),
            value: value.as_deref(),
            headers: &headers,
            timestamp_ms: Some(timestamp_ms(i) as i64),
        };
        producer.send(&topic, &record);
    }
    producer.flush();

    let pipeline = format!(
        "[pipeline.{topic}]\ntopic = \"{topic}\"\ndecode = {decode}\n\
         columns = {{ id = {{ type = \"utf8\", nullable = false }}, {columns}, _partition = \"int32\", _offset = \"int64\", _key = \"binary\" }}\n\
         dead_letters.format = \"{dead_letters_as}\"\nsink = {{ table = \"tables/rows\", every = \"1s\" }}\n"
    );
    let config = Config::new(&cluster, place, &pipeline);
    config.catch_up(CATCH_UP);

    expect_rows(place, values);
    expect_letters(&dead_letters(place, &topic, dead_letters_as, &topic), values);
    let count = |fate: fn(&Fate) -> bool| values.iter().filter(|(_, found)| fate(found)).count();
    let skipped = count(|fate| matches!(fate, Fate::Skipped));
    let dead = count(|fate| matches!(fate, Fate::Dead(_)));
    assert!(skipped > 0 && dead > 0);
    assert_eq!(skipped_by_log(place, &topic), skipped as u64);
    let verified = config.host(&["verify", "--json"]).ends_within(seconds(120)).expect_code(0);
    let report: Value = serde_json::from_str(&verified.output).unwrap();
    assert_eq!(report["verified"], true, "{report}");
    assert_eq!(report["report"]["offsets"], values.len(), "{report}");
    assert_eq!(report["report"]["dead_letters"], dead, "{report}");
    assert_eq!(report["report"]["rows"], values.len() - skipped, "{report}");
}

/// The offset of value `i` in its partition.
fn offset(i: usize) -> (i64, i64) {
    ((i % PARTITIONS) as i64, (i / PARTITIONS) as i64)
}

/// Milliseconds that aren't whole seconds: those have more than one way to be written.
fn timestamp_ms(i: usize) -> u64 {
    EPOCH_MS + i as u64 * 1000 + 123
}

fn expect_rows(place: &Place, values: &[Sent]) {
    let mut table = Reader::open(place, "tables/rows", "parquet");
    let found = table.rows("select _partition, _offset, id, hex(_key) from t order by 2, 1");
    let expected: Vec<Vec<Value>> = values
        .iter()
        .enumerate()
        .filter_map(|(i, (_, fate))| match fate {
            Fate::Row(id) => Some((i, id)),
            Fate::Skipped | Fate::Dead(_) => None,
        })
        .map(|(i, id)| {
            let (partition, offset) = offset(i);
            let key = key(i).map(|key| key.iter().map(|byte| format!("{byte:02X}")).collect::<String>());
            vec![json!(partition), json!(offset), json!(id), json!(key)]
        })
        .collect();
    assert_eq!(found.len(), expected.len(), "rows");
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found, expected);
    }
}

fn expect_letters(found: &BTreeMap<(i64, i64), Letter>, values: &[Sent]) {
    let mut found = found.clone();
    for (i, (value, fate)) in values.iter().enumerate() {
        let Fate::Dead(words) = fate else { continue };
        let letter = found.remove(&offset(i)).unwrap_or_else(|| panic!("value {i} ({words}) is no dead letter"));
        assert!(letter.reason.contains(words), "value {i}: {:?} does not say {words:?}", letter.reason);
        // Not by `assert_eq`: ten megabytes would be printed.
        assert!(letter.value == *value, "the value of {i} ({words}) is not what was sent");
        let headers = headers(i).into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let expected = Letter {
            timestamp: iso(timestamp_ms(i)),
            stage: "decode".to_owned(),
            reason: letter.reason.clone(),
            plugin: None,
            key: key(i),
            value: None,
            headers,
        };
        assert_eq!(Letter { value: None, ..letter }, expected, "value {i}");
    }
    assert!(found.is_empty(), "dead letters that nobody sent at {:?}", found.keys());
}

/// What the COMMITs of the pipeline say they skipped.
fn skipped_by_log(place: &Place, pipeline: &str) -> u64 {
    let files = place.list(&format!("_rillgate/{pipeline}"));
    let entries = files.keys().filter(|path| path.contains("/log/"));
    let entries = entries.map(|path| serde_json::from_slice::<Value>(&place.read(path).unwrap()).unwrap());
    entries.filter_map(|entry| entry["skipped"].as_u64()).sum()
}

const JSON_COLUMNS: &str = r#"n = "int64", ratio = "float64", at = "timestamp", ok = "boolean", note = "utf8""#;

fn bad_json() -> Vec<Sent> {
    vec![
        dead(r#"{"id":"x","n":"many"}"#, "column n: expected int64, found \"many\""),
        dead(r#"{"id":"x","n":1.5}"#, "column n: expected int64, found 1.5"),
        dead(r#"{"id":"x","n":9223372036854775808}"#, "column n: expected int64"),
        dead(r#"{"id":"x","ratio":[1]}"#, "column ratio: expected float64"),
        dead(r#"{"id":"x","ratio":1e999}"#, "column ratio: expected float64"),
        dead(r#"{"id":"x","at":"yesterday"}"#, "column at: expected timestamp"),
        dead(r#"{"id":"x","ok":"perhaps"}"#, "column ok: expected boolean"),
        dead(r#"{"n":1}"#, "column id: missing or null"),
        dead(r#"{"id":null}"#, "column id: missing or null"),
        (None, Fate::Skipped),
        dead("[1,2]", "expected a JSON object, found an array"),
        dead("null", "expected a JSON object, found null"),
        dead(" \n ", "expected a JSON object, found white space"),
        dead("id,n\n1,2", "expected a JSON object, found no JSON"),
        dead(r#"{"id":"x"#, "not JSON: a string without an end"),
        dead(r#"{"id":"x"} {"id":"y"}"#, "not JSON: expected nothing after the object"),
        dead(r#"{"id":"x","n":01}"#, "not JSON: a malformed number"),
        dead(b"{\"id\":\"\xff\xfe\"}", "not UTF-8: byte 0xff at 7"),
        (Some(Vec::new()), Fate::Skipped),
        dead(b"\0\0\0\0\x05\x0aOsaka", "expected a JSON object, found no JSON"),
        dead(format!("{{\"id\":{}", "[".repeat(200_000)), "nested deeper than 128 levels"),
    ]
}

fn json_values() -> Vec<Sent> {
    let good = |id: &str| format!(r#"{{"id":"{id}","n":1,"ratio":0.5,"at":"2026-01-01T00:00:00Z","ok":true}}"#);
    mixed(3000, &bad_json(), good)
}

#[test]
fn bad_json_becomes_dead_letters_as_json_lines_on_s3() {
    expect_fates(&Place::s3(), "json", "{ format = \"json\" }", JSON_COLUMNS, &json_values());
}

#[test]
fn bad_json_becomes_dead_letters_as_parquet_on_files() {
    expect_fates(&Place::local(), "parquet", "{ format = \"json\" }", JSON_COLUMNS, &json_values());
}

#[test]
fn bad_csv_becomes_dead_letters() {
    let bad = [
        dead("x,1", "expected 3 fields, found 2"),
        dead("x,1,2026-01-01 00:00:00,y", "expected 3 fields, found 4"),
        (Some(Vec::new()), Fate::Skipped),
        dead("x,one,2026-01-01 00:00:00", "column n: expected int64, found \"one\""),
        dead("x,1,01.01.2026", "column at: expected timestamp (%Y-%m-%d %H:%M:%S)"),
        dead("x,1,2026-01-01 00:00:00\ny,2,2026-01-01 00:00:00", "several lines in one message"),
        dead("\"x,1,2026-01-01 00:00:00", "expected 3 fields, found 1"),
        dead(b"\xc3(,1,2026-01-01 00:00:00", "not UTF-8: byte 0xc3 at 0"),
        (None, Fate::Skipped),
        dead("\n", "expected 3 fields, found 0"),
    ];
    let columns = r#"n = "int64", at = { type = "timestamp", format = "%Y-%m-%d %H:%M:%S" }"#;
    let values = mixed(600, &bad, |id| format!("\"{id}\",7,2026-01-01 00:00:00\r\n"));
    for (place, dead_letters_as) in [(Place::local(), "json"), (Place::local(), "parquet")] {
        expect_fates(&place, dead_letters_as, "{ format = \"csv\" }", columns, &values);
    }
}

#[test]
fn values_of_ten_megabytes_are_rows_and_dead_letters_like_others() {
    let long = "0123456789".repeat(1_000_000);
    let big = |id: &str| format!(r#"{{"id":"{id}","note":"{long}"}}"#);
    let broken = [
        dead(big("broken").trim_end_matches("\"}"), "not JSON: a string without an end"),
        (None, Fate::Skipped),
        dead([big("bytes").as_bytes(), b"\xff"].concat(), "not UTF-8"),
    ];
    for dead_letters_as in ["json", "parquet"] {
        let place = Place::local();
        let values = mixed(9, &broken, |id| if id == "r3" { big(id) } else { format!(r#"{{"id":"{id}"}}"#) });
        expect_fates(&place, dead_letters_as, "{ format = \"json\" }", JSON_COLUMNS, &values);
        let mut table = Reader::open(&place, "tables/rows", "parquet");
        assert_eq!(table.count("select length(note) from t where id = 'r3'"), 10_000_000);
    }
}
