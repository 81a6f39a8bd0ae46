//! Directories: how values are written, which rows have none, and how batches are split.

use arrow::array::{BooleanArray, Date32Array, Int32Array, Int64Array, StringArray};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use super::*;
use crate::batch::Rejection;

fn directories(options: &TableOptions, batches: &[RecordBatch]) -> Vec<(String, u64)> {
    write(options, batches).into_iter().map(|written| (written.directory, written.rows)).collect()
}

/// The directory that one value of a column makes, next to a column that stays in the file.
fn directory(entry: &str, column: ArrayRef) -> String {
    let rest: ArrayRef = Arc::new(Int32Array::from(vec![1; column.len()]));
    let batch = batch(vec![("rest", rest), ("column", column)]);
    let written = write(&super::options(Format::Csv, &[entry]), &[batch]);
    written[0].directory.clone()
}

#[test]
fn values_as_directories() {
    let text = |value: &str| -> ArrayRef { Arc::new(StringArray::from(vec![value])) };
    let at = 1_767_596_889_000_000; // 2026-01-05T07:08:09Z
    let cases: Vec<(&str, ArrayRef, &str)> = vec![
        ("column", text("A"), "column=A"),
        ("column", text("Station A"), "column=Station A"),
        ("column", text("a/b=c%d"), "column=a%2Fb%3Dc%25d"),
        ("column", text("\"#%'*/:=?\\{}[]^"), "column=%22%23%25%27%2A%2F%3A%3D%3F%5C%7B%7D%5B%5D%5E"),
        ("column", text("\0\n\t\u{7f}"), "column=%00%0A%09%7F"),
        ("column", text("Zürich 東京 🚆"), "column=Zürich 東京 🚆"),
        ("column", text(".."), "column=.."),
        ("column", text("."), "column=."),
        ("column", text("_x"), "column=_x"),
        ("column", text(" "), "column= "),
        ("column", text(""), "column=__HIVE_DEFAULT_PARTITION__"),
        ("column", text("__HIVE_DEFAULT_PARTITION__"), "column=%5F_HIVE_DEFAULT_PARTITION__"),
        ("column", Arc::new(StringArray::from(vec![None::<&str>])), "column=__HIVE_DEFAULT_PARTITION__"),
        ("column", Arc::new(Int32Array::from(vec![-7])), "column=-7"),
        ("column", Arc::new(Int64Array::from(vec![i64::MIN])), "column=-9223372036854775808"),
        ("column", Arc::new(BooleanArray::from(vec![true])), "column=true"),
        ("column", Arc::new(Date32Array::from(vec![20_458])), "column=2026-01-05"),
        ("year(column)", Arc::new(Date32Array::from(vec![20_458])), "year=2026"),
        ("month(column)", Arc::new(Date32Array::from(vec![20_458])), "month=01"),
        ("day(column)", Arc::new(Date32Array::from(vec![20_458])), "day=05"),
        ("date(column)", Arc::new(Date32Array::from(vec![None])), "date=__HIVE_DEFAULT_PARTITION__"),
        ("date", timestamps([Some(at)]), "date=2026-01-05"),
        ("year", timestamps([Some(at)]), "year=2026"),
        ("month(column)", timestamps([Some(at)]), "month=01"),
        ("day(column)", timestamps([Some(at)]), "day=05"),
        ("hour(column)", timestamps([Some(at)]), "hour=07"),
        ("hour(column)", timestamps([Some(-1)]), "hour=23"),
        ("date(column)", timestamps([Some(-1)]), "date=1969-12-31"),
        ("date(column)", timestamps([None]), "date=__HIVE_DEFAULT_PARTITION__"),
        ("year(column)", timestamps([Some(-62_135_596_800_000_000)]), "year=0001"),
    ];
    for (entry, column, expected) in cases {
        let found = directory(entry, column);
        assert_eq!(found, expected, "{entry}");
        assert_eq!(Path::parse(&found).unwrap().as_ref(), found, "as an object's path");
    }
}

