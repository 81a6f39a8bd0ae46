//! Aggregates: states that go in and come out, and every rule about them broken once.

use super::*;

/// The columns of groups: a key and a window.
fn groups_schema() -> SchemaRef {
    let time = crate::batch::data_type("timestamp").unwrap();
    Arc::new(Schema::new(vec![
        Field::new("station", DataType::Utf8, true),
        Field::new("window_start", time.clone(), false),
        Field::new("window_end", time, false),
    ]))
}

fn groups(count: usize) -> RecordBatch {
    let station: StringArray = (0..count).map(|group| (group != 1).then(|| format!("Süd {group}"))).collect();
    let time = |add: i64| -> ArrayRef {
        let times = (0..count as i64).map(|group| Some(group * 10 + add));
        Arc::new(times.collect::<arrow::array::TimestampMicrosecondArray>().with_timezone("UTC"))
    };
    RecordBatch::try_new(groups_schema(), vec![Arc::new(station), time(0), time(10)]).unwrap()
}

fn keep(keep: Keep) -> Arc<Plugin> {
    load(&Guest { is_aggregate: true, code: &keep.code(), ..Guest::default() }.build()).unwrap()
}

fn open_aggregate(plugin: &Arc<Plugin>, limits: &Limits) -> Result<Aggregate, PluginError> {
    Aggregate::open(plugin, limits, &[], &schema(), &groups_schema())
}

fn opened(keep_with: Keep) -> Aggregate {
    open_aggregate(&keep(keep_with), &limits()).unwrap()
}

/// Gives each of `rows` rows a group of its own, of which none has a state.
fn update(aggregate: &mut Aggregate, rows: usize) -> Result<Updated, ApplyError> {
    let group_of_row: Vec<u32> = (0..rows as u32).collect();
    aggregate.update(&batch(rows), &group_of_row, rows as u32, &batch(0), now())
}

/// What `update`, `merge` and `finish` say to nine rows. In all cases a fresh instance says the same to the same rows.
fn all_fail(keep: Keep, limits: &Limits) -> [String; 3] {
    let mut aggregate = open_aggregate(&self::keep(keep), limits).unwrap();
    let twice = |mut call: Box<dyn FnMut() -> ApplyError + '_>| {
        let error = call();
        assert_eq!(call(), error);
        error.to_string()
    };
    [
        twice(Box::new(|| update(&mut aggregate, 9).unwrap_err())),
        twice(Box::new(|| aggregate.merge(&batch(9), &batch(9), now()).unwrap_err())),
        twice(Box::new(|| aggregate.finish(&groups(9), &batch(9), now()).unwrap_err())),
    ]
}

/// What each function says of a guest that does this before it makes its answer.
fn before(code: &str, limits: &Limits) -> [String; 3] {
    all_fail(Keep { in_update: code, in_merge: code, in_finish: code, ..Keep::default() }, limits)
}

/// What each function says of a guest that does this to its answer.
fn after(code: &str, limits: &Limits) -> [String; 3] {
    all_fail(Keep { after_update: code, after_merge: code, after_finish: code, ..Keep::default() }, limits)
}

/// What the three functions say to an answer that breaks a rule in the same words, but for the table.
fn refused(code: &str) -> String {
    let [updated, merged, finished] = before(code, &limits());
    assert_eq!(updated, merged);
    assert_eq!(updated.replace("`state`", "`output`"), finished);
    updated.strip_prefix("plugin returned ").expect(&updated).to_owned()
}

fn open_fails(in_open: &str) -> String {
    words(open_aggregate(&keep(Keep { in_open, ..Keep::default() }), &limits()).err().expect(in_open))
}

#[test]
fn states_go_in_and_come_out() {
    let mut aggregate = opened(Keep::default());
    assert_eq!((aggregate.state(), aggregate.output()), (&schema(), &schema()));
    assert_eq!(update(&mut aggregate, 9).unwrap(), Updated { states: batch(9), rejected: vec![] });
    // Slices of larger batches, too.
    let (left, right) = (batch(40).slice(3, 9), batch(40).slice(17, 9));
    assert_eq!(aggregate.merge(&left, &right, now()).unwrap(), right);
    assert_eq!(aggregate.finish(&groups(40).slice(5, 9), &left, now()).unwrap(), left);
}

