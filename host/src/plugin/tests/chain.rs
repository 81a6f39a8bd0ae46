//! Chains of transforms, and the search for the messages that break them.

use super::*;
use crate::batch::Rows;

/// One column `n`, int64 without nulls.
fn numbers_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]))
}

/// Keeps values from 0 on; -1 traps, -2 spins, -3 is an error, -4 is rejected. `tables` is 1, or 2 for odd values apart.
fn filter(tables: u32) -> Arc<Plugin> {
    guest(&include_str!("filter.wat").replace("@TABLES@", &tables.to_string()))
}

fn step(plugin: &Arc<Plugin>) -> Step {
    Step { plugin: Arc::clone(plugin), limits: Limits { time: SHORT, ..limits() }, settings: vec![] }
}

/// Rows of one number each, with the messages that they came from.
fn rows(numbers: &[(u32, i64)]) -> Rows {
    let values: Int64Array = numbers.iter().map(|(_, number)| Some(*number)).collect();
    let batch = RecordBatch::try_new(numbers_schema(), vec![Arc::new(values)]).unwrap();
    Rows { batch, origin: numbers.iter().map(|(message, _)| *message).collect() }
}

/// A message for each number.
fn messages(numbers: &[i64]) -> Rows {
    rows(&numbers.iter().enumerate().map(|(message, number)| (message as u32, *number)).collect::<Vec<_>>())
}

fn numbers(batches: &[RecordBatch]) -> Vec<i64> {
    let column = |batch: &RecordBatch| batch.column(0).as_any().downcast_ref::<Int64Array>().unwrap().values().to_vec();
    batches.iter().flat_map(column).collect()
}

fn any(_: usize, _: &RecordBatch) -> Result<(), Refusal> {
    Ok(())
}

/// Message, stage and reason of a dead letter.
type Letter = (u32, String, String);

/// What comes out for each table, and the dead letters.
fn run(chain: &mut Chain, rows: &Rows) -> (Vec<Vec<i64>>, Vec<Letter>) {
    let mut dead = Vec::new();
    let out = chain.apply(rows, now(), &mut any, &mut dead).unwrap();
    let out = out.iter().map(|batches| numbers(batches)).collect();
    (out, dead.into_iter().map(|dead| (dead.message, dead.stage, dead.reason)).collect())
}

fn in_transform(message: u32, reason: &str) -> (u32, String, String) {
    (message, "transform".to_owned(), reason.to_owned())
}

const TRAP: &str = "trap: wasm `unreachable` instruction executed";
const SPIN: &str = "time limit of 50ms for a batch exceeded";
const ERROR: &str = "rejected";
const REJECTED: &str = "rejected as it should be";

#[test]
fn without_transforms_rows_pass_through() {
    let mut chain = Chain::open(&[], &numbers_schema()).unwrap();
    assert_eq!(chain.tables(), [Table { name: "main".to_owned(), schema: numbers_schema() }]);
    assert_eq!(run(&mut chain, &messages(&[3, -1, 4])), (vec![vec![3, -1, 4]], vec![]));
    assert_eq!(run(&mut chain, &messages(&[])), (vec![vec![]], vec![]));
}

#[test]
fn messages_that_fail_alone_are_dead_and_the_others_go_on_in_order() {
    let mut chain = Chain::open(&[step(&filter(1))], &numbers_schema()).unwrap();
    let numbers: Vec<i64> = (0..100)
        .map(|n| match n {
            0 | 17 | 18 | 99 => -1,
            40 => -2,
            41 => -3,
            60 | 17_000 => -4,
            n => n,
        })
        .collect();
    let (out, dead) = run(&mut chain, &messages(&numbers));
    assert_eq!(out, [numbers.iter().copied().filter(|n| *n >= 0).collect::<Vec<_>>()]);
    let expected = [
        in_transform(0, TRAP),
        in_transform(17, TRAP),
        in_transform(18, TRAP),
        in_transform(40, SPIN),
        in_transform(41, ERROR),
        in_transform(60, REJECTED),
        in_transform(99, TRAP),
    ];
    assert_eq!(dead, expected);
}

