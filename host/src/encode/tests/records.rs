//! Rows as records for a topic: what is staged is what was meant, and rows that Kafka would refuse are found before.

use arrow::array::{Array, BinaryArray, BooleanArray, Float64Array, Int64Array, StringArray};

use super::*;
use crate::encode::{RecordWriter, Sifted, StagedRecords, Target, TargetWriter, TopicOptions};

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// A record as text: key, value, and headers.
type Record = (Option<String>, Option<String>, Vec<(String, String)>);

/// The records that a batch becomes, after a way through the stage.
fn written(options: &TopicOptions, batch: &RecordBatch) -> Vec<Record> {
    let mut writer = RecordWriter::new(options, &batch.schema()).unwrap();
    writer.check(batch).unwrap();
    let mut out = Vec::new();
    writer.write(batch, &mut out).unwrap();
    writer.finish(&[], &mut out).unwrap();
    let mut files = assemble(out);
    assert_eq!((files.len(), files[0].rows), (1, batch.num_rows() as u64));
    let text = |column: &BinaryArray, row: usize| {
        column.is_valid(row).then(|| String::from_utf8(column.value(row).to_vec()).unwrap())
    };
    let mut found = Vec::new();
    for records in StagedRecords::open(files.remove(0).bytes.into()).unwrap() {
        let records = records.unwrap();
        for row in 0..records.keys.len() {
            let headers = records.headers.iter().filter_map(|(name, column)| Some((name.clone(), text(column, row)?)));
            found.push((text(&records.keys, row), text(&records.values, row), headers.collect()));
        }
    }
    found
}

fn rows() -> RecordBatch {
    batch(vec![
        ("id", Arc::new(Int64Array::from(vec![Some(1), Some(-2), None]))),
        ("name", Arc::new(StringArray::from(vec![Some("line\n\"one\""), Some(""), None]))),
        ("at", timestamps(vec![Some(1_767_225_600_500_000), None, Some(0)])),
        ("raw", Arc::new(BinaryArray::from_opt_vec(vec![Some(b"ab".as_slice()), None, Some(b"")]))),
        ("share", Arc::new(Float64Array::from(vec![Some(0.5), Some(2.0), Some(f64::NAN)]))),
        ("gone", Arc::new(BooleanArray::from(vec![Some(false), None, Some(true)]))),
    ])
}

#[test]
fn values_are_json_objects_and_records_without_a_key_have_none() {
    let found = written(&TopicOptions::new("t"), &rows());
    let values: Vec<_> = found.iter().map(|(_, value, _)| value.clone().unwrap()).collect();
    assert_eq!(
        values,
        [
            r#"{"id":1,"name":"line\n\"one\"","at":"2026-01-01T00:00:00.500Z","raw":"YWI=","share":0.5,"gone":false}"#,
            r#"{"id":-2,"name":"","at":null,"raw":null,"share":2.0,"gone":null}"#,
            r#"{"id":null,"name":null,"at":"1970-01-01T00:00:00Z","raw":"","share":null,"gone":true}"#,
        ]
    );
    assert!(found.iter().all(|(key, _, headers)| key.is_none() && headers.is_empty()));
}

