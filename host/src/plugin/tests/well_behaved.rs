//! What goes in comes out: types, slices, nulls, limits that are not reached, instances that are replaced.

use arrow::array::{BinaryArray, BooleanArray, Date32Array, Float32Array, Int32Array, TimestampMicrosecondArray};

use super::*;
use crate::batch::{COLUMN_TYPES, data_type};

/// A column of each type, a nullable one of each, all with values that differ from row to row.
fn every_type(rows: usize) -> RecordBatch {
    let mut fields = Vec::new();
    let mut columns: Vec<ArrayRef> = Vec::new();
    for nullable in [false, true] {
        let some = |row: &usize| !nullable || row % 5 != 2;
        let rows = || (0..rows).map(|row| some(&row).then_some(row));
        for name in COLUMN_TYPES {
            fields.push(Field::new(format!("{name} {nullable}"), data_type(name).unwrap(), nullable));
            columns.push(match name {
                "boolean" => Arc::new(rows().map(|row| row.map(|row| row % 3 == 0)).collect::<BooleanArray>()),
                "int32" => Arc::new(rows().map(|row| row.map(|row| 7 - row as i32)).collect::<Int32Array>()),
                "int64" => Arc::new(rows().map(|row| row.map(|row| (row as i64) << 40)).collect::<Int64Array>()),
                "float32" => Arc::new(rows().map(|row| row.map(|row| row as f32 / 3.0)).collect::<Float32Array>()),
                "float64" => Arc::new(rows().map(|row| row.map(|row| row as f64 / 3.0)).collect::<Float64Array>()),
                "utf8" => Arc::new(rows().map(|row| row.map(|row| "ä€".repeat(row % 4))).collect::<StringArray>()),
                "binary" => Arc::new(BinaryArray::from_iter(rows().map(|row| row.map(|row| vec![0xff; row % 4])))),
                "date" => Arc::new(rows().map(|row| row.map(|row| row as i32)).collect::<Date32Array>()),
                "timestamp" => {
                    let values: TimestampMicrosecondArray = rows().map(|row| row.map(|row| row as i64)).collect();
                    Arc::new(values.with_timezone("UTC"))
                }
                _ => unreachable!("{name} has no values in this test"),
            });
        }
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

#[test]
fn every_type_crosses_and_comes_back_whole_or_sliced() {
    let batch = every_type(41);
    let plugin = guest(&identity("", "", ""));
    let mut transform = Transform::open(&plugin, &limits(), &[], &batch.schema()).unwrap();
    assert_eq!(transform.tables(), [Table { name: "main".to_owned(), schema: batch.schema() }]);
    for (start, rows) in [(0, 41), (0, 8), (8, 16), (3, 1), (1, 40), (9, 20), (16, 25), (40, 1), (5, 0)] {
        let slice = batch.slice(start, rows);
        let applied = transform.apply(&slice, now()).unwrap();
        assert_eq!(applied, Applied { batches: vec![slice], rejected: vec![] }, "{rows} rows from {start}");
    }
}

#[test]
fn a_table_without_rows_has_its_columns() {
    let mut transform = open(
        &guest(&identity(
            "",
            "(local.set $rows (i32.const 0)) (local.set $count (i32.const 3))
        (i32.store (i32.const 4) (i32.const 1))
        (i32.store offset=4 (local.get $columns) (i32.const 0)) (i32.store offset=8 (local.get $columns) (i32.const 1))
        (i32.store (i32.const 0) (i32.const 0))
        (i32.store offset=16 (local.get $columns) (i32.const 0))
        (i32.store offset=40 (local.get $columns) (i32.const 0))
        (i32.store offset=72 (local.get $columns) (i32.const 0))
        (i32.store8 offset=84 (local.get $columns) (i32.const 0))",
            "",
        )),
        &limits(),
    )
    .unwrap();
    let applied = transform.apply(&batch(9), now()).unwrap();
    assert_eq!(applied.batches, [RecordBatch::new_empty(schema())]);
}

#[test]
fn rejections_come_sorted_once_a_row_and_cut() {
    // Three rejections at 1024: row 2, row 1, row 2 again; the second has 4,000 bytes of reason, from 4 KiB on.
    let reject = "
        (i32.store (i32.const 1024) (i32.const 2)) (i32.store (i32.const 1028) (i32.const 512)) (i32.store (i32.const 1032) (i32.const 8))
        (i32.store (i32.const 1036) (i32.const 1)) (i32.store (i32.const 1040) (i32.const 1100)) (i32.store (i32.const 1044) (i32.const 2001))
        (i32.store (i32.const 1048) (i32.const 2)) (i32.store (i32.const 1052) (i32.const 512)) (i32.store (i32.const 1056) (i32.const 0))
        (memory.fill (i32.const 1100) (i32.const 120) (i32.const 2001))
        (i32.store8 (i32.const 2099) (i32.const 0xc3)) (i32.store8 (i32.const 2100) (i32.const 0xa4))
        (i32.store (i32.const 140) (i32.const 1024)) (i32.store (i32.const 144) (i32.const 3))";
    let mut transform = open(&guest(&identity("", "", reject)), &limits()).unwrap();
    let rejected = transform.apply(&batch(9), now()).unwrap().rejected;
    assert_eq!(rejected.iter().map(|rejection| rejection.row).collect::<Vec<_>>(), [1, 2]);
    // The `ä` at 999 would end past 1,000 bytes.
    assert_eq!(rejected[0].reason, "x".repeat(999));
    assert_eq!(rejected[1].reason, "a reason");
}

#[test]
fn an_instance_that_uses_over_half_of_its_memory_is_replaced() {
    // Counts its calls at 8 and returns as many rows of its only row; grows to 3 MiB in the second call.
    let code = identity(
        "",
        "(i32.store (i32.const 8) (i32.add (i32.load (i32.const 8)) (i32.const 1)))
         (if (i32.eq (i32.load (i32.const 8)) (i32.const 2)) (then (drop (memory.grow (i32.const 47)))))
         (i64.store (i32.load offset=36 (local.get $columns)) (i64.extend_i32_u (i32.load (i32.const 8))))",
        "",
    );
    let plugin = guest(&code);
    let calls = |memory: u64| -> Vec<i64> {
        let mut transform = open(&plugin, &Limits { memory, ..limits() }).unwrap();
        let call = |_| {
            let applied = transform.apply(&batch(1), now()).unwrap();
            applied.batches[0].column(1).as_any().downcast_ref::<Int64Array>().unwrap().value(0)
        };
        (0..5).map(call).collect()
    };
    assert_eq!(calls(8 << 20), [1, 2, 3, 4, 5]);
    assert_eq!(calls(5 << 20), [1, 2, 1, 2, 1]);
}

#[test]
fn settings_and_columns_that_a_plugin_refuses_are_named_but_not_shown() {
    let settings = vec![("mode".to_owned(), "a reason".to_owned()), ("key".to_owned(), "hush".to_owned())];
    let refuse = |case: u32| {
        let code = identity(&format!("(return (call $error (i32.const {case})))"), "", "");
        words(Transform::open(&guest(&code), &limits(), &settings, &schema()).err().unwrap())
    };
    assert_eq!(refuse(0), "does not accept its settings (mode, key): ***");
    assert_eq!(
        refuse(1),
        "can't work with these columns: ***; it was offered station utf8, passengers int64, duration float64"
    );
    assert_eq!(refuse(2), "failed to open: ***");
}

#[test]
fn inspection_tells_what_a_plugin_is_and_announces() {
    let plugin = guest(&identity("(i32.store (i32.const 40) (i32.const 2))", "", ""));
    let inspection = inspect_transform(&open(&plugin, &limits()).unwrap());
    assert_eq!(inspection, Inspection { tables: inspection.tables.clone(), ..inspect(&plugin) });
    let json = serde_json::to_value(&inspection).unwrap();
    assert_eq!(json["kind"], "transform");
    assert_eq!(json["exports"], serde_json::json!(["rillgate:plugin/transform@0.1.0"]));
    assert_eq!(json["imports"], serde_json::json!(["rillgate:plugin/table@0.1.0", "rillgate:plugin/common@0.1.0"]));
    assert_eq!(json["tables"][1]["name"], "late");
    assert_eq!(
        json["tables"][1]["columns"][2],
        serde_json::json!({ "name": "duration", "type": "float64", "nullable": true })
    );
    assert!(inspection.compiled_bytes > 1000 && inspection.digest.len() == 64, "{inspection:?}");
}
