//! Plugins that trap, spin, grow and lie. Each is stopped with a reason that says what it did, and can be used again.

use super::*;

/// What `open` says of a guest that does this in `open`.
fn open_fails(in_open: &str, limits: &Limits) -> String {
    words(open(&guest(&identity(in_open, "", "")), limits).err().expect(in_open))
}

/// What `apply` says to nine rows of a guest that does these things before and after it has made its answer. In all
/// cases a fresh instance says the same to the same rows.
fn apply_fails(before: &str, after: &str, limits: &Limits) -> String {
    let mut transform = open(&guest(&identity("", before, after)), limits).unwrap();
    let error = transform.apply(&batch(9), now()).unwrap_err();
    assert_eq!(transform.apply(&batch(9), now()).unwrap_err(), error);
    error.to_string()
}

/// The tables of a guest that changes what it announces.
fn tables_fail(in_open: &str) -> String {
    let error = open_fails(in_open, &limits());
    error.strip_prefix("announces tables that can't be: ").expect(&error).to_owned()
}

/// What is wrong with the answer of a guest that changes the columns before it returns them.
fn answer_fails(before: &str) -> String {
    let error = apply_fails(before, "", &limits());
    error.strip_prefix("plugin returned ").expect(&error).to_owned()
}

#[test]
fn traps_are_reasons() {
    let unreachable = "wasm `unreachable` instruction executed";
    assert_eq!(open_fails("unreachable", &limits()), format!("failed to open: trap: {unreachable}"));
    assert_eq!(apply_fails("unreachable", "", &limits()), format!("trap: {unreachable}"));
    assert_eq!(apply_fails("(drop (i32.load (i32.const -8)))", "", &limits()), "trap: out of bounds memory access");
    assert_eq!(apply_fails("(call $recurse)", "", &limits()), "trap: call stack exhausted");
    assert_eq!(open_fails("(call $recurse)", &limits()), "failed to open: trap: call stack exhausted");
}

#[test]
fn endless_loops_end_at_the_time_limit() {
    let limits = Limits { time: SHORT, ..limits() };
    assert_eq!(open_fails("(call $spin)", &limits), "failed to open: time limit of 50ms for a batch exceeded");
    assert_eq!(apply_fails("(call $spin)", "", &limits), "time limit of 50ms for a batch exceeded");
    let spins_in_start =
        "(func $spin (loop (br 0))) (start $spin)".to_owned() + &identity("", "", "").replace("$spin", "$x");
    assert_eq!(
        words(open(&guest(&spins_in_start), &limits).err().unwrap()),
        "failed to open: time limit of 50ms for a batch exceeded"
    );
}

#[test]
fn memory_and_tables_end_at_the_memory_limit() {
    let exceeded = "trap: memory limit of 16 MiB exceeded";
    let grow = "(loop (drop (memory.grow (i32.const 1))) (br 0))";
    assert_eq!(open_fails(grow, &limits()), format!("failed to open: {exceeded}"));
    assert_eq!(apply_fails(grow, "", &limits()), exceeded);
    assert_eq!(apply_fails("(drop (memory.grow (i32.const 65000)))", "", &limits()), exceeded);
    let grow_table = identity("", "(drop (table.grow $t (ref.null func) (i32.const 100000000)))", "");
    let mut transform = open(&guest(&format!("(table $t 1 funcref) {grow_table}")), &limits()).unwrap();
    assert_eq!(transform.apply(&batch(9), now()).unwrap_err().to_string(), exceeded);
    let too_large = format!("(memory $own 300) {}", identity("", "", ""));
    assert_eq!(words(open(&guest(&too_large), &limits()).err().unwrap()), format!("failed to open: {exceeded}"));
    let input_too_large = Limits { memory: 64 << 10, ..limits() };
    let mut transform = open(&guest(&identity("", "", "")), &input_too_large).unwrap();
    assert_eq!(
        transform.apply(&batch(10_000), now()).unwrap_err().to_string(),
        "trap: memory limit of 64 KiB exceeded"
    );
}

#[test]
fn memory_that_the_plugin_itself_forbids_is_not_counted() {
    // A memory of at most one page, grown in vain a thousand times.
    let grow = "(local.set $rows (i32.const 1000)) (loop (drop (memory.grow $own (i32.const 16)))
                (br_if 0 (local.tee $rows (i32.sub (local.get $rows) (i32.const 1))))) (local.set $rows (i32.const 9))";
    let plugin = guest(&format!("(memory $own 1 1) {}", identity("", grow, "")));
    let mut transform = open(&plugin, &limits()).unwrap();
    assert_eq!(transform.apply(&batch(9), now()).unwrap().batches, [batch(9)]);
}

