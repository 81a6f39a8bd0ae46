//! Random streams, out of order, doubled and late, cut anyhow into batches and epochs and stopped in between, against a plain
//! reading of the rules, row for row.

mod apart;
mod event_time;
mod hopping;
mod lateness;
mod left_out;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use fastrand::Rng;

use super::*;
use crate::batch::{Field, Schema, SchemaRef, data_type};
use crate::state;

/// A row: key, event time, value. Negative values are rejected.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    key: Option<&'static str>,
    time: i64,
    value: i64,
}

/// A group given out: key, window, count, sum.
type Given = (Option<String>, Option<(i64, i64)>, i64, i64);

fn input() -> SchemaRef {
    let time = data_type("timestamp").unwrap();
    Arc::new(Schema::new(vec![
        Field::new("key", data_type("utf8").unwrap(), true),
        Field::new("time", time, true),
        Field::new("value", data_type("int64").unwrap(), false),
    ]))
}

fn states() -> SchemaRef {
    let int64 = data_type("int64").unwrap();
    Arc::new(Schema::new(vec![Field::new("count", int64.clone(), false), Field::new("sum", int64, false)]))
}

fn batch(rows: &[Row]) -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter(rows.iter().map(|row| row.key))),
        Arc::new(TimestampMicrosecondArray::from_iter_values(rows.iter().map(|row| row.time)).with_timezone("UTC")),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.value))),
    ];
    RecordBatch::try_new(input(), columns).unwrap()
}

fn rows(batch: &RecordBatch) -> Vec<Row> {
    let keys = batch.column(0).as_string::<i32>();
    let key = |row: usize| KEYS.into_iter().flatten().find(|key| keys.is_valid(row) && *key == keys.value(row));
    let times = batch.column(1).as_primitive::<TimestampMicrosecondType>();
    let values = batch.column(2).as_primitive::<Int64Type>();
    let row = |row| Row { key: key(row), time: times.value(row), value: values.value(row) };
    (0..batch.num_rows()).map(row).collect()
}

/// Counts and sums.
struct Sums;

fn two(counts: Vec<i64>, sums: Vec<i64>) -> RecordBatch {
    RecordBatch::try_new(states(), vec![Arc::new(Int64Array::from(counts)), Arc::new(Int64Array::from(sums))]).unwrap()
}

fn column(batch: &RecordBatch, column: usize) -> Vec<i64> {
    batch.column(column).as_primitive::<Int64Type>().values().to_vec()
}

impl Fold for Sums {
    type Error = ();

    fn update(
        &mut self,
        rows: &RecordBatch,
        group_of_row: &[u32],
        group_count: u32,
        states: &RecordBatch,
    ) -> Result<(RecordBatch, Vec<Rejection>), ()> {
        assert_eq!(rows.num_rows(), group_of_row.len());
        assert!(states.num_rows() <= group_count as usize);
        let (mut counts, mut sums) = (column(states, 0), column(states, 1));
        counts.resize(group_count as usize, 0);
        sums.resize(group_count as usize, 0);
        let mut rejected = Vec::new();
        for (row, (value, group)) in column(rows, 2).into_iter().zip(group_of_row).enumerate() {
            if value < 0 {
                rejected.push(Rejection { row: row as u32, reason: "negative".to_owned() });
                continue;
            }
            counts[*group as usize] += 1;
            sums[*group as usize] += value;
        }
        Ok((two(counts, sums), rejected))
    }

    fn merge(&mut self, left: &RecordBatch, right: &RecordBatch) -> Result<RecordBatch, ()> {
        let sum = |at| column(left, at).into_iter().zip(column(right, at)).map(|(a, b)| a + b).collect();
        Ok(two(sum(0), sum(1)))
    }

    fn finish(&mut self, groups: &RecordBatch, states: &RecordBatch) -> Result<RecordBatch, ()> {
        assert_eq!(groups.num_rows(), states.num_rows());
        let both = groups.schema().fields().iter().chain(states.schema().fields()).cloned().collect::<Vec<_>>();
        let columns = groups.columns().iter().chain(states.columns()).cloned().collect();
        Ok(RecordBatch::try_new(Arc::new(Schema::new(both)), columns).unwrap())
    }
}

