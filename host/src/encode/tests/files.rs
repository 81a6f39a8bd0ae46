//! Files: what each format writes, when bytes leave, how much memory is held.

use arrow::array::{Array, BinaryArray, BooleanArray, Date32Array, Float64Array, Int32Array, StringArray};
use parquet::basic::Encoding;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use parquet::file::reader::{FileReader, SerializedFileReader};

use super::*;

fn every_type() -> RecordBatch {
    batch(vec![
        ("flag", Arc::new(BooleanArray::from(vec![Some(true), None]))),
        ("n", Arc::new(Int32Array::from(vec![Some(-1), None]))),
        ("x", Arc::new(Float64Array::from(vec![Some(1.5), None]))),
        ("s", Arc::new(StringArray::from(vec![Some("a,\"b\"\nü"), None]))),
        ("raw", Arc::new(BinaryArray::from(vec![Some(&[0, 255][..]), None]))),
        ("d", Arc::new(Date32Array::from(vec![Some(20_458), None]))),
        ("t", timestamps([Some(1_767_596_889_120_000), None])),
    ])
}

const CSV: &str =
    "flag,n,x,s,raw,d,t\ntrue,-1,1.5,\"a,\"\"b\"\"\nü\",AP8=,2026-01-05,2026-01-05T07:08:09.120Z\n,,,,,,\n";
const JSON: &str = concat!(
    r#"{"flag":true,"n":-1,"x":1.5,"s":"a,\"b\"\nü","raw":"AP8=","d":"2026-01-05","t":"2026-01-05T07:08:09.120Z"}"#,
    "\n",
    r#"{"flag":null,"n":null,"x":null,"s":null,"raw":null,"d":null,"t":null}"#,
    "\n",
);

#[test]
fn text_formats_to_the_letter() {
    use Format::*;
    for (format, expected) in [(Csv, CSV), (CsvGz, CSV), (CsvZst, CSV), (Json, JSON), (JsonGz, JSON), (JsonZst, JSON)] {
        let written = write(&TableOptions::new("t", format), &[every_type()]);
        assert_eq!(text(&written[0]), expected, "{format:?}");
        assert_eq!((written[0].extension, written[0].rows), (format.extension(), 2));
    }
}

#[test]
fn a_header_once_a_file() {
    let rows = every_type();
    let written = write(&TableOptions::new("t", Format::Csv), &[rows.clone(), rows]);
    assert_eq!(text(&written[0]), format!("{CSV}{}", CSV.split_once('\n').unwrap().1));
}

#[test]
fn what_text_has_no_word_for() {
    let x: ArrayRef = Arc::new(Float64Array::from(vec![f64::NAN, f64::INFINITY]));
    let t = timestamps([Some(i64::MAX), Some(i64::MIN)]);
    let d: ArrayRef = Arc::new(Date32Array::from(vec![i32::MAX, i32::MIN]));
    let batch = batch(vec![("x", x), ("t", t), ("d", d)]);
    let json = text(&write(&TableOptions::new("t", Format::Json), std::slice::from_ref(&batch))[0]);
    assert_eq!(json.lines().next().unwrap(), r#"{"x":null,"t":"+294247-01-10T04:00:54.775807Z","d":"+5881580-07-11"}"#);
    let csv = text(&write(&TableOptions::new("t", Format::Csv), &[batch])[0]);
    assert_eq!(csv.lines().nth(2).unwrap(), "inf,-290308-12-21T19:59:05.224192Z,-5877641-06-23");
}

#[test]
fn parquet_keeps_columns_as_they_are() {
    for compression in [None, Some(Compression::Zstd), Some(Compression::Snappy), Some(Compression::None)] {
        let options = TableOptions { compression, ..TableOptions::new("t", Format::Parquet) };
        let written = write(&options, &[every_type(), every_type()]);
        let bytes = Bytes::from(written[0].bytes.clone());
        let mut reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap();
        let read = reader.next().unwrap().unwrap();
        assert_eq!(read.schema(), every_type().schema());
        assert_eq!(read.slice(2, 2).columns(), every_type().columns());
    }
}

fn footer(written: &Written) -> ParquetMetaData {
    SerializedFileReader::new(Bytes::from(written.bytes.clone())).unwrap().metadata().clone()
}

fn value<'a>(footer: &'a ParquetMetaData, key: &str) -> Option<&'a str> {
    let pairs = footer.file_metadata().key_value_metadata()?;
    pairs.iter().find(|pair| pair.key == key)?.value.as_deref()
}

