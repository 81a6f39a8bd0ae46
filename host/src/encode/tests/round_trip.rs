//! For random batches, formats and partitions: what is read from all files is what went in.

use arrow::array::{BinaryArray, BooleanArray, Date32Array, Float64Array, Int32Array, Int64Array, StringArray};
use object_store::path::Path;
use percent_encoding::percent_decode_str;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::*;

#[derive(Debug, Clone)]
struct Record {
    flag: Option<bool>,
    n: Option<i32>,
    big: Option<i64>,
    x: Option<f64>,
    s: Option<String>,
    raw: Option<Vec<u8>>,
    d: Option<i32>,
    t: Option<i64>,
}

fn record() -> impl Strategy<Value = Record> {
    let text = prop_oneof![
        select(vec!["", "A", "B", "a/b", "%41", "__HIVE_DEFAULT_PARTITION__", "..", " ", "k=v", "null"])
            .prop_map(str::to_owned),
        any::<String>().prop_map(|text| text.chars().take(12).collect()),
    ];
    let number = any::<f64>().prop_filter("numbers that JSON has", |x| x.is_finite());
    (
        any::<Option<bool>>(),
        proptest::option::of(0..3),
        any::<Option<i64>>(),
        proptest::option::of(number),
        proptest::option::of(text),
        any::<Option<Vec<u8>>>(),
        proptest::option::of(prop_oneof![20_000..20_003, -719_162..2_932_896]),
        proptest::option::of(prop_oneof![0..200_000_000_000i64, -62_135_596_800_000_000i64..253_402_300_799_999_999]),
    )
        .prop_map(|(flag, n, big, x, s, raw, d, t)| Record { flag, n, big, x, s, raw, d, t })
}

fn columns(records: &[Record]) -> RecordBatch {
    batch(vec![
        ("flag", Arc::new(records.iter().map(|record| record.flag).collect::<BooleanArray>())),
        ("n", Arc::new(records.iter().map(|record| record.n).collect::<Int32Array>())),
        ("big", Arc::new(records.iter().map(|record| record.big).collect::<Int64Array>())),
        ("x", Arc::new(records.iter().map(|record| record.x).collect::<Float64Array>())),
        ("s", Arc::new(records.iter().map(|record| record.s.as_ref()).collect::<StringArray>())),
        ("raw", Arc::new(records.iter().map(|record| record.raw.as_ref()).collect::<BinaryArray>())),
        ("d", Arc::new(records.iter().map(|record| record.d).collect::<Date32Array>())),
        ("t", timestamps(records.iter().map(|record| record.t).collect::<Vec<_>>())),
    ])
}

/// Names and values of a directory's levels, as Hive reads them.
fn unescaped(directory: &str) -> impl Iterator<Item = (String, Option<String>)> {
    assert_eq!(Path::parse(directory).unwrap().as_ref(), directory);
    let decoded = |text: &str| percent_decode_str(text).decode_utf8().unwrap().into_owned();
    directory.split('/').filter(|level| !level.is_empty()).map(move |level| {
        let (name, value) = level.split_once('=').unwrap();
        (decoded(name), (value != "__HIVE_DEFAULT_PARTITION__").then(|| decoded(value)))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn rows_out_are_rows_in(
        batches in proptest::collection::vec(proptest::collection::vec(record(), 0..30), 1..4),
        format in select(vec![Format::Parquet, Format::Csv, Format::CsvGz, Format::CsvZst, Format::Json, Format::JsonGz, Format::JsonZst]),
        partition_by in subsequence(vec!["flag", "n", "big", "s", "d", "date(t)", "year(d)", "month(t)", "day(d)", "hour"], 0..4).prop_shuffle(),
        max_open_files in 1..5u32,
    ) {
        let options = TableOptions { max_open_files, ..options(format, &partition_by) };
        let batches: Vec<RecordBatch> = batches.iter().map(|records| columns(records)).collect();
        let file_schema = TableWriter::new(&options, batches[0].schema_ref()).unwrap().file_schema();

        let mut expected: Vec<Row> = batches.iter().flat_map(rows).collect();
        // What these formats don't tell from null.
        let is_csv = matches!(format, Format::Csv | Format::CsvGz | Format::CsvZst);
        for row in &mut expected {
            row.retain(|name, value| !(value.is_empty() && (is_csv || partition_by.contains(&name.as_str()))));
        }

        let mut found = Vec::new();
        for written in write(&options, &batches) {
            let levels: Vec<(String, Option<String>)> = unescaped(&written.directory).collect();
            prop_assert_eq!(levels.len(), partition_by.len());
            for mut row in read(&written, &file_schema) {
                for (name, value) in &levels {
                    if file_schema.column_with_name(name).is_none() && options.partition_by.contains(name) && name != "hour" {
                        row.extend(value.clone().map(|value| (name.clone(), value)));
                    }
                }
                found.push(row);
            }
        }
        found.sort();
        expected.sort();
        prop_assert_eq!(found, expected);
    }
}
