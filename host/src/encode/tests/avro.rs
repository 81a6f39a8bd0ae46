//! What was encoded as Avro is read back by another library.

use std::sync::Arc;

use apache_avro::Schema as AvroSchema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Float32Array, Float64Array, Int32Array, Int64Array, StringArray,
    TimestampMicrosecondArray,
};

use crate::batch::{COLUMN_TYPES, DataType, Field, RecordBatch, Schema, data_type};
use crate::encode::avro::AvroEncoder;

/// Two rows of each type: a value, then another or null.
fn batch(nullable: bool) -> RecordBatch {
    macro_rules! both {
        ($array:ident, $one:expr, $other:expr) => {
            Arc::new($array::from(vec![Some($one), (!nullable).then_some($other)])) as ArrayRef
        };
    }
    let arrays = vec![
        both!(BooleanArray, true, false),
        both!(Int32Array, i32::MIN, 1),
        both!(Int64Array, i64::MIN, -1),
        both!(Float32Array, 1.5, -0.25),
        both!(Float64Array, f64::MAX, 0.1),
        both!(StringArray, "é\u{0}", ""),
        both!(BinaryArray, &[0xff_u8, 0][..], &[][..]),
        both!(Date32Array, -1, 20_000),
        Arc::new(
            TimestampMicrosecondArray::from(vec![Some(-1), (!nullable).then_some(1_700_000_000_000_000)])
                .with_timezone("UTC"),
        ),
    ];
    let fields: Vec<Field> =
        COLUMN_TYPES.iter().map(|name| Field::new(*name, data_type(name).unwrap(), nullable)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
}

fn read(encoder: &AvroEncoder, message: &[u8], id: u32) -> Vec<Value> {
    let schema = AvroSchema::parse_str(encoder.schema_json()).unwrap();
    let (head, mut datum) = message.split_at(5);
    assert_eq!((head[0], &head[1..]), (0, &id.to_be_bytes()[..]));
    let value = GenericDatumReader::builder(&schema).build().unwrap().read_value(&mut datum).unwrap();
    assert!(datum.is_empty());
    let Value::Record(fields) = value else { panic!("{value:?}") };
    let plain = |value| match value {
        Value::Union(_, value) => *value,
        value => value,
    };
    fields.into_iter().map(|(_, value)| plain(value)).collect()
}

#[test]
fn every_type_comes_back() {
    let first = [
        Value::Boolean(true),
        Value::Int(i32::MIN),
        Value::Long(i64::MIN),
        Value::Float(1.5),
        Value::Double(f64::MAX),
        Value::String("é\u{0}".to_owned()),
        Value::Bytes(vec![0xff, 0]),
        Value::Date(-1),
        Value::TimestampMicros(-1),
    ];
    for nullable in [false, true] {
        let batch = batch(nullable);
        let mut encoder = AvroEncoder::new("Row", Some("rillgate.tests"), &batch.schema()).unwrap();
        let rows = encoder.encode(&batch, 7).unwrap();
        assert_eq!((rows.len(), rows.iter().len()), (2, 2));
        assert_eq!(read(&encoder, rows.row(0), 7), first);
        let second = read(&encoder, rows.row(1), 7);
        if nullable {
            assert!(second.iter().all(|value| *value == Value::Null), "{second:?}");
        } else {
            assert_eq!(second[2], Value::Long(-1));
            assert_eq!(second[8], Value::TimestampMicros(1_700_000_000_000_000));
        }
        // Another id from one batch to the next, and nothing of the batch before.
        let rows = encoder.encode(&batch.slice(1, 1), 70_000).unwrap();
        assert_eq!(rows.len(), 1);
        assert_eq!(read(&encoder, rows.row(0), 70_000), second);
    }
}

#[test]
fn the_schema_says_what_may_be_null() {
    let columns = Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("at", data_type("timestamp").unwrap(), true),
    ]);
    let encoder = AvroEncoder::new("Summary", None, &columns).unwrap();
    assert_eq!(
        encoder.schema_json(),
        r#"{"type":"record","name":"Summary","fields":[{"name":"id","type":"long"},{"name":"at","type":["null",{"type":"long","logicalType":"timestamp-micros"}],"default":null}]}"#
    );
}

#[test]
fn names_and_types_that_avro_lacks_are_refused() {
    for (name, namespace, column, words) in [
        ("a-b", None, "x", "`a-b` can't be a name in Avro"),
        ("a", Some("x.1y"), "x", "`1y` can't be a name in Avro"),
        ("a", None, "key.x", "`key.x` can't be a name in Avro"),
        ("", None, "x", "`` can't be a name in Avro"),
    ] {
        let columns = Schema::new(vec![Field::new(column, DataType::Int64, false)]);
        let error = AvroEncoder::new(name, namespace, &columns).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(error.key(), Some("format"));
    }
    let columns = Schema::new(vec![Field::new("x", DataType::UInt8, false)]);
    let error = AvroEncoder::new("a", None, &columns).unwrap_err();
    assert!(error.to_string().contains("the column `x` of type UInt8 has no type in Avro"), "{error}");
    let other = batch(false);
    let mut encoder = AvroEncoder::new("a", None, &Schema::new(vec![Field::new("x", DataType::Int64, false)])).unwrap();
    assert!(encoder.encode(&other, 1).is_err());
}
