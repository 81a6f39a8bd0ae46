//! Aggregates that migrate: states of another version go in and come out, and every rule about them broken once.

use super::keep::Keep;
use super::*;

/// An aggregate whose states have the columns of [`schema`], and that migrates: it does this, and returns older states as they are.
pub(crate) fn migrating(in_migrate: &str) -> Aggregate {
    opened(Keep { in_migrate, ..Keep::default() }, &limits())
}

fn opened(keep: Keep, limits: &Limits) -> Aggregate {
    let code = keep.code();
    let plugin = load(&Guest { is_aggregate: true, has_migration: true, code: &code, ..Guest::default() }.build());
    Aggregate::open(&plugin.unwrap(), limits, &[], &schema(), &schema()).unwrap()
}

/// What is said of a guest that does this before it makes its answer to nine states; a fresh instance says the same.
fn fails(in_migrate: &str, limits: &Limits) -> String {
    let mut aggregate = opened(Keep { in_migrate, ..Keep::default() }, limits);
    let error = aggregate.migrate(&schema(), &batch(9), now()).unwrap_err();
    assert_eq!(aggregate.migrate(&schema(), &batch(9), now()).unwrap_err(), error);
    // The other functions go on.
    assert_eq!(aggregate.merge(&batch(9), &batch(9), now()).unwrap(), batch(9));
    error.to_string()
}

#[test]
fn whether_a_plugin_migrates_is_read_off_its_exports() {
    let aggregate = migrating("");
    assert!(aggregate.has_migration());
    let exports = inspect_aggregate(&aggregate).exports;
    assert_eq!(exports, ["rillgate:plugin/aggregate@0.1.0", "rillgate:plugin/state-migration@0.1.0"]);
    let plain = load(&Guest { is_aggregate: true, code: &Keep::default().code(), ..Guest::default() }.build()).unwrap();
    let mut plain = Aggregate::open(&plain, &limits(), &[], &schema(), &schema()).unwrap();
    assert!(!plain.has_migration());
    assert_eq!(plain.migrate(&schema(), &batch(1), now()).unwrap_err().to_string(), "it exports no `migrate`");
}

#[test]
fn older_states_go_in_and_newer_ones_come_out() {
    // The number of the older columns as `passengers` of the first state.
    let code = "(i64.store (i32.load offset=36 (local.get $columns)) (i64.extend_i32_u (local.get $field-count)))
      ;; A column that is the last of the older, and not among the newer.
      (local.set $count (i32.sub (local.get $count) (i32.const 1)))";
    let mut aggregate = migrating(code);
    let mut fields: Vec<Field> = schema().fields().iter().map(|field| field.as_ref().clone()).collect();
    fields.push(Field::new("gone", DataType::Boolean, true));
    let older = Arc::new(Schema::new(fields));
    let mut columns = batch(20).slice(2, 9).columns().to_vec();
    columns.push(Arc::new(arrow::array::BooleanArray::from(vec![Some(true); 9])));
    let states = RecordBatch::try_new(older.clone(), columns).unwrap();
    let migrated = aggregate.migrate(&older, &states, now()).unwrap();
    assert_eq!(
        (migrated.schema(), migrated.column(0), migrated.column(2)),
        (schema(), states.column(0), states.column(2))
    );
    assert_eq!(migrated.column(1).as_any().downcast_ref::<Int64Array>().unwrap().values()[..2], [4, 3]);
    // Nothing is called for nothing, and for nothing that makes no sense.
    let mut aggregate = migrating("unreachable");
    let none = RecordBatch::new_empty(older.clone());
    assert_eq!(aggregate.migrate(&older, &none, now()).unwrap(), batch(0));
    let error = aggregate.migrate(&older, &batch(1), now()).unwrap_err().to_string();
    assert!(error.contains("gone boolean and given station utf8"), "{error}");
}

#[test]
fn traps_loops_and_errors_of_migrate_are_reasons() {
    assert_eq!(fails("unreachable", &limits()), "trap: wasm `unreachable` instruction executed");
    assert_eq!(fails("(call $spin)", &Limits { time: SHORT, ..limits() }), "time limit of 50ms for a batch exceeded");
    let grow = "(loop (drop (memory.grow (i32.const 1))) (br 0))";
    assert_eq!(fails(grow, &limits()), "trap: memory limit of 16 MiB exceeded");
    assert_eq!(fails("(return (call $error (i32.const 2)))", &limits()), "a reason");
    let surplus = "(local.set $rows (i32.const 10))";
    assert_eq!(fails(surplus, &limits()), "plugin returned 10 rows for `state`; 9 are needed, one for each group");
    assert_eq!(
        fails("(local.set $count (i32.const 2))", &limits()),
        "plugin returned 2 columns for `state`, which has 3"
    );
    assert_eq!(
        fails("(i32.store8 (local.get $columns) (i32.const 6))", &limits()),
        "plugin returned column `station` of `state` as binary, and `open` announced utf8"
    );
}