#[test]
fn dead_messages_carry_the_digest_of_the_plugin() {
    let plugin = filter(1);
    let mut chain = Chain::open(&[step(&plugin)], &numbers_schema()).unwrap();
    let mut dead = Vec::new();
    chain.apply(&messages(&[-4, 1, -1]), now(), &mut any, &mut dead).unwrap();
    assert_eq!(dead.len(), 2);
    assert!(dead.iter().all(|dead| dead.plugin.as_ref() == Some(&plugin.digest)), "{dead:?}");
}

#[test]
fn a_message_of_several_rows_goes_on_whole_or_not_at_all() {
    let mut chain = Chain::open(&[step(&filter(1))], &numbers_schema()).unwrap();
    let rejected = rows(&[(0, 1), (2, 2), (2, -4), (2, 3), (5, 4), (7, -4), (7, -4), (8, 5)]);
    assert_eq!(
        run(&mut chain, &rejected),
        (vec![vec![1, 4, 5]], vec![in_transform(2, REJECTED), in_transform(7, REJECTED)])
    );
    let trapped = rows(&[(0, 1), (2, 2), (2, -1), (2, 3), (5, 4), (8, 5)]);
    assert_eq!(run(&mut chain, &trapped), (vec![vec![1, 4, 5]], vec![in_transform(2, TRAP)]));
    let both = rows(&[(0, 1), (0, -4), (1, 2), (1, -1), (2, -4), (2, -4), (3, 6)]);
    assert_eq!(
        run(&mut chain, &both),
        (vec![vec![6]], vec![in_transform(0, REJECTED), in_transform(1, TRAP), in_transform(2, REJECTED)])
    );
}

#[test]
fn named_outputs_come_after_main_of_the_last() {
    let (two, one) = (filter(2), filter(1));
    let mut chain = Chain::open(&[step(&two), step(&one)], &numbers_schema()).unwrap();
    let names: Vec<_> = chain.tables().iter().map(|table| table.name.as_str()).collect();
    assert_eq!(names, ["main", "odd"]);
    assert_eq!(run(&mut chain, &messages(&[0, 1, 2, 3, -1, 5])).0, [vec![0, 2], vec![1, 3, 5]]);
    let error = Chain::open(&[step(&two), step(&two)], &numbers_schema()).err().unwrap().to_string();
    assert!(error.ends_with("write to the output `odd`: rename it in one of them"), "{error}");
}

#[test]
fn what_a_later_transform_or_the_sink_refuses_is_dead_and_gives_nothing_anywhere() {
    // The first gives even numbers to the second, which takes the first's place of failing by their values less 100.
    let subtract = identity(
        "",
        "(local $at i32) (local.set $at (i32.load offset=4 (local.get $columns)))
         (loop (i64.store (local.get $at) (i64.sub (i64.load (local.get $at)) (i64.const 100)))
           (local.set $at (i32.add (local.get $at) (i32.const 8)))
           (br_if 0 (i32.lt_u (local.get $at)
             (i32.add (i32.load offset=4 (local.get $columns)) (i32.mul (local.get $rows) (i32.const 8))))))",
        "",
    );
    // Locals come first in a function.
    let subtract = subtract.replacen("(result i32)\n  (local $at i32)", "(result i32) (local $at i32)", 1);
    let steps = [step(&guest(&subtract)), step(&filter(2))];
    let mut chain = Chain::open(&steps, &numbers_schema()).unwrap();
    let input = messages(&[100, 101, 96, 97, 99, 98, 106, 107]);
    let (out, dead) = run(&mut chain, &input);
    assert_eq!(out, [vec![0, 6], vec![1, 7]]);
    let expected = [in_transform(2, REJECTED), in_transform(3, ERROR), in_transform(4, TRAP), in_transform(5, SPIN)];
    assert_eq!(dead, expected);

    // The sink refuses 1 in `odd`.
    let mut check =
        |table: usize, batch: &RecordBatch| match numbers(std::slice::from_ref(batch)).iter().position(|n| *n == 1) {
            Some(_) if table == 1 => Err(Refusal::Row { stage: "sink", reason: "too odd".to_owned(), plugin: None }),
            _ => Ok(()),
        };
    let mut dead = Vec::new();
    let out = chain.apply(&messages(&[100, 101, 106, 107]), now(), &mut check, &mut dead).unwrap();
    assert_eq!(out.iter().map(|batches| numbers(batches)).collect::<Vec<_>>(), [vec![0, 6], vec![7]]);
    let expected =
        Dead { message: 1, stage: "sink".to_owned(), reason: "too odd".to_owned(), plugin: None, broke: false };
    assert_eq!(dead, [expected]);
}