#[test]
fn directories_keep_their_names_on_disk() {
    let names = ["a/b=c%d", "Zürich 東京", "..", " ", "\0\n", "#1", "a+b&c", "`~|<>,;!@$()"];
    let folder = tempfile::tempdir().unwrap();
    let store = object_store::local::LocalFileSystem::new_with_prefix(folder.path()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for name in names {
        let found = directory("column", Arc::new(StringArray::from(vec![name])));
        let path = Path::parse(format!("table/{found}/file")).unwrap();
        runtime.block_on(store.put(&path, "x".into())).unwrap();
        assert!(folder.path().join("table").join(&found).join("file").is_file(), "{found}");
        let listed = runtime.block_on(store.list_with_delimiter(Some(&Path::parse(format!("table/{found}")).unwrap())));
        assert_eq!(listed.unwrap().objects[0].location, path);
    }
}

#[test]
fn column_names_are_escaped_and_left_out_of_files() {
    let ids: ArrayRef = Arc::new(Int32Array::from(vec![1, 2]));
    let stops: ArrayRef = Arc::new(StringArray::from(vec!["x", "x"]));
    let batch = batch(vec![("a=b", stops), ("id", ids)]);
    let options = super::options(Format::Csv, &["a=b"]);
    let written = write(&options, std::slice::from_ref(&batch));
    assert_eq!((written[0].directory.as_str(), text(&written[0]).as_str()), ("a%3Db=x", "id\n1\n2\n"));
    let writer = TableWriter::new(&options, batch.schema_ref()).unwrap();
    assert_eq!(writer.file_schema(), schema(&[("id", "int32")]));
}

#[test]
fn a_derived_partition_keeps_its_column() {
    let batch = batch(vec![("at", timestamps([Some(0)]))]);
    let written = write(&super::options(Format::Csv, &["date"]), &[batch]);
    assert_eq!(
        (written[0].directory.as_str(), text(&written[0]).as_str()),
        ("date=1970-01-01", "at\n1970-01-01T00:00:00Z\n")
    );
}

#[test]
fn rows_without_a_directory() {
    let text =
        |value: String| -> ArrayRef { Arc::new(StringArray::from(vec![Some("a".to_owned()), None, Some(value)])) };
    let days = |day: i32| -> ArrayRef { Arc::new(Date32Array::from(vec![Some(0), None, Some(day)])) };
    let micros = |micros: i64| timestamps([Some(0), None, Some(micros)]);
    let years = "is outside the years 1 to 9999, so it can't name a directory";
    let cases: Vec<(&str, ArrayRef, Option<String>)> = vec![
        ("column", text("x".repeat(200)), None),
        ("column", text("x".repeat(201)), Some("makes a directory name of 201 bytes, at most 200 can be".to_owned())),
        ("column", text("/".repeat(66)), None),
        ("column", text("/".repeat(67)), Some("makes a directory name of 201 bytes, at most 200 can be".to_owned())),
        ("column", text("ü".repeat(101)), Some("makes a directory name of 202 bytes, at most 200 can be".to_owned())),
        ("column", days(2_932_896), None),
        ("column", days(2_932_897), Some(years.to_owned())),
        ("year(column)", days(-719_163), Some(years.to_owned())),
        ("date", micros(253_402_300_799_999_999), None),
        ("date", micros(253_402_300_800_000_000), Some(years.to_owned())),
        ("month", micros(i64::MIN), Some(years.to_owned())),
        ("hour", micros(i64::MAX), None),
    ];
    for (entry, column, reason) in cases {
        let rest: ArrayRef = Arc::new(Int32Array::from(vec![1; 3]));
        let batch = batch(vec![("rest", rest), ("column", column)]);
        let mut writer = TableWriter::new(&super::options(Format::Json, &[entry]), batch.schema_ref()).unwrap();
        let expected = reason.map(|reason| Rejection { row: 2, reason: format!("`column` {reason}") });
        assert_eq!(writer.check(&batch).err(), expected, "{entry}");
        // A slice counts rows from its own start.
        let slice = batch.slice(2, 1);
        assert_eq!(writer.check(&slice).err().map(|rejection| rejection.row), expected.as_ref().map(|_| 0));
        let error = writer.write(&batch, &mut Vec::new()).err();
        assert_eq!(
            error.map(|error| error.to_string()),
            expected.map(|rejection| format!("row 2: {}", rejection.reason))
        );
    }
}

#[test]
fn pieces_keep_the_order_of_rows() {
    let stations: Vec<&str> = vec!["A", "A", "B", "B", "A", "C", "B"];
    let rows: ArrayRef = Arc::new(Int32Array::from_iter_values(0..stations.len() as i32));
    let mixed = batch(vec![("station", Arc::new(StringArray::from(stations))), ("row", rows)]);
    let options = super::options(Format::Csv, &["station"]);
    // Directories take turns; each in one run; one for all; a slice that begins in mid-batch.
    for (batch, expected) in [
        (mixed.clone(), vec![("A", "row\n0\n1\n4\n"), ("B", "row\n2\n3\n6\n"), ("C", "row\n5\n")]),
        (mixed.slice(0, 4), vec![("A", "row\n0\n1\n"), ("B", "row\n2\n3\n")]),
        (mixed.slice(2, 2), vec![("B", "row\n2\n3\n")]),
        (mixed.slice(3, 4), vec![("B", "row\n3\n6\n"), ("A", "row\n4\n"), ("C", "row\n5\n")]),
    ] {
        let written = write(&options, &[batch]);
        let found: Vec<(&str, String)> =
            written.iter().map(|file| (&file.directory["station=".len()..], text(file))).collect();
        assert_eq!(found, expected.into_iter().map(|(station, text)| (station, text.to_owned())).collect::<Vec<_>>());
    }
}

#[test]
fn null_and_empty_text_share_a_file() {
    let keys: ArrayRef = Arc::new(StringArray::from(vec![None, Some(""), None]));
    let rest: ArrayRef = Arc::new(Int32Array::from(vec![1, 2, 3]));
    let found = directories(&super::options(Format::Parquet, &["k"]), &[batch(vec![("k", keys), ("n", rest)])]);
    assert_eq!(found, [("k=__HIVE_DEFAULT_PARTITION__".to_owned(), 3)]);
}

#[test]
fn the_file_least_recently_written_makes_room() {
    let at = |stations: &[&str]| {
        let rows: ArrayRef = Arc::new(Int32Array::from(vec![0; stations.len()]));
        batch(vec![("s", Arc::new(StringArray::from(stations.to_vec()))), ("n", rows)])
    };
    let options = TableOptions { max_open_files: 2, ..super::options(Format::Csv, &["s"]) };
    let found = directories(&options, &[at(&["A", "B"]), at(&["A"]), at(&["C"]), at(&["B", "C"])]);
    let expected = [("s=B", 1), ("s=A", 2), ("s=C", 2), ("s=B", 1)];
    assert_eq!(found, expected.map(|(directory, rows)| (directory.to_owned(), rows)));
}
