//! What rows that go through the exchange are, and what they are folded into: the list of those that a group has counted. So each of
//! them can be told where groups are given out, and a reader sees which of them is counted twice, or not at all.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::TimestampMicrosecondType;
use bytes::Bytes;

use super::kafka::Message;
use super::objects::{Record, record};
use super::plan::ExchangePlan;
use super::world::State;
use crate::batch::{Field, MemoryMessage, MemoryMessages, RecordBatch, Rejection, Schema, SchemaRef, data_type};
use crate::encode::StagedRecords;
use crate::exchange::{self, Content, HEADER, Placed};
use crate::window::{Emit, Fold, Window, WindowOptions};

/// The columns of rows.
pub fn rows() -> SchemaRef {
    let field = |name, of| Field::new(name, data_type(of).unwrap(), false);
    Arc::new(Schema::new(vec![field("key", "utf8"), field("time", "timestamp"), field("record", "utf8")]))
}

/// The columns of states.
pub fn states() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("records", data_type("utf8").unwrap(), false)]))
}

/// Rows of records, with their keys and times.
pub fn batch(records: &[(Record, u8, i64)]) -> RecordBatch {
    let names =
        records.iter().map(|((partition, generation, offset), ..)| format!("{partition}:{generation}:{offset}"));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(records.iter().map(|(_, key, _)| key_name(*key)))),
        Arc::new(
            TimestampMicrosecondArray::from_iter_values(records.iter().map(|(.., ms)| ms * 1000)).with_timezone("UTC"),
        ),
        Arc::new(StringArray::from_iter_values(names)),
    ];
    RecordBatch::try_new(rows(), columns).unwrap()
}

/// The key of rows that close all windows.
pub const CLOSING: u8 = u8::MAX;

fn key_name(key: u8) -> String {
    format!("station-{key}")
}

/// How rows are grouped.
pub fn options(plan: &ExchangePlan) -> WindowOptions {
    WindowOptions {
        key: vec!["key".to_owned()],
        time: Some("time".to_owned()),
        window: plan.window_ms.map(|ms| Window::Tumbling { size_us: ms * 1000 }),
        delay_us: plan.delay_ms * 1000,
        allowed_lateness_us: 0,
        emit: if plan.gives_out_changes() { Emit::Change } else { Emit::Close },
        dedup: Vec::new(),
    }
}

/// Lists the records of each group.
pub struct Listing;

fn texts(batch: &RecordBatch, column: usize) -> impl Iterator<Item = &str> {
    let texts = batch.column(column).as_string::<i32>();
    (0..texts.len()).map(move |row| texts.value(row))
}

fn listed(lists: Vec<String>) -> RecordBatch {
    RecordBatch::try_new(states(), vec![Arc::new(StringArray::from(lists))]).unwrap()
}

impl Fold for Listing {
    type Error = String;

    fn update(
        &mut self,
        rows: &RecordBatch,
        group_of_row: &[u32],
        group_count: u32,
        states: &RecordBatch,
    ) -> Result<(RecordBatch, Vec<Rejection>), String> {
        let mut lists: Vec<String> = texts(states, 0).map(str::to_owned).collect();
        lists.resize(group_count as usize, String::new());
        for (record, group) in texts(rows, 2).zip(group_of_row) {
            let list = &mut lists[*group as usize];
            list.push(' ');
            list.push_str(record);
        }
        Ok((listed(lists), Vec::new()))
    }

    fn merge(&mut self, left: &RecordBatch, right: &RecordBatch) -> Result<RecordBatch, String> {
        Ok(listed(texts(left, 0).zip(texts(right, 0)).map(|(left, right)| format!("{left}{right}")).collect()))
    }