#[test]
fn more_than_the_output_limit_is_not_taken_however_it_is_told() {
    let limits = Limits { output: 64 << 10, ..limits() };
    let too_much = "plugin returned more than its output limit of 64 KiB";
    // 3,000 rows of some 27 bytes.
    let mut transform = open(&guest(&identity("", "", "")), &limits).unwrap();
    assert_eq!(transform.apply(&batch(3000), now()).unwrap_err().to_string(), too_much);
    assert_eq!(transform.apply(&batch(1000), now()).unwrap().batches, [batch(1000)]);
    // All of the first page as the text of the first column, and the same page as its offsets.
    let whole_page = "(i32.store offset=4 (local.get $columns) (i32.const 0))
                      (i32.store offset=8 (local.get $columns) (i32.const 16384))
                      (i32.store offset=12 (local.get $columns) (i32.const 0))
                      (i32.store offset=16 (local.get $columns) (i32.const 65536))";
    assert_eq!(apply_fails(whole_page, "", &limits), too_much);
    // 5,000 batches, all of them the same few bytes.
    let batches = "(i32.store (i32.const 136) (i32.const 5000))";
    assert_eq!(apply_fails("", batches, &limits), too_much);
    // As many rejections, all of them nonsense.
    let rejections = "(i32.store (i32.const 140) (i32.const 0)) (i32.store (i32.const 144) (i32.const 5000))";
    assert_eq!(apply_fails("", rejections, &limits), too_much);
    // A kilobyte of columns, each of which points to 8 KiB of zeros.
    let columns = "(local.set $count (i32.const 1)) (local.set $rows (i32.const 2048))
                   (i32.store8 (local.get $columns) (i32.const 1))
                   (i32.store offset=4 (local.get $columns) (i32.const 8192))
                   (i32.store offset=8 (local.get $columns) (i32.const 2048))
                   (i32.store8 offset=20 (local.get $columns) (i32.const 0))
                   (memory.copy (i32.add (local.get $columns) (i32.const 32)) (local.get $columns) (i32.const 32))
                   (memory.copy (i32.add (local.get $columns) (i32.const 64)) (local.get $columns) (i32.const 64))
                   (memory.copy (i32.add (local.get $columns) (i32.const 128)) (local.get $columns) (i32.const 128))
                   (memory.copy (i32.add (local.get $columns) (i32.const 256)) (local.get $columns) (i32.const 256))
                   (memory.copy (i32.add (local.get $columns) (i32.const 512)) (local.get $columns) (i32.const 512))
                   (local.set $count (i32.const 32))";
    assert_eq!(apply_fails(columns, "", &limits), too_much);
}

#[test]
fn pointers_out_of_memory_are_refused() {
    let past_the_end = apply_fails("(i32.store offset=12 (local.get $columns) (i32.const 65530))", "", &limits());
    assert_eq!(past_the_end, "trap: list pointer/length out of bounds of memory");
    let of_batches = apply_fails("", "(i32.store (i32.const 132) (i32.const -4))", &limits());
    assert_eq!(of_batches, "trap: list pointer/length out of bounds of memory");
    let misaligned = apply_fails("(i32.store offset=4 (local.get $columns) (i32.const 4097))", "", &limits());
    assert_eq!(misaligned, "trap: list pointer is not aligned");
    let case = apply_fails("(i32.store8 (local.get $columns) (i32.const 99))", "", &limits());
    assert_eq!(case, "trap: unexpected discriminant: 99");
}

#[test]
fn tables_that_can_not_be_are_refused() {
    let two = "(i32.store (i32.const 40) (i32.const 2))";
    assert_eq!(tables_fail("(i32.store (i32.const 40) (i32.const 0))"), "there is no table `main`");
    assert_eq!(tables_fail("(i32.store (i32.const 64) (i32.const 24))"), "there is no table `main`");
    assert_eq!(tables_fail(&format!("{two} (i32.store (i32.const 80) (i32.const 16))")), "there are two tables `main`");
    let unnamed = "its name is not 1 to 64 letters, digits, `_` and `-` that begin with a letter";
    assert_eq!(tables_fail(&format!("{two} (i32.store (i32.const 84) (i32.const 0))")), format!("table ``: {unnamed}"));
    assert_eq!(tables_fail("(i32.store (i32.const 68) (i32.const 8))"), format!("table `main    `: {unnamed}"));
    assert_eq!(tables_fail("(i32.store (i32.const 76) (i32.const 0))"), "table `main`: it has no columns");
    let same_name = "(i64.store (local.get $fields) (i64.load offset=12 (local.get $fields)))";
    assert_eq!(tables_fail(same_name), "table `main`: there are two columns `passengers`");
    let no_name = "(i32.store offset=4 (local.get $fields) (i32.const 0))";
    assert_eq!(tables_fail(no_name), "table `main`: a column has no name");
    let type_99 = "(i32.store8 offset=8 (local.get $fields) (i32.const 99))";
    assert_eq!(open_fails(type_99, &limits()), "failed to open: trap: unexpected discriminant: 99");
    let not_utf8 = "(i32.store8 (i32.const 16) (i32.const 255))";
    assert_eq!(open_fails(not_utf8, &limits()), "failed to open: trap: invalid utf-8 sequence of 1 bytes from index 0");
}