#[test]
fn update_is_told_groups_and_states() {
    // Gives back the states of the first groups as they are, with the group of the last row in each as `passengers`, and the number
    // of groups in the last.
    let code = "
      (local.set $rows (local.get $states)) (local.set $columns (local.get $state-columns))
      (loop
        (local.set $states (i32.sub (local.get $states) (i32.const 1)))
        (i64.store (i32.add (i32.load offset=36 (local.get $columns)) (i32.mul (local.get $states) (i32.const 8)))
          (i64.load32_u (i32.add (local.get $group-of-row)
            (i32.mul (i32.sub (local.get $group-of-row-count) (i32.const 1)) (i32.const 4)))))
        (br_if 0 (local.get $states)))
      (i64.store (i32.add (i32.load offset=36 (local.get $columns)) (i32.mul (i32.sub (local.get $rows) (i32.const 1)) (i32.const 8)))
        (i64.extend_i32_u (local.get $groups)))";
    // And rejects the last row, which is not counted in groups.
    let reject = "(i32.store (i32.const 1024) (i32.const 5)) (i32.store (i32.const 1028) (i32.const 512))
      (i32.store (i32.const 1032) (i32.const 8)) (i32.store (i32.const 144) (i32.const 1024)) (i32.store (i32.const 148) (i32.const 1))";
    let mut aggregate = opened(Keep { in_update: code, after_update: reject, ..Keep::default() });
    let updated = aggregate.update(&batch(6), &[0, 1, 2, 3, 0, 2], 4, &batch(4), now()).unwrap();
    assert_eq!(updated.rejected[0].row, 5);
    let passengers = updated.states.column(1).as_any().downcast_ref::<Int64Array>().unwrap().values().to_vec();
    assert_eq!(passengers, [2, 2, 2, 4]);
    assert_eq!(updated.states.column(0), batch(4).column(0));
}

#[test]
fn without_a_key_all_rows_are_one_group_without_columns() {
    let none: SchemaRef = Arc::new(Schema::empty());
    let plugin = keep(Keep::default());
    let mut aggregate = Aggregate::open(&plugin, &limits(), &[], &schema(), &none).unwrap();
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(1));
    let one_group = RecordBatch::try_new_with_options(none, vec![], &options).unwrap();
    assert_eq!(aggregate.update(&batch(1), &[0], 1, &batch(1), now()).unwrap().states, batch(1));
    assert_eq!(aggregate.finish(&one_group, &batch(1), now()).unwrap(), batch(1));
}

#[test]
fn nothing_is_called_for_nothing() {
    let trap = Keep { in_update: "unreachable", in_merge: "unreachable", in_finish: "unreachable", ..Keep::default() };
    let mut aggregate = opened(trap);
    let updated = aggregate.update(&batch(0), &[], 3, &batch(3), now()).unwrap();
    assert_eq!(updated, Updated { states: batch(3), rejected: vec![] });
    assert_eq!(aggregate.merge(&batch(0), &batch(0), now()).unwrap(), batch(0));
    assert_eq!(aggregate.finish(&groups(0), &batch(0), now()).unwrap(), batch(0));
    // New groups get their states from the plugin.
    assert!(aggregate.update(&batch(0), &[], 3, &batch(2), now()).is_err());
}

#[test]
fn rejections_come_sorted_once_a_row() {
    let reject = "
        (i32.store (i32.const 1024) (i32.const 2)) (i32.store (i32.const 1028) (i32.const 512)) (i32.store (i32.const 1032) (i32.const 8))
        (i32.store (i32.const 1036) (i32.const 1)) (i32.store (i32.const 1040) (i32.const 512)) (i32.store (i32.const 1044) (i32.const 8))
        (i32.store (i32.const 1048) (i32.const 2)) (i32.store (i32.const 1052) (i32.const 512)) (i32.store (i32.const 1056) (i32.const 0))
        (i32.store (i32.const 144) (i32.const 1024)) (i32.store (i32.const 148) (i32.const 3))";
    let mut aggregate = opened(Keep { after_update: reject, ..Keep::default() });
    let rejected = update(&mut aggregate, 9).unwrap().rejected;
    let rejected: Vec<_> = rejected.iter().map(|rejection| (rejection.row, rejection.reason.as_str())).collect();
    assert_eq!(rejected, [(1, "a reason"), (2, "a reason")]);
    assert_eq!(
        update(&mut aggregate, 2).unwrap_err().to_string(),
        "plugin returned a rejection of row 2, and the batch has 2 rows"
    );
}