fn given(batch: &RecordBatch) -> Vec<Given> {
    let keys = batch.column(0).as_string::<i32>();
    let windowed = batch.num_columns() == 5;
    let time = |column: usize, row: usize| batch.column(column).as_primitive::<TimestampMicrosecondType>().value(row);
    let at = if windowed { 3 } else { 1 };
    let (counts, sums) = (column(batch, at), column(batch, at + 1));
    let row = |row: usize| {
        let key = keys.is_valid(row).then(|| keys.value(row).to_owned());
        (key, windowed.then(|| (time(1, row), time(2, row))), counts[row], sums[row])
    };
    (0..batch.num_rows()).map(row).collect()
}

/// What comes of a stream.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    /// By epoch, sorted.
    given: Vec<Vec<Given>>,
    late: Vec<Row>,
    dead: Vec<Row>,
    duplicates: u64,
}

/// The rules, one row after another. From epoch to epoch other lateness may be allowed.
fn reference(options: &WindowOptions, epochs: &[Vec<Vec<Row>>], latenesses: &[i64]) -> Outcome {
    let mut outcome = Outcome::default();
    let (mut watermark, mut given_out, mut over) = (i64::MIN, i64::MIN, i64::MIN);
    // Windows by key: start, end, count, sum, changed in this epoch.
    type Windows = Vec<(i64, i64, i64, i64, bool)>;
    let mut groups: BTreeMap<Option<&str>, Windows> = BTreeMap::new();
    let mut seen: BTreeMap<(Option<&str>, i64), i64> = BTreeMap::new();
    for (epoch, &lateness) in epochs.iter().zip(latenesses) {
        let is_past = |end: i64, watermark: i64| end <= over || end + lateness <= watermark;
        let is_late = |row: &Row, watermark: i64| {
            let judged = options.window.is_some() || !options.dedup.is_empty();
            judged && is_past(last_end(options, row.time), watermark)
        };
        // Ends of the first of each kind: its like counts for as long as it wouldn't be late itself.
        let doubled = |seen: &BTreeMap<(Option<&str>, i64), i64>, row: &Row, watermark: i64| {
            let end = seen.get(&(row.key, by_time(options, row)));
            !options.dedup.is_empty() && end.is_some_and(|&end| !is_past(end, watermark))
        };
        for row in epoch.iter().flatten() {
            if row.value < 0 && !is_late(row, watermark) && !doubled(&seen, row, watermark) {
                outcome.dead.push(row.clone());
                continue;
            }
            let before = watermark;
            watermark = watermark.max(row.time - options.delay_us);
            if is_late(row, before) {
                outcome.late.push(row.clone());
                continue;
            }
            if doubled(&seen, row, before) {
                outcome.duplicates += 1;
                continue;
            }
            seen.insert((row.key, by_time(options, row)), last_end(options, row.time));
            let windows = groups.entry(row.key).or_default();
            match options.window {
                None => match windows.first_mut() {
                    Some(window) => *window = (0, 0, window.2 + 1, window.3 + row.value, true),
                    None => windows.push((0, 0, 1, row.value, true)),
                },
                Some(Window::Session { gap_us }) => {
                    let mut joined = (row.time, row.time + gap_us, 1, row.value, true);
                    windows.retain(|&(start, end, count, sum, _)| {
                        let joins = !is_past(end, before) && start < row.time + gap_us && row.time < end;
                        if joins {
                            joined = (joined.0.min(start), joined.1.max(end), joined.2 + count, joined.3 + sum, true);
                        }
                        !joins
                    });
                    windows.push(joined);
                }
                Some(window) => {
                    let (size, slide) = match window {
                        Window::Tumbling { size_us } => (size_us, size_us),
                        Window::Hopping { size_us, slide_us } => (size_us, slide_us),
                        Window::Session { .. } => unreachable!("handled above"),
                    };
                    let first = (row.time - size).div_euclid(slide) * slide;
                    for start in (0..).map(|n| first + n * slide).take_while(|start| *start <= row.time) {
                        if row.time >= start + size || is_past(start + size, before) {
                            continue;
                        }
                        match windows.iter_mut().find(|window| window.0 == start) {
                            Some(window) => *window = (start, window.1, window.2 + 1, window.3 + row.value, true),
                            None => windows.push((start, start + size, 1, row.value, true)),
                        }
                    }
                }
            }
        }
        let mut out = Vec::new();
        for (key, windows) in &mut groups {
            for (start, end, count, sum, changed) in windows.iter_mut() {
                let due = match options.emit {
                    Emit::Change => *changed,
                    Emit::Close => *end <= watermark && (*end > given_out || *changed),
                };
                if due {
                    let window = options.window.map(|_| (*start, *end));
                    out.push((key.map(str::to_owned), window, *count, *sum));
                }
                *changed = false;
            }
            if options.window.is_some() {
                windows.retain(|window| !is_past(window.1, watermark));
            }
        }
        over = if watermark == i64::MIN { over } else { over.max(watermark - lateness) };
        given_out = watermark;
        out.sort();
        outcome.given.push(out);
    }
    outcome
}