#[test]
fn a_plugin_that_fails_on_everything_stops_the_pipeline_and_loses_nothing() {
    let plugin = filter(1);
    let mut chain = Chain::open(&[step(&plugin)], &numbers_schema()).unwrap();
    let mut dead = vec![];
    // 32 messages in a row may fail, over several batches.
    for _ in 0..2 {
        assert_eq!(chain.apply(&messages(&[-1; 16]), now(), &mut any, &mut dead).unwrap(), [vec![]]);
    }
    assert_eq!(dead.len(), 32);
    let error = chain.apply(&messages(&[-1, 1]), now(), &mut any, &mut dead).unwrap_err();
    assert_eq!(dead.len(), 32);
    let ChainError::Failing { plugin: path, failures, reason } = &error else { panic!("{error}") };
    assert_eq!((path, *failures, reason.as_str()), (&plugin.path.display().to_string(), 33, TRAP));
    assert!(error.to_string().ends_with(
        "failed on 33 messages in a row, the last time with: trap: wasm `unreachable` instruction executed. The pipeline \
         stops before these messages; none of them is lost, and they are read again when it starts again"
    ));
}

#[test]
fn one_message_that_works_shows_that_the_plugin_does() {
    let mut chain = Chain::open(&[step(&filter(1))], &numbers_schema()).unwrap();
    let mut numbers = vec![-1; 33 * 3];
    numbers[32] = 1;
    numbers[65] = -4;
    let mut dead = vec![];
    chain.apply(&messages(&numbers), now(), &mut any, &mut dead).unwrap_err();
    assert!(dead.is_empty());
    numbers[98] = 2;
    let mut chain = Chain::open(&[step(&filter(1))], &numbers_schema()).unwrap();
    assert_eq!(numbers_of(&mut chain, &numbers, &mut dead), [1, 2]);
    assert_eq!(dead.len(), 97);
}

fn numbers_of(chain: &mut Chain, input: &[i64], dead: &mut Vec<Dead>) -> Vec<i64> {
    numbers(&chain.apply(&messages(input), now(), &mut any, dead).unwrap()[0])
}

/// Good messages in between show that the plugin works: the time that it takes is bounded all the same.
#[test]
fn messages_that_take_too_long_are_looked_for_no_longer_than_a_time() {
    let mut chain = Chain::open(&[step(&filter(1))], &numbers_schema()).unwrap();
    assert!(chain.search <= Duration::from_secs(600));
    chain.search = 10 * SHORT;
    let spinning: Vec<i64> = (0..200).map(|n| if n % 2 == 0 { -2 } else { n }).collect();
    let (began, mut dead) = (std::time::Instant::now(), vec![]);
    let error = chain.apply(&messages(&spinning), now(), &mut any, &mut dead).unwrap_err();
    assert!(began.elapsed() < 100 * SHORT, "half of the time that the search would take");
    assert!(matches!(&error, ChainError::OutOfTime { reason } if reason == SPIN), "{error}");
    assert!(dead.is_empty());
    // The next batch has as much time.
    let (out, dead) = run(&mut chain, &messages(&[1, -2, 2]));
    assert_eq!((out, dead), (vec![vec![1, 2]], vec![in_transform(1, SPIN)]));
}