#[test]
fn any_number_of_rows_may_come_out_but_one_state_a_group() {
    let fewer = "(local.set $rows (i32.const 8))
      (i32.store offset=8 (local.get $columns) (i32.const 9))
      (i32.store offset=16 (local.get $columns) (i32.load offset=32 (i32.load offset=4 (local.get $columns))))
      (i32.store offset=40 (local.get $columns) (i32.const 8))
      (i32.store offset=72 (local.get $columns) (i32.const 8))
      (i32.store offset=92 (local.get $columns) (i32.const 1))";
    let mut aggregate = opened(Keep { in_update: fewer, in_merge: fewer, in_finish: fewer, ..Keep::default() });
    let needed = "plugin returned 8 rows for `state`; 9 are needed, one for each group";
    assert_eq!(update(&mut aggregate, 9).unwrap_err().to_string(), needed);
    assert_eq!(aggregate.merge(&batch(9), &batch(9), now()).unwrap_err().to_string(), needed);
    assert_eq!(aggregate.finish(&groups(9), &batch(9), now()).unwrap(), batch(8));
}

#[test]
fn traps_loops_and_errors_are_reasons_and_the_aggregate_can_be_used_again() {
    assert_eq!(before("unreachable", &limits()), ["trap: wasm `unreachable` instruction executed"; 3]);
    assert_eq!(before("(call $recurse)", &limits()), ["trap: call stack exhausted"; 3]);
    let short = Limits { time: SHORT, ..limits() };
    assert_eq!(before("(call $spin)", &short), ["time limit of 50ms for a batch exceeded"; 3]);
    let grow = "(loop (drop (memory.grow (i32.const 1))) (br 0))";
    assert_eq!(before(grow, &limits()), ["trap: memory limit of 16 MiB exceeded"; 3]);
    assert_eq!(before("(return (call $error (i32.const 2)))", &limits()), ["a reason"; 3]);
    assert_eq!(before("(return (call $error (i32.const 1)))", &limits()), ["unsupported schema: a reason"; 3]);
    // Nine rows trap, and others don't.
    let nine = "(if (i32.eq (local.get $rows) (i32.const 9)) (then unreachable))";
    let mut aggregate = opened(Keep { in_update: nine, ..Keep::default() });
    for _ in 0..2 {
        assert!(update(&mut aggregate, 9).is_err());
        assert_eq!(update(&mut aggregate, 8).unwrap().states, batch(8));
        assert_eq!(aggregate.merge(&batch(9), &batch(9), now()).unwrap(), batch(9));
    }
}

#[test]
fn an_instance_goes_on_after_an_error_and_is_replaced_after_nonsense() {
    // The first call of an instance goes wrong.
    let first = |code: &str| {
        let wrong =
            format!("(if (i32.eqz (i32.load (i32.const 8))) (then (i32.store (i32.const 8) (i32.const 1)) {code}))");
        let mut aggregate = opened(Keep { in_merge: &wrong, ..Keep::default() });
        [(); 3].map(|()| aggregate.merge(&batch(9), &batch(9), now()).is_ok())
    };
    assert_eq!(first("(return (call $error (i32.const 2)))"), [false, true, true]);
    assert_eq!(first("(local.set $rows (i32.const 8))"), [false; 3]);
    assert_eq!(first("unreachable"), [false; 3]);
}

/// One that keeps rows of [`schema`] by their station as they came, but for code of the test's own.
pub(crate) fn keeping(keep_with: Keep) -> Result<Aggregate, PluginError> {
    open_aggregate(&keep(keep_with), &limits())
}

