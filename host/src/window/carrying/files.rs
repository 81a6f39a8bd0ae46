//! Tests: states that another version wrote to files, taken up.

use std::cell::RefCell;
use std::collections::HashMap;

use arrow::array::{AsArray, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::Int64Type;
use bytes::Bytes;

use super::*;
use crate::batch::DataType::{Int64, Utf8};
use crate::batch::{Rejection, data_type};
use crate::state::{self, Delta};
use crate::window::{Aggregation, Emit, Fold, Restored, Window, WindowOptions};

/// Counts rows in the column `count`; all other columns of its states are null.
struct Counts(SchemaRef);

impl Counts {
    fn states(&self, counts: Vec<i64>) -> RecordBatch {
        let column = |field: &Arc<Field>| -> ArrayRef {
            match field.name().as_str() {
                "count" => Arc::new(Int64Array::from(counts.clone())),
                _ => new_null_array(field.data_type(), counts.len()),
            }
        };
        RecordBatch::try_new(self.0.clone(), self.0.fields().iter().map(column).collect()).unwrap()
    }
}

fn counts(states: &RecordBatch) -> Vec<i64> {
    states.column_by_name("count").unwrap().as_primitive::<Int64Type>().values().to_vec()
}

impl Fold for Counts {
    type Error = ();
    fn update(
        &mut self,
        _: &RecordBatch,
        group_of_row: &[u32],
        group_count: u32,
        states: &RecordBatch,
    ) -> Result<(RecordBatch, Vec<Rejection>), ()> {
        assert_eq!(states.schema(), self.0, "states of this version go in");
        let mut counts = counts(states);
        counts.resize(group_count as usize, 0);
        group_of_row.iter().for_each(|&group| counts[group as usize] += 1);
        Ok((self.states(counts), Vec::new()))
    }
    fn merge(&mut self, left: &RecordBatch, right: &RecordBatch) -> Result<RecordBatch, ()> {
        Ok(self.states(counts(left).iter().zip(counts(right)).map(|(left, right)| left + right).collect()))
    }
    fn finish(&mut self, _: &RecordBatch, states: &RecordBatch) -> Result<RecordBatch, ()> {
        Ok(states.clone())
    }
}

fn fields(fields: &[(&str, arrow::datatypes::DataType, bool)]) -> SchemaRef {
    let field = |(name, data_type, nullable): &(&str, arrow::datatypes::DataType, bool)| {
        Field::new(*name, data_type.clone(), *nullable)
    };
    Arc::new(Schema::new(fields.iter().map(field).collect::<Vec<_>>()))
}

fn first() -> SchemaRef {
    fields(&[("count", Int64, false)])
}

fn wider() -> SchemaRef {
    fields(&[("note", Utf8, true), ("count", Int64, false)])
}

fn other() -> SchemaRef {
    fields(&[("counted", Int64, false)])
}

fn input() -> SchemaRef {
    fields(&[("key", Utf8, false), ("time", data_type("timestamp").unwrap(), false)])
}

fn rows(rows: &[(&str, i64)]) -> RecordBatch {
    let keys: StringArray = rows.iter().map(|(key, _)| Some(*key)).collect();
    let times = TimestampMicrosecondArray::from_iter_values(rows.iter().map(|(_, time)| *time)).with_timezone("UTC");
    RecordBatch::try_new(input(), vec![Arc::new(keys), Arc::new(times)]).unwrap()
}

/// Groups by key, of doubles the first.
fn options(window: Option<Window>) -> WindowOptions {
    WindowOptions {
        key: vec!["key".to_owned()],
        time: Some("time".to_owned()),
        window,
        delay_us: 0,
        allowed_lateness_us: 0,
        emit: if window.is_some() { Emit::Close } else { Emit::Change },
        dedup: vec!["key".to_owned(), "time".to_owned()],
    }
}

fn new(window: Option<Window>, states: &SchemaRef) -> Aggregation {
    Aggregation::new(&options(window), &input(), states).unwrap()
}

/// Files of both tables, and the watermark.
#[derive(Default)]
struct Written {
    watermark_us: Option<i64>,
    groups: Vec<Bytes>,
    seen: Vec<Bytes>,
}

impl Written {
    /// Ends an epoch; returns how many files of groups stayed, and how many rows came out.
    fn cut(&mut self, aggregation: &mut Aggregation, states: &SchemaRef) -> (Option<usize>, usize) {
        let out = aggregation.finish(&mut Counts(states.clone())).unwrap().iter().map(RecordBatch::num_rows).sum();
        let deltas = aggregation.cut().unwrap();
        self.watermark_us = deltas.watermark_us;
        let kept = deltas.groups.as_ref().map(|delta| delta.kept);
        for (files, delta) in [(&mut self.groups, deltas.groups), (&mut self.seen, deltas.seen)] {
            let Some(Delta { kept, file }) = delta else { continue };
            files.truncate(kept);
            files.extend(file.map(|file| state::encode(&file, "test").unwrap()));
        }
        (kept, out)
    }

    fn read(&self, aggregation: &Aggregation) -> Restored {
        let (groups, seen) = aggregation.tables();
        let read = |files: &[Bytes], schema: &SchemaRef| {
            files.iter().map(|file| state::decode(file.clone(), "test", schema).unwrap()).collect()
        };
        Restored {
            watermark_us: self.watermark_us,
            over_us: None,
            allowed_lateness_us: None,
            groups: read(&self.groups, groups.file_schema()),
            seen: read(&self.seen, seen.unwrap().file_schema()),
        }
    }

    /// What was written, for a plugin of these states; and how many had to be carried over.
    fn restored(&self, window: Option<Window>, states: &SchemaRef) -> Result<(Aggregation, usize), NotCarried<()>> {
        let mut aggregation = new(window, states);
        let restored = self.read(&aggregation);
        let mut carrier = Carrier { migrate: None, allow_dropped: false, carried: 0 };
        aggregation.restore(&restored, &mut carrier)?;
        Ok((aggregation, carrier.carried))
    }
}

fn fold(aggregation: &mut Aggregation, states: &SchemaRef, more: &[(&str, i64)]) -> u64 {
    aggregation.fold(&rows(more), &mut Counts(states.clone())).unwrap().duplicates
}

/// Key and count of all groups that are there, and whether the first column of their states is null.
fn all(aggregation: &Aggregation) -> Vec<(String, i64)> {
    let all = aggregation.tables().0.all().unwrap();
    let keys = all.column_by_name("key.key").unwrap().as_string::<i32>().clone();
    let counts = all.column_by_name("value.count").unwrap().as_primitive::<Int64Type>().clone();
    keys.iter().zip(counts.iter()).map(|(key, count)| (key.unwrap().to_owned(), count.unwrap())).collect()
}

fn pairs(pairs: &[(&str, i64)]) -> Vec<(String, i64)> {
    pairs.iter().map(|(key, count)| ((*key).to_owned(), *count)).collect()
}

/// Two epochs of the first version: two files.
fn written() -> Written {
    let (mut written, mut aggregation) = (Written::default(), new(None, &first()));
    fold(&mut aggregation, &first(), &[("a", 10), ("b", 11), ("c", 12), ("d", 12)]);
    written.cut(&mut aggregation, &first());
    fold(&mut aggregation, &first(), &[("b", 13), ("a", 14)]);
    assert_eq!(written.cut(&mut aggregation, &first()), (Some(1), 2));
    assert_eq!(written.groups.len(), 2);
    written
}

#[test]
fn what_was_carried_over_is_written_anew_and_nothing_is_given_out_for_that() {
    let mut written = written();
    assert_eq!(written.restored(None, &first()).unwrap().1, 0, "the same states are not carried over");
    // What was restored and never written is restored again.
    for _ in 0..2 {
        let (aggregation, carried) = written.restored(None, &wider()).unwrap();
        assert_eq!((carried, all(&aggregation)), (6, pairs(&[("a", 2), ("b", 2), ("c", 1), ("d", 1)])));
    }
    let (mut aggregation, _) = written.restored(None, &wider()).unwrap();
    assert_eq!(fold(&mut aggregation, &wider(), &[("a", 14), ("b", 14), ("e", 14)]), 1, "what was seen still is");
    assert_eq!(
        written.cut(&mut aggregation, &wider()),
        (Some(0), 2),
        "no older file stays; those come out that changed"
    );
    assert_eq!(written.groups.len(), 1);
    let (mut aggregation, carried) = written.restored(None, &wider()).unwrap();
    assert_eq!((carried, all(&aggregation)), (0, pairs(&[("a", 2), ("b", 3), ("c", 1), ("d", 1), ("e", 1)])));
    fold(&mut aggregation, &wider(), &[("a", 15)]);
    assert_eq!(written.cut(&mut aggregation, &wider()), (Some(1), 1), "from then on by what changed, again");
}

#[test]
fn an_epoch_without_a_row_writes_what_was_carried_over_too() {
    let mut written = written();
    let (mut aggregation, _) = written.restored(None, &wider()).unwrap();
    assert_eq!(written.cut(&mut aggregation, &wider()), (Some(0), 0));
    assert_eq!(all(&written.restored(None, &wider()).unwrap().0).len(), 4);
}

#[test]
fn files_of_several_schemas_are_carried_over_each_by_its_own() {
    let mut written = written();
    // As an older host wrote files: later ones with more columns beside earlier ones, and nothing said of nulls.
    let old = state::decode_any(written.groups[1].clone()).unwrap().remove(0);
    let mut columns = old.columns().to_vec();
    columns.insert(4, Arc::new(StringArray::from(vec![Some("x"); old.num_rows()])) as ArrayRef);
    let plain = |field: &Arc<Field>| field.as_ref().clone().with_metadata(HashMap::new());
    let mut fields: Vec<Field> = old.schema().fields().iter().map(plain).collect();
    fields.insert(4, Field::new("value.note", Utf8, true));
    let wide = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
    written.groups[1] = state::encode(&wide, "test").unwrap();
    let (aggregation, carried) = written.restored(None, &wider()).unwrap();
    assert_eq!((carried > 0, all(&aggregation)), (true, pairs(&[("a", 2), ("b", 2), ("c", 1), ("d", 1)])));
    let notes = aggregation.tables().0.all().unwrap().column_by_name("value.note").unwrap().as_string::<i32>().clone();
    assert_eq!(notes.iter().collect::<Vec<_>>(), [Some("x"), Some("x"), None, None]);
    // The first version doesn't know what to do with the note.
    assert!(
        matches!(written.restored(None, &first()), Err(NotCarried::Refused(why)) if why.contains("`note` is gone"))
    );
}

#[test]
fn only_states_that_live_are_migrated() {
    let window = Some(Window::Tumbling { size_us: 10 });
    let (mut written, mut aggregation) = (Written::default(), new(window, &first()));
    fold(&mut aggregation, &first(), &[("over", 3)]);
    written.cut(&mut aggregation, &first());
    fold(&mut aggregation, &first(), &[("open", 12), ("open", 13)]);
    written.cut(&mut aggregation, &first());
    assert_eq!(written.groups.len(), 2, "the older file has what is over");
    let mut aggregation = new(window, &other());
    let restored = written.read(&aggregation);
    let migrated = RefCell::new(Vec::new());
    let mut migrate = |older: &SchemaRef, states: &RecordBatch| -> Result<RecordBatch, ()> {
        assert_eq!(older, &first());
        migrated.borrow_mut().extend(counts(states));
        Ok(RecordBatch::try_new(other(), states.columns().to_vec()).unwrap())
    };
    let mut carrier = Carrier { migrate: Some(&mut migrate), allow_dropped: false, carried: 0 };
    aggregation.restore(&restored, &mut carrier).unwrap();
    assert_eq!(migrated.into_inner(), [2]);
    assert_eq!(aggregation.tables().0.all().unwrap().num_rows(), 1);
    // Where nothing lives any more there is nothing to refuse.
    written.groups.truncate(1);
    let (aggregation, carried) = written.restored(window, &other()).unwrap();
    assert_eq!((carried, aggregation.tables().0.all().unwrap().num_rows()), (0, 0));
}

#[test]
fn groups_begin_anew_and_what_was_seen_and_the_watermark_stay() {
    let mut written = written();
    assert!(
        matches!(written.restored(None, &other()), Err(NotCarried::Refused(why)) if why.contains("`counted` is new"))
    );
    let mut aggregation = new(None, &wider());
    assert_eq!(aggregation.restore_without_groups(&written.read(&aggregation)).unwrap(), 4);
    assert_eq!((aggregation.watermark_us(), all(&aggregation)), (Some(14), Vec::new()));
    assert_eq!(fold(&mut aggregation, &wider(), &[("a", 14), ("a", 15)]), 1);
    assert_eq!(written.cut(&mut aggregation, &wider()), (Some(0), 1));
    assert_eq!(all(&written.restored(None, &wider()).unwrap().0), pairs(&[("a", 1)]));
    // And where nothing comes: the old files go all the same.
    let mut aggregation = new(None, &wider());
    aggregation.restore_without_groups(&written.read(&aggregation)).unwrap();
    assert_eq!(written.cut(&mut aggregation, &wider()), (Some(0), 0));
    assert!(written.groups.is_empty() && !written.seen.is_empty());
}