#[test]
fn keys_of_one_column_are_plain_and_of_several_json() {
    let keys = |columns: &[&str]| -> Vec<Option<String>> {
        let options = TopicOptions { key: names(columns), ..TopicOptions::new("t") };
        written(&options, &rows()).into_iter().map(|(key, ..)| key).collect()
    };
    let some = |keys: [Option<&str>; 3]| keys.map(|key| key.map(str::to_owned)).to_vec();
    assert_eq!(keys(&["id"]), some([Some("1"), Some("-2"), None]));
    assert_eq!(keys(&["name"]), some([Some("line\n\"one\""), Some(""), None]));
    assert_eq!(keys(&["at"]), some([Some("2026-01-01T00:00:00.500Z"), None, Some("1970-01-01T00:00:00Z")]));
    assert_eq!(keys(&["raw"]), some([Some("ab"), None, Some("")]));
    assert_eq!(keys(&["gone"]), some([Some("false"), None, Some("true")]));
    let both = [
        Some(r#"{"name":"line\n\"one\"","id":1}"#),
        Some(r#"{"name":"","id":-2}"#),
        Some(r#"{"name":null,"id":null}"#),
    ];
    assert_eq!(keys(&["name", "id"]), some(both));
}

#[test]
fn headers_are_columns_and_a_null_is_none() {
    let headers = [("id", "id"), ("from", "name")].map(|(name, column)| (name.to_owned(), column.to_owned()));
    let options = TopicOptions { headers: headers.into_iter().collect(), ..TopicOptions::new("t") };
    let found: Vec<_> = written(&options, &rows()).into_iter().map(|(_, _, headers)| headers).collect();
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        found,
        [vec![pair("id", "1"), pair("from", "line\n\"one\"")], vec![pair("id", "-2"), pair("from", "")], vec![]]
    );
}

#[test]
fn a_tombstone_has_a_key_and_no_value_and_its_column_is_not_written() {
    let options = TopicOptions { key: names(&["raw"]), tombstone: Some("gone".to_owned()), ..TopicOptions::new("t") };
    let whole = rows();
    let rows = arrow::compute::concat_batches(&whole.schema(), [&whole.slice(0, 1), &whole.slice(2, 1)]).unwrap();
    let found = written(&options, &rows);
    let value = r#"{"id":1,"name":"line\n\"one\"","at":"2026-01-01T00:00:00.500Z","raw":"YWI=","share":0.5}"#;
    assert_eq!(found[0].1.as_deref(), Some(value));
    assert_eq!((found[1].0.as_deref(), &found[1].1), (Some(""), &None));
    let rejected = RecordWriter::new(&options, &whole.schema()).unwrap().check(&whole).unwrap_err();
    assert_eq!(rejected.row, 1);
    assert_eq!(rejected.reason, "`raw` is null, and topic t takes no record without a key");
}

#[test]
fn records_too_large_for_the_topic_are_found() {
    let column = |lengths: &[usize]| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(lengths.iter().map(|length| "x".repeat(*length))))
    };
    let options = TopicOptions { key: names(&["a"]), max_record_bytes: 1000, ..TopicOptions::new("t") };
    // Key and value hold the text: {"a":""} and twice the length.
    let check = |lengths: &[usize]| {
        let batch = batch(vec![("a", column(lengths))]);
        RecordWriter::new(&options, &batch.schema()).unwrap().check(&batch)
    };
    assert_eq!(check(&[10, 20]), Ok(()));
    assert_eq!(check(&[10, 496]), Ok(()));
    let rejected = check(&[10, 497, 600]).unwrap_err();
    assert_eq!(rejected.row, 1);
    assert_eq!(rejected.reason, "a record of 1002 bytes is too large for topic t, which takes 1000");
}

/// Rows that come out of groups can't be put down to a message: each that a topic doesn't take is told from the others.
#[test]
fn all_rows_that_fit_are_told_from_those_that_do_not() {
    let stations = [Some("A"), None, Some("B"), Some(&*"x".repeat(600)), None, Some("C"), Some("D")];
    let batch = batch(vec![("station", Arc::new(StringArray::from(stations.to_vec())))]);
    let names_of = |rows: &[RecordBatch]| -> Vec<Option<String>> {
        let names = rows.iter().flat_map(|rows| rows.column(0).as_string::<i32>().iter().collect::<Vec<_>>());
        names.map(|name| name.map(str::to_owned)).collect()
    };
    let mut topic = TopicOptions { key: names(&["station"]), max_record_bytes: 1000, ..TopicOptions::new("t") };
    topic.config.insert("cleanup.policy".to_owned(), "compact".to_owned());
    let table = TableOptions { partition_by: names(&["station"]), ..TableOptions::new("t", Format::Json) };
    let rest: ArrayRef = Arc::new(Int64Array::from(vec![1; 7]));
    let with_rest = super::batch(vec![("station", batch.column(0).clone()), ("n", rest)]);
    let check = |target: Target, batch: &RecordBatch, unfit: &[usize], reasons: &[&str]| {
        let mut writer = TargetWriter::new(&target, &batch.schema()).unwrap();
        let sifted: Sifted = writer.sift(batch);
        let expected = |is_unfit: bool| -> Vec<Option<String>> {
            let all = stations.iter().enumerate().filter(|(row, _)| unfit.contains(row) == is_unfit);
            all.map(|(_, name)| name.map(str::to_owned)).collect()
        };
        assert_eq!(names_of(&sifted.fit), expected(false));
        let (rows, found): (Vec<_>, Vec<_>) = sifted.unfit.into_iter().unzip();
        assert!(rows.iter().all(|row| row.num_rows() == 1));
        assert_eq!(names_of(&rows), expected(true));
        assert!(found.iter().zip(reasons).all(|(found, reason)| found.contains(reason)), "{found:?}");
        sifted.fit.iter().for_each(|rows| writer.write(rows, &mut Vec::new()).unwrap());
    };
    check(Target::Topic(topic), &batch, &[1, 3, 4], &["is null", "too large", "is null"]);
    check(Target::Table(table), &with_rest, &[3], &["a directory name of 600 bytes"]);
}