/// An aggregate of groups as [`groups_schema`] has them, whose answers begin with the time of the call as `passengers`, in
/// nanoseconds.
pub(crate) fn telling_time() -> Aggregate {
    let code = "(i64.store (i32.load offset=36 (local.get $columns)) (call $now))";
    let keep = Keep { in_update: code, in_merge: code, in_finish: code, ..Keep::default() }.code();
    let guest = Guest {
        is_aggregate: true,
        imports: "(import \"wasi:clocks/monotonic-clock@0.2.9\" (instance $clock (export \"now\" (func (result u64)))))
          (core func $now (canon lower (func $clock \"now\")))
          (core instance $core-wasi (export \"now\" (func $now)))",
        with: "(with \"wasi\" (instance $core-wasi))",
        code: &format!("(import \"wasi\" \"now\" (func $now (result i64))) {keep}"),
        ..Guest::default()
    };
    open_aggregate(&load(&guest.build()).unwrap(), &limits()).unwrap()
}

#[test]
fn time_is_the_calls() {
    let mut aggregate = telling_time();
    let seen = |batch: RecordBatch| batch.column(1).as_any().downcast_ref::<Int64Array>().unwrap().value(0);
    assert_eq!(seen(update(&mut aggregate, 9).unwrap().states), 1_700_000_000_123_000_000);
    assert_eq!(seen(aggregate.merge(&batch(9), &batch(9), now()).unwrap()), 1_700_000_000_123_000_000);
    assert_eq!(seen(aggregate.finish(&groups(9), &batch(9), now()).unwrap()), 1_700_000_000_123_000_000);
}

#[test]
fn more_than_the_output_limit_is_not_taken() {
    let limits = Limits { output: 64 << 10, ..limits() };
    let too_much = "plugin returned more than its output limit of 64 KiB";
    let mut aggregate = open_aggregate(&keep(Keep::default()), &limits).unwrap();
    assert_eq!(update(&mut aggregate, 3000).unwrap_err().to_string(), too_much);
    assert_eq!(aggregate.merge(&batch(3000), &batch(3000), now()).unwrap_err().to_string(), too_much);
    assert_eq!(aggregate.finish(&groups(3000), &batch(3000), now()).unwrap_err().to_string(), too_much);
    assert_eq!(update(&mut aggregate, 1000).unwrap().states, batch(1000));
    let rejections = "(i32.store (i32.const 144) (i32.const 0)) (i32.store (i32.const 148) (i32.const 5000))";
    let mut aggregate = open_aggregate(&keep(Keep { after_update: rejections, ..Keep::default() }), &limits).unwrap();
    assert_eq!(update(&mut aggregate, 9).unwrap_err().to_string(), too_much);
}

#[test]
fn states_that_are_no_columns_are_refused() {
    assert_eq!(refused("(local.set $count (i32.const 2))"), "2 columns for `state`, which has 3");
    assert_eq!(
        refused("(i32.store8 (local.get $columns) (i32.const 6))"),
        "column `station` of `state` as binary, and `open` announced utf8"
    );
    assert_eq!(
        refused("(i32.store offset=40 (local.get $columns) (i32.const 8))"),
        "9 rows but column `passengers` of `state` has too few or too many values: 9 are needed, it has 8"
    );
    assert_eq!(
        refused("(i32.store offset=92 (local.get $columns) (i32.const 1))"),
        "9 rows but column `duration` of `state` has too few or too many bytes of validity: 2 are needed, it has 1"
    );
    let nulls = "(i32.store8 offset=52 (local.get $columns) (i32.const 1))
                 (i64.store offset=56 (local.get $columns) (i64.load offset=88 (local.get $columns)))";
    assert_eq!(refused(nulls), "3 nulls in column `passengers` of `state`, which `open` announced without nulls");
    let offset = "(i32.store offset=16 (i32.load offset=4 (local.get $columns)) (i32.const -1))";
    assert_eq!(refused(offset), "offsets of column `station` of `state` that decrease after row 4");
    let byte = "(i32.store8 offset=20 (i32.load offset=12 (local.get $columns)) (i32.const 255))";
    assert_eq!(refused(byte), "text in row 3 of column `station` of `state` that is not UTF-8");
    let past = "(i32.store offset=12 (local.get $columns) (i32.const 65530))";
    assert_eq!(before(past, &limits()), ["trap: list pointer/length out of bounds of memory"; 3]);
    let columns = "(i32.store (i32.const 136) (i32.const -4))";
    assert_eq!(after(columns, &limits()), ["trap: list pointer/length out of bounds of memory"; 3]);
}

#[test]
fn what_open_announces_must_be_columns() {
    let announces = |in_open: &str| {
        let error = open_fails(in_open);
        error.strip_prefix("announces tables that can't be: ").expect(&error).to_owned()
    };
    assert_eq!(announces("(i32.store (i32.const 40) (i32.const 0))"), "table `state`: it has no columns");
    assert_eq!(announces("(i32.store (i32.const 48) (i32.const 0))"), "table `output`: it has no columns");
    let twice = "(i64.store (local.get $fields) (i64.load offset=12 (local.get $fields)))";
    assert_eq!(announces(twice), "table `state`: there are two columns `passengers`");
    assert_eq!(open_fails("unreachable"), "failed to open: trap: wasm `unreachable` instruction executed");
    let offered = "station utf8, passengers int64, duration float64, and groups of station utf8, window_start timestamp, window_end timestamp";
    assert_eq!(
        open_fails("(return (call $error (i32.const 1)))"),
        format!("can't work with these columns: a reason; it was offered {offered}")
    );
    // Groups are offered as they are: the plugin may announce them as what comes out.
    let group_columns = "(i32.store (i32.const 44) (local.get $group-fields)) (i32.store (i32.const 48) (local.get $group-fields-count))";
    assert_eq!(opened(Keep { in_open: group_columns, ..Keep::default() }).output(), &groups_schema());
}

#[test]
fn calls_that_make_no_sense_do_not_reach_the_plugin() {
    let mut aggregate = opened(Keep::default());
    let mut update = |group_of_row: &[u32], groups: u32, states: usize| {
        aggregate.update(&batch(2), group_of_row, groups, &batch(states), now()).unwrap_err().to_string()
    };
    assert_eq!(update(&[0], 2, 0), "2 rows with 1 groups, of 2 with 0 states, make no call of `update`");
    assert_eq!(update(&[0, 2], 2, 0), "2 rows with 2 groups, of 2 with 0 states, make no call of `update`");
    assert_eq!(update(&[0, 1], 2, 3), "2 rows with 2 groups, of 2 with 3 states, make no call of `update`");
    let beside = aggregate.merge(&batch(2), &batch(3), now()).unwrap_err().to_string();
    assert_eq!(beside, "2 rows beside 3 make no call of `merge`");
    let beside = aggregate.finish(&groups(2), &batch(3), now()).unwrap_err().to_string();
    assert_eq!(beside, "2 rows beside 3 make no call of `finish`");
    let error = aggregate.merge(&groups(2), &batch(2), now()).unwrap_err().to_string();
    assert!(error.starts_with("the plugin was opened for the columns station utf8, passengers int64"), "{error}");
}

#[test]
fn an_instance_that_uses_over_half_of_its_memory_is_replaced() {
    // Counts its calls at 8, returns as many in the first row, and grows to 3 MiB in the second call.
    let code = "(i32.store (i32.const 8) (i32.add (i32.load (i32.const 8)) (i32.const 1)))
         (if (i32.eq (i32.load (i32.const 8)) (i32.const 2)) (then (drop (memory.grow (i32.const 47)))))
         (i64.store (i32.load offset=36 (local.get $columns)) (i64.extend_i32_u (i32.load (i32.const 8))))";
    let plugin = keep(Keep { in_merge: code, ..Keep::default() });
    let calls = |memory: u64| -> Vec<i64> {
        let mut aggregate = open_aggregate(&plugin, &Limits { memory, ..limits() }).unwrap();
        let call = |_| {
            let merged = aggregate.merge(&batch(1), &batch(1), now()).unwrap();
            merged.column(1).as_any().downcast_ref::<Int64Array>().unwrap().value(0)
        };
        (0..5).map(call).collect()
    };
    assert_eq!(calls(8 << 20), [1, 2, 3, 4, 5]);
    assert_eq!(calls(5 << 20), [1, 2, 1, 2, 1]);
}

#[test]
fn a_transform_is_not_taken_for_an_aggregate_and_inspection_tells_them_apart() {
    let transform = super::guest(&identity("", "", ""));
    assert_eq!(
        words(open_aggregate(&transform, &limits()).err().unwrap()),
        "can't be loaded: it is a transform, and is asked for as an aggregate"
    );
    let aggregate = opened(Keep::default());
    let inspection = inspect_aggregate(&aggregate);
    assert_eq!(inspection, Inspection { tables: inspection.tables.clone(), ..inspect(aggregate.plugin()) });
    let json = serde_json::to_value(&inspection).unwrap();
    assert_eq!((&json["kind"], &json["exports"][0]), (&"aggregate".into(), &"rillgate:plugin/aggregate@0.1.0".into()));
    assert_eq!((&json["tables"][0]["name"], &json["tables"][1]["name"]), (&"state".into(), &"output".into()));
    assert_eq!(
        json["tables"][0]["columns"][1],
        serde_json::json!({ "name": "passengers", "type": "int64", "nullable": false })
    );
}