#[test]
fn footers_say_who_made_the_file() {
    let at = |station: &str| {
        let rest: ArrayRef = Arc::new(Int32Array::from(vec![0]));
        batch(vec![("s", Arc::new(StringArray::from(vec![station]))), ("n", rest)])
    };
    let options = TableOptions { max_open_files: 1, ..options(Format::Parquet, &["s"]) };
    let mut writer = TableWriter::new(&options, at("A").schema_ref()).unwrap();
    let pairs = |digest: &str| [("rillgate".to_owned(), "0.1.0".to_owned()), ("plugin".to_owned(), digest.to_owned())];
    let mut out = Vec::new();
    writer.set_metadata(&pairs("early"));
    writer.write(&at("A"), &mut out).unwrap();
    writer.write(&at("B"), &mut out).unwrap();
    writer.finish(&pairs("late"), &mut out).unwrap();
    let footers: Vec<ParquetMetaData> = assemble(out).iter().map(footer).collect();
    for (footer, digest) in footers.iter().zip(["early", "late"]) {
        assert_eq!((value(footer, "rillgate"), value(footer, "plugin")), (Some("0.1.0"), Some(digest)));
    }
}

#[test]
fn encodings_follow_the_columns() {
    let mut state = 1u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 11
    };
    let rows = 0..4096;
    let id: StringArray = rows.clone().map(|row| Some(format!("id{row:09}"))).collect();
    let station: StringArray = rows.clone().map(|row| Some(format!("Station {}", row % 64))).collect();
    let noise: Float64Array = rows.clone().map(|_| Some(random() as f64 / 3.0)).collect();
    let grid: Float64Array = rows.clone().map(|row| Some(f64::from(row % 10))).collect();
    let steps: Float64Array = rows.clone().map(|row| Some(f64::from(row))).collect();
    let at = timestamps(rows.map(|row| Some(i64::from(row))).collect::<Vec<_>>());
    let names = ["id", "station", "noise", "grid", "steps", "at"];
    let columns: [ArrayRef; 6] =
        [Arc::new(id), Arc::new(station), Arc::new(noise), Arc::new(grid), Arc::new(steps), at];
    let batch = batch(names.into_iter().zip(columns).collect());
    let footer = footer(&write(&TableOptions::new("t", Format::Parquet), &[batch])[0]);
    let columns = footer.row_group(0).columns();
    let dictionary =
        |column: &ColumnChunkMetaData| column.encodings().any(|encoding| encoding == Encoding::RLE_DICTIONARY);
    let compressed = |column: &ColumnChunkMetaData| column.compression() != parquet::basic::Compression::UNCOMPRESSED;
    assert_eq!(columns.iter().map(dictionary).collect::<Vec<_>>(), [false, true, false, true, false, false]);
    assert_eq!(columns.iter().map(compressed).collect::<Vec<_>>(), [true, true, false, true, true, true]);
    assert!(
        columns.iter().all(|column| column.statistics().is_some_and(|statistics| statistics.min_bytes_opt().is_some()))
    );
}