#[test]
fn options_that_do_not_fit_the_columns_name_their_key() {
    let check = |change: &dyn Fn(&mut TopicOptions), key: &str, text: &str| {
        let mut options = TopicOptions::new("t");
        change(&mut options);
        let error = RecordWriter::new(&options, &rows().schema()).err().unwrap_or_else(|| panic!("{text}"));
        assert_eq!(error.key(), Some(key), "{error}");
        assert!(error.to_string().contains(text), "{error}");
    };
    check(&|options| options.key = names(&["idd"]), "key", "there is no column `idd`: there are `id`, `name`");
    check(&|options| options.headers = [("h".to_owned(), "x".to_owned())].into(), "headers", "there is no column `x`");
    check(&|options| options.tombstone = Some("id".to_owned()), "tombstone", "`id` must be boolean");
    check(&|options| options.tombstone = Some("gone".to_owned()), "key", "a tombstone says that a key is gone");
    let compact = |options: &mut TopicOptions| {
        options.config.insert("cleanup.policy".to_owned(), "compact".to_owned());
    };
    check(&compact, "key", "a compacted topic keeps the newest record of each key");
}

/// The value of a datum in Avro: a byte 0 and the schema's id come before it.
#[test]
fn avro_values_name_their_schema_and_tombstones_are_none() {
    let batch = batch(vec![
        ("id", Arc::new(Int64Array::from(vec![1, -1]))),
        ("gone", Arc::new(BooleanArray::from(vec![false, true]))),
    ]);
    let options = TopicOptions {
        key: names(&["id"]),
        tombstone: Some("gone".to_owned()),
        format: crate::encode::RecordFormat::Avro,
        ..TopicOptions::new("city.stations-2")
    };
    let mut unregistered = RecordWriter::new(&options, &batch.schema()).unwrap();
    assert_eq!(
        unregistered.avro_schema().unwrap(),
        r#"{"type":"record","name":"city_stations_2","fields":[{"name":"id","type":["null","long"],"default":null}]}"#
    );
    unregistered.check(&batch).unwrap();
    let error = unregistered.write(&batch, &mut Vec::new()).unwrap_err().to_string();
    assert!(error.contains("isn't registered"), "{error}");

    let found = written(&TopicOptions { schema_id: Some(258), ..options }, &batch);
    // The union's second branch, and 1 as a zigzag number.
    let value = "\0\0\0\u{1}\u{2}\u{2}\u{2}".to_owned();
    assert_eq!(found, [(Some("1".to_owned()), Some(value), vec![]), (Some("-1".to_owned()), None, vec![])]);
}

/// Arrow counts the bytes of a column to 2 GiB, and panics past them.
#[test]
fn more_than_a_column_holds_is_an_error() {
    let most = i32::MAX as usize;
    assert_eq!(super::super::records::offsets(vec![1, 0, most - 1]).unwrap()[3], i32::MAX);
    let error = super::super::records::offsets(vec![most, 1]).unwrap_err().to_string();
    assert!(error.contains("more than 2 GiB"), "{error}");
}
