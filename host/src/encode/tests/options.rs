//! Options that can't be: which key is at fault and what the message says to write instead.

use super::*;

#[test]
fn errors_name_the_key_and_the_way_out() {
    let columns = [("id", "utf8"), ("x", "float64"), ("raw", "binary"), ("at", "timestamp"), ("d", "date")];
    let by = |entries: &[&str]| super::options(Format::Parquet, entries);
    let parquet = |edit: fn(&mut TableOptions)| {
        let mut options = by(&[]);
        edit(&mut options);
        options
    };
    let table = |name: &str| TableOptions::new(name, Format::Csv);
    let cases: Vec<(TableOptions, &str, &str)> = vec![
        (
            by(&["nope"]),
            "partition_by",
            "no column `nope`: there are `id`, `d`, and year(), month(), day(), hour(), date() of `at`, `d`",
        ),
        (by(&["date(nope)"]), "partition_by", "no column `nope`"),
        (
            by(&["x"]),
            "partition_by",
            "`x` is float64: a directory can be named by a utf8, int32, int64, boolean or date column",
        ),
        (by(&["raw"]), "partition_by", "`raw` is binary"),
        (by(&["at"]), "partition_by", "write `date(at)`"),
        (by(&["week(at)"]), "partition_by", "no function `week`: there are `year`, `month`, `day`, `hour`, `date`"),
        (by(&["date(id)"]), "partition_by", "`date(id)` needs a timestamp or date column, `id` is utf8"),
        (by(&["hour(d)"]), "partition_by", "`d` is a date and has no hour"),
        (by(&["id", "id"]), "partition_by", "two entries make directories called `id=`"),
        (by(&["date(at)", "date(d)"]), "partition_by", "two entries make directories called `date=`"),
        (by(&["id)"]), "partition_by", "no column `id)`"),
        (parquet(|options| options.max_open_files = 0), "max_open_files", "at least 1"),
        (parquet(|options| options.compression_level = Some(20)), "compression_level", "write 1 to 19"),
        (parquet(|options| options.compression_level = Some(0)), "compression_level", "write 1 to 19"),
        (
            TableOptions {
                compression_level: Some(1),
                ..parquet(|options| options.compression = Some(Compression::Snappy))
            },
            "compression_level",
            "leave it out",
        ),
        (
            TableOptions { compression: Some(Compression::Zstd), ..TableOptions::new("t", Format::CsvGz) },
            "compression",
            "there are the formats `csv`, `csv.gz` and `csv.zst`",
        ),
        (
            TableOptions { compression_level: Some(10), ..TableOptions::new("t", Format::JsonGz) },
            "compression_level",
            "write 1 to 9",
        ),
        (
            TableOptions { compression_level: Some(1), ..TableOptions::new("t", Format::Json) },
            "compression_level",
            "`json.gz` and `json.zst` have one",
        ),
        (table(""), "table", "must be a folder's name"),
        (table("/a"), "table", "without `/` at its ends"),
        (table("a//b"), "table", "must be a folder's name"),
        (table("a/../b"), "table", "begins with `.` or `_`"),
        (table("a/_b"), "table", "begins with `.` or `_`"),
        (table("a=b"), "table", "which paths can't carry"),
        (table("a\nb"), "table", "which paths can't carry"),
    ];
    for (options, key, message) in cases {
        let error =
            TableWriter::new(&options, &schema(&columns)).err().unwrap_or_else(|| panic!("{options:?} is fine"));
        assert_eq!(error.key(), Some(key), "{options:?}");
        assert!(error.to_string().contains(message), "{error}\nhas no: {message}");
    }
}

#[test]
fn errors_of_columns() {
    let long = "x".repeat(51);
    let by = |columns: &[(&str, &str)], entries: &[&str]| {
        let error = TableWriter::new(&super::options(Format::Json, entries), &schema(columns)).err();
        error.map(|error| (error.key().unwrap(), error.to_string()))
    };
    for (columns, entries, key, message) in [
        (vec![("a", "utf8")], vec!["a"], "partition_by", "every column is a partition"),
        (
            vec![("a", "utf8"), ("date", "utf8"), ("at", "timestamp")],
            vec!["date(at)"],
            "partition_by",
            "would hide the column `date`",
        ),
        (
            vec![("a", "utf8"), ("t", "timestamp"), ("u", "timestamp")],
            vec!["day"],
            "partition_by",
            "write one of `day(t)`, `day(u)`",
        ),
        (vec![("a", "utf8")], vec!["date"], "partition_by", "no column `date`: there are `a`"),
        (vec![("x", "float64")], vec!["y"], "partition_by", "no column of the table can name directories"),
        (vec![("a", "utf8"), ("_topic", "utf8")], vec!["_topic"], "partition_by", "hidden from most readers"),
        (vec![("a", "utf8"), (&long, "utf8")], vec![&long], "partition_by", "over 50 bytes"),
        (vec![], vec![], "format", "no columns"),
        (vec![("a", "utf8"), ("a", "int32")], vec![], "format", "two columns `a`"),
    ] {
        let (found_key, found) = by(&columns, &entries).unwrap_or_else(|| panic!("{columns:?} by {entries:?} is fine"));
        assert_eq!(found_key, key);
        assert!(found.contains(message), "{found}\nhas no: {message}");
    }
    let strange = Arc::new(Schema::new(vec![Field::new("a", DataType::LargeUtf8, true)]));
    let error = TableWriter::new(&TableOptions::new("t", Format::Csv), &strange).err().unwrap();
    assert!(error.to_string().contains("column `a` is of type LargeUtf8"), "{error}");
}

#[test]
fn what_is_allowed() {
    let columns = [("id", "utf8"), ("n", "int32"), ("at", "timestamp"), ("d", "date"), ("date", "date")];
    for entries in
        [&["date"][..], &["year", "month", "day(at)", " hour( at ) "], &["n", "id", "d"], &["date", "month(d)"]]
    {
        assert!(TableWriter::new(&super::options(Format::CsvZst, entries), &schema(&columns)).is_ok(), "{entries:?}");
    }
    assert!(TableWriter::new(&TableOptions::new("_dead/pipeline", Format::Json), &schema(&columns)).is_ok());
}