    /// A line for each group, as it is written to the table.
    fn finish(&mut self, groups: &RecordBatch, states: &RecordBatch) -> Result<RecordBatch, String> {
        let starts = (groups.num_columns() > 1).then(|| groups.column(1).as_primitive::<TimestampMicrosecondType>());
        let line = |(row, (key, list)): (usize, (&str, &str))| {
            format!("{key}@{}{list}", starts.map_or(0, |starts| starts.value(row)))
        };
        Ok(listed(texts(groups, 0).zip(texts(states, 0)).enumerate().map(line).collect()))
    }
}

/// The lines that came of [`Listing`].
pub fn lines(given_out: &[RecordBatch]) -> Vec<String> {
    given_out.iter().flat_map(|batch| texts(batch, 0).map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// The records of a staged file for the exchange's topic; none of another.
pub fn placed(file: &Bytes) -> Vec<Placed> {
    let Ok(staged) = StagedRecords::open(file.clone()) else { return Vec::new() };
    let mut placed = Vec::new();
    for records in staged {
        let records = records.unwrap();
        let (partitions, (_, headers)) = (records.partitions.unwrap(), &records.headers[0]);
        placed.extend(
            (0..records.values.len())
                .map(|row| (partitions.value(row), records.values.value(row).to_vec(), headers.value(row).to_vec())),
        );
    }
    placed
}

/// Which of the source's records are in them.
pub fn records(placed: &[Placed]) -> BTreeSet<Record> {
    let message = |(_, value, header): &Placed| MemoryMessage {
        value: Some(value.clone()),
        headers: vec![(HEADER.to_owned(), Some(header.clone()))],
        ..MemoryMessage::default()
    };
    let messages = MemoryMessages { messages: placed.iter().map(message).collect(), ..MemoryMessages::default() };
    let mut records = BTreeSet::new();
    for index in 0..placed.len() {
        let (batch, name) = match exchange::read(&messages, index, &rows()).unwrap().content {
            Content::Rows(batch) => (batch, "record"),
            Content::States(batch) => (batch, "value.records"),
            Content::None => continue,
        };
        let column = batch.schema().index_of(name).unwrap();
        records.extend(texts(&batch, column).flat_map(str::split_whitespace).filter_map(record));
    }
    records
}

impl State {
    /// Groups have appeared where readers look: each record in its own group, and never twice, in all that anyone could have
    /// listed; of a group that is given out again nothing is missing.
    pub fn read_groups(&mut self, path: &str, lines: &[&str]) {
        let Some(plan) = self.plan.exchange.clone() else { return };
        for line in lines {
            let mut words = line.split_whitespace();
            let group = words.next().unwrap_or_default().to_owned();
            let listed: Vec<Record> = words.filter_map(record).collect();
            let now: BTreeSet<Record> = listed.iter().copied().collect();
            if now.len() < listed.len() {
                self.is_wrong(format!("{path}: {group} has counted a record twice: {listed:?}"));
            }
            let is_its_own = |record: &Record| {
                let (key, time_ms) = match self.topic.message(*record) {
                    Some(Message::Keyed { key, time_ms }) => (key, time_ms),
                    Some(Message::Closing { time_ms }) => (CLOSING, time_ms),
                    _ => return false,
                };
                let start_us = plan.window_ms.map_or(0, |ms| time_ms.div_euclid(ms) * ms * 1000);
                group == format!("{}@{start_us}", key_name(key))
            };
            if let Some(stray) = now.iter().find(|record| !is_its_own(record)) {
                self.is_wrong(format!("{path}: {group} has counted {stray:?}, which isn't its own"));
            }
            let before = self.objects.groups.insert(group.clone(), now.clone()).unwrap_or_default();
            if !now.is_superset(&before) || (!before.is_empty() && !plan.gives_out_changes()) {
                self.is_wrong(format!("{path}: {group} was {before:?}, and is given out again as {now:?}"));
            }
            for record in now.difference(&before) {
                if !self.objects.seen.insert(*record) {
                    self.is_wrong(format!("{path}: a reader sees record {record:?} in a second group, {group}"));
                }
            }
        }
    }
}