fn last_end(options: &WindowOptions, time: i64) -> i64 {
    match options.window {
        None => time + 1,
        Some(Window::Tumbling { size_us }) => time.div_euclid(size_us) * size_us + size_us,
        Some(Window::Hopping { size_us, slide_us }) => time.div_euclid(slide_us) * slide_us + size_us,
        Some(Window::Session { gap_us }) => time + gap_us,
    }
}

/// The second column of the key of `dedup`, if it has two.
fn by_time(options: &WindowOptions, row: &Row) -> i64 {
    if options.dedup.len() > 1 { row.time } else { 0 }
}

/// What an [`Aggregation`] makes of it; after some epochs it is written, and another goes on from what was written: always where other
/// lateness is allowed.
fn actual(options: &WindowOptions, epochs: &[Vec<Vec<Row>>], latenesses: &[i64], rng: &mut Rng) -> Outcome {
    let new = |allowed_lateness_us: i64| {
        let options = WindowOptions { allowed_lateness_us, ..options.clone() };
        Aggregation::new(&options, &input(), &states()).unwrap()
    };
    let (mut outcome, mut aggregation) = (Outcome::default(), new(latenesses[0]));
    let mut files: [Vec<bytes::Bytes>; 2] = Default::default();
    for (at, epoch) in epochs.iter().enumerate() {
        let (lateness, next) = (latenesses[at], *latenesses.get(at + 1).unwrap_or(&latenesses[at]));
        for rows in epoch {
            halve(&mut aggregation, rows, &mut outcome);
        }
        let mut out: Vec<Given> = aggregation.finish(&mut Sums).unwrap().iter().flat_map(given).collect();
        out.sort();
        outcome.given.push(out);
        let Deltas { watermark_us, over_us, allowed_lateness_us, groups, seen } = aggregation.cut().unwrap();
        for (files, delta) in files.iter_mut().zip([groups, seen]) {
            let Some(delta) = delta else { continue };
            files.truncate(delta.kept);
            files.extend(delta.file.map(|file| state::encode(&file, "test").unwrap()));
        }
        if rng.u8(0..4) == 0 || next != lateness {
            aggregation = new(next);
            let (groups, seen) = aggregation.tables();
            let read = |files: &[bytes::Bytes], schema: Option<&SchemaRef>| {
                let decode = |file: &bytes::Bytes| state::decode(file.clone(), "test", schema.unwrap()).unwrap();
                files.iter().map(decode).collect::<Vec<_>>()
            };
            let groups = read(&files[0], Some(groups.file_schema()));
            let seen = read(&files[1], seen.map(state::Seen::file_schema));
            let restored = Restored { watermark_us, over_us, allowed_lateness_us, groups, seen };
            let mut carrier = Carrier::<()> { migrate: None, allow_dropped: false, carried: 0 };
            aggregation.restore(&restored, &mut carrier).unwrap();
            assert_eq!(carrier.carried, 0);
        }
    }
    outcome
}

/// As the chain of transforms does it: rows that fail alone are dead.
fn halve(aggregation: &mut Aggregation, part: &[Row], outcome: &mut Outcome) {
    match aggregation.fold(&batch(part), &mut Sums) {
        Ok(folded) => {
            outcome.late.extend(folded.late.iter().flat_map(rows));
            outcome.duplicates += folded.duplicates;
        }
        Err(Refused::Row(reason)) => {
            assert_eq!(reason, "negative");
            match part.split_at(part.len() / 2) {
                ([], alone) => outcome.dead.extend_from_slice(alone),
                (first, second) => {
                    halve(aggregation, first, outcome);
                    halve(aggregation, second, outcome);
                }
            }
        }
        Err(Refused::Fold(())) => panic!("sums don't fail"),
    }
}

const KEYS: [Option<&str>; 4] =
    [Some("a"), Some("bb"), None, Some("a long key that takes more than one block of a row")];