#[test]
fn nothing_comes_of_nothing() {
    let empty = every_type().slice(0, 0);
    for options in [options(Format::Parquet, &["date"]), options(Format::CsvGz, &[]), options(Format::Json, &["s"])] {
        let mut writer = TableWriter::new(&options, &every_type().schema()).unwrap();
        let mut out = Vec::new();
        writer.check(&empty).unwrap();
        writer.write(&empty, &mut out).unwrap();
        assert!(writer.is_empty());
        writer.finish(&[], &mut out).unwrap();
        assert_eq!((out, writer.open_rows(), writer.buffered_bytes(), writer.largest_file_bytes()), (vec![], 0, 0, 0));
    }
}

#[test]
fn a_writer_is_used_again_and_gives_no_id_twice() {
    let mut writer = TableWriter::new(&options(Format::Json, &["date"]), &every_type().schema()).unwrap();
    let mut out = Vec::new();
    for epoch in 1..=3 {
        writer.write(&every_type(), &mut out).unwrap();
        assert_eq!((writer.open_rows(), writer.is_empty()), (2, false));
        writer.finish(&[], &mut out).unwrap();
        assert_eq!((writer.open_rows(), writer.is_empty()), (0, true));
        let ids = out.iter().filter(|output| matches!(output, Output::Closed { .. })).count();
        assert_eq!(ids, 2 * epoch);
    }
    let ids: Vec<FileId> = assemble(out).iter().map(|written| written.id).collect();
    assert_eq!(ids, [0, 1, 2, 3, 4, 5]);
}

#[test]
fn other_columns_are_refused() {
    let mut writer = TableWriter::new(&options(Format::Csv, &[]), &schema(&[("a", "int32")])).unwrap();
    let other = batch(vec![("a", Arc::new(StringArray::from(vec!["x"])))]);
    let error = writer.write(&other, &mut Vec::new()).unwrap_err();
    assert_eq!(error.to_string(), "a batch with columns a Utf8 came to a table with columns a Int32");
    assert_eq!(error.key(), None);
}

/// 1,000 rows of 1,000 bytes that don't compress, in eight stations that take turns.
fn bulk(seed: u64) -> RecordBatch {
    let mut state = seed;
    let mut bytes = vec![0u8; 1_000_000];
    for chunk in bytes.chunks_mut(8) {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        chunk.copy_from_slice(&(state ^ (state >> 29)).to_le_bytes()[..chunk.len()]);
    }
    let raw: BinaryArray = bytes.chunks(1000).map(Some).collect();
    let stations = Int32Array::from_iter_values((0..raw.len()).map(|row| row as i32 % 8));
    batch(vec![("s", Arc::new(stations)), ("raw", Arc::new(raw))])
}

#[test]
fn memory_stays_bounded_and_bytes_leave_early() {
    for format in [Format::Parquet, Format::Csv, Format::JsonGz, Format::CsvZst] {
        for partition_by in [&[][..], &["s"]] {
            let mut writer = TableWriter::new(&options(format, partition_by), &bulk(0).schema()).unwrap();
            let (mut left, mut longest, mut largest) = (0, 0, 0);
            let mut out = Vec::new();
            for seed in 0..60 {
                writer.write(&bulk(seed), &mut out).unwrap();
                assert!(writer.buffered_bytes() <= 24 << 20, "{format:?}: {} bytes", writer.buffered_bytes());
                assert!(writer.largest_file_bytes() >= largest, "{format:?}: a file that shrinks");
                largest = writer.largest_file_bytes();
                for output in &out {
                    let Output::Bytes { bytes, .. } = output else { panic!("a file closed early") };
                    longest = longest.max(bytes.len());
                    left += bytes.len();
                }
                out.clear();
            }
            assert!(left > 30 << 20, "{format:?}: only {left} bytes left before the end");
            assert!(longest <= 8 << 20, "{format:?}: a chunk of {longest} bytes");
            let files = if partition_by.is_empty() { 1 } else { 8 };
            writer.finish(&[], &mut out).unwrap();
            assert_eq!(out.iter().filter(|output| matches!(output, Output::Closed { .. })).count(), files);
        }
    }
}