#[test]
fn answers_of_another_shape_than_announced_are_refused() {
    assert_eq!(
        apply_fails("", "(i32.store (i32.const 136) (i32.const 0))", &limits()),
        "plugin returned 0 batches, and `open` announced 1 tables"
    );
    assert_eq!(answer_fails("(local.set $count (i32.const 2))"), "2 columns for `main`, which has 3");
    assert_eq!(
        answer_fails("(i32.store8 (local.get $columns) (i32.const 6))"),
        "column `station` of `main` as binary, and `open` announced utf8"
    );
    assert_eq!(
        answer_fails("(local.set $rows (i32.const 10))"),
        "10 rows but column `station` of `main` has too few or too many offsets: 11 are needed, it has 10"
    );
    assert_eq!(
        answer_fails("(i32.store offset=40 (local.get $columns) (i32.const 8))"),
        "9 rows but column `passengers` of `main` has too few or too many values: 9 are needed, it has 8"
    );
    assert_eq!(
        answer_fails("(i32.store offset=92 (local.get $columns) (i32.const 1))"),
        "9 rows but column `duration` of `main` has too few or too many bytes of validity: 2 are needed, it has 1"
    );
    assert_eq!(answer_fails("(local.set $rows (i32.const -1))"), "4294967295 rows for `main`; 16777216 are the most");
    let nulls = "(i32.store8 offset=52 (local.get $columns) (i32.const 1))
                 (i64.store offset=56 (local.get $columns) (i64.load offset=88 (local.get $columns)))";
    assert_eq!(answer_fails(nulls), "3 nulls in column `passengers` of `main`, which `open` announced without nulls");
}

#[test]
fn offsets_and_text_that_would_break_arrow_are_refused() {
    let offset = |row: u32, value: i32| {
        answer_fails(&format!(
            "(i32.store offset={} (i32.load offset=4 (local.get $columns)) (i32.const {value}))",
            4 * row
        ))
    };
    // Nine texts of six bytes: `Süd 0` to `Süd 8`.
    assert_eq!(offset(0, 1), "offsets of column `station` of `main` that begin at 1, not at 0");
    assert_eq!(offset(4, 31), "offsets of column `station` of `main` that decrease after row 4");
    assert_eq!(offset(4, -1), "offsets of column `station` of `main` that decrease after row 4");
    assert_eq!(offset(9, 53), "offsets of column `station` of `main` that end at 53, and there are 54 bytes");
    assert_eq!(offset(9, 55), "offsets of column `station` of `main` that end at 55, and there are 54 bytes");
    // Between the bytes of an `ü`.
    assert_eq!(offset(3, 20), "text in row 2 of column `station` of `main` that is not UTF-8");
    let byte = |at: u32, value: u32| {
        answer_fails(&format!("(i32.store8 offset={at} (i32.load offset=12 (local.get $columns)) (i32.const {value}))"))
    };
    assert_eq!(byte(20, 0xff), "text in row 3 of column `station` of `main` that is not UTF-8");
    assert_eq!(byte(53, 0xc3), "text in row 8 of column `station` of `main` that is not UTF-8");
    // A character that begins in one row and ends in the next.
    let across = "(i32.store16 offset=29 (i32.load offset=12 (local.get $columns)) (i32.const 0xa4c3))
                  (i32.store16 offset=31 (i32.load offset=12 (local.get $columns)) (i32.const 0x2020))";
    assert_eq!(answer_fails(across), "text in row 4 of column `station` of `main` that is not UTF-8");
}

#[test]
fn a_bitmap_of_a_boolean_column_has_a_bit_for_each_row() {
    let schema: SchemaRef = Arc::new(Schema::new(vec![Field::new("open", DataType::Boolean, false)]));
    let open: arrow::array::BooleanArray = (0..9).map(|row| Some(row % 2 == 0)).collect();
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(open)]).unwrap();
    let plugin = guest(&identity("", "(i32.store offset=8 (local.get $columns) (i32.const 3))", ""));
    let mut transform = Transform::open(&plugin, &limits(), &[], &schema).unwrap();
    assert_eq!(
        transform.apply(&batch, now()).unwrap_err().to_string(),
        "plugin returned 9 rows but column `open` of `main` has too few or too many bytes of bits: 2 are needed, it has 3"
    );
}

#[test]
fn rejections_of_rows_that_are_not_there_are_refused() {
    let reject = "(i32.store (i32.const 1024) (i32.const 9)) (i32.store (i32.const 1028) (i32.const 512))
                  (i32.store (i32.const 140) (i32.const 1024)) (i32.store (i32.const 144) (i32.const 1))";
    assert_eq!(apply_fails("", reject, &limits()), "plugin returned a rejection of row 9, and the batch has 9 rows");
}

#[test]
fn errors_are_passed_on_in_the_plugins_words() {
    assert_eq!(apply_fails("(return (call $error (i32.const 2)))", "", &limits()), "a reason");
    assert_eq!(apply_fails("(return (call $error (i32.const 0)))", "", &limits()), "invalid setting: a reason");
}