fn options(rng: &mut Rng) -> WindowOptions {
    let size = rng.i64(1..40);
    let window = match rng.u8(0..6) {
        0 => None,
        1 | 2 => Some(Window::Tumbling { size_us: size }),
        3 => Some(Window::Hopping { size_us: size, slide_us: rng.i64(1..=size) }),
        _ => Some(Window::Session { gap_us: size }),
    };
    let dedup = match rng.u8(0..4) {
        0 => vec!["key".to_owned()],
        1 => vec!["key".to_owned(), "time".to_owned()],
        _ => Vec::new(),
    };
    WindowOptions {
        key: vec!["key".to_owned()],
        time: (window.is_some() || !dedup.is_empty()).then(|| "time".to_owned()),
        window,
        delay_us: rng.i64(0..30),
        allowed_lateness_us: if rng.bool() { 0 } else { rng.i64(0..30) },
        emit: if window.is_none() || rng.u8(0..4) == 0 { Emit::Change } else { Emit::Close },
        dedup,
    }
}

fn epochs(rng: &mut Rng) -> Vec<Vec<Vec<Row>>> {
    let mut now = rng.i64(-100..100);
    let mut last: Option<Row> = None;
    let mut row = |rng: &mut Rng| {
        now += if rng.u8(0..20) == 0 { rng.i64(0..200) } else { rng.i64(0..6) };
        let time = now - if rng.u8(0..3) == 0 { rng.i64(0..60) } else { 0 };
        let value = if rng.u8(0..50) == 0 { -1 } else { rng.i64(0..100) };
        let fresh = Row { key: KEYS[rng.usize(0..KEYS.len())], time, value };
        let row = last.take().filter(|_| rng.u8(0..10) == 0).unwrap_or(fresh);
        last = Some(row.clone());
        row
    };
    let batch = |rng: &mut Rng, row: &mut dyn FnMut(&mut Rng) -> Row| (0..rng.usize(1..30)).map(|_| row(rng)).collect();
    (0..rng.usize(1..12)).map(|_| (0..rng.usize(0..6)).map(|_| batch(rng, &mut row)).collect()).collect()
}

#[test]
fn a_thousand_random_streams_come_out_as_the_rules_say() {
    let mut given = 0;
    let (mut late, mut duplicates, mut dead) = (0, 0, 0);
    for seed in 0..1000 {
        let mut rng = Rng::with_seed(seed);
        let (options, epochs) = (options(&mut rng), epochs(&mut rng));
        let mut lateness = options.allowed_lateness_us;
        let mut next = || {
            lateness = if rng.u8(0..8) == 0 { rng.i64(0..30) } else { lateness };
            lateness
        };
        // Every third stream with one that changes.
        let latenesses: Vec<i64> = match seed % 3 {
            0 => epochs.iter().map(|_| next()).collect(),
            _ => vec![lateness; epochs.len()],
        };
        let expected = reference(&options, &epochs, &latenesses);
        let outcome = actual(&options, &epochs, &latenesses, &mut rng);
        assert_eq!(outcome, expected, "seed {seed}: {options:?}");
        given += expected.given.iter().map(Vec::len).sum::<usize>();
        late += expected.late.len();
        duplicates += expected.duplicates;
        dead += expected.dead.len();
    }
    assert!(given > 10_000 && late > 1000 && duplicates > 1000 && dead > 100, "{given} {late} {duplicates} {dead}");
}

#[test]
fn how_rows_are_cut_doesnt_matter() {
    for seed in 0..200 {
        let mut rng = Rng::with_seed(seed);
        let options = WindowOptions { allowed_lateness_us: 0, emit: Emit::Close, ..options(&mut rng) };
        if options.window.is_none() {
            continue;
        }
        let epochs = epochs(&mut rng);
        let flat = |outcome: Outcome| {
            let mut all: Vec<Given> = outcome.given.into_iter().flatten().collect();
            all.sort();
            (all, outcome.late, outcome.dead, outcome.duplicates)
        };
        let once = vec![vec![epochs.iter().flatten().flatten().cloned().collect::<Vec<Row>>()]];
        let by_row: Vec<Vec<Vec<Row>>> = epochs.iter().flatten().flatten().map(|row| vec![vec![row.clone()]]).collect();
        let mut all =
            |epochs: &[Vec<Vec<Row>>]| flat(actual(&options, epochs, &vec![0; epochs.len().max(1)], &mut rng));
        let cut = all(&epochs);
        assert_eq!(all(&by_row), cut, "seed {seed}: {options:?}");
        if !epochs.iter().flatten().all(Vec::is_empty) {
            assert_eq!(all(&once), cut, "seed {seed}: {options:?}");
        }
    }
}
