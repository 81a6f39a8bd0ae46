//! The records of the reference job: 190 bytes of flat JSON, 7 fields, one in a hundred dirty; the same ones each time.

use std::io::Write as _;

use crate::common::Numbers;

/// How many records the topic holds.
pub const RECORDS: u64 = 5_000_000;
/// Record `i` is dirty where `i % DIRTY == DIRTY_AT`: a null, an empty text and a missing field, in turn.
pub const DIRTY: u64 = 100;
/// See [`DIRTY`].
pub const DIRTY_AT: u64 = 37;
/// Where the numbers of the topics begin.
pub const SEED: u64 = 42;
/// Name and type of each column.
pub const COLUMNS: [(&str, &str); 7] = [
    ("id", "utf8"),
    ("train_id", "utf8"),
    ("station", "utf8"),
    ("timestamp", "timestamp"),
    ("waiting_time", "float64"),
    ("ticket_check_time", "float64"),
    ("reduced_flow_factor", "float64"),
];

const STATIONS: u64 = 64;
const TRAINS: u64 = 997;
/// Event time goes from 08:00 to 10:00, in milliseconds of the day, and jumps back by up to a minute.
const BEGIN_MS: u64 = 8 * 3_600_000;
const SPAN_MS: u64 = 2 * 3_600_000;
const JITTER_MS: u64 = 60_000;

/// Writes record `i` over what `into` holds.
pub fn write(into: &mut Vec<u8>, i: u64, numbers: &mut Numbers) {
    let dirt = (i % DIRTY == DIRTY_AT).then_some(i / DIRTY % 3);
    let ms = (BEGIN_MS + i * SPAN_MS / RECORDS).saturating_sub(numbers.below(JITTER_MS)).max(BEGIN_MS);
    let (hour, minute, second, ms) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000);
    let (train, station) = (i % TRAINS, numbers.below(STATIONS));
    let (waiting, check, factor) = (numbers.unit() * 900.0, numbers.unit() * 60.0, 0.1 + numbers.unit() * 0.9);
    into.clear();
    let mut text = |arguments: std::fmt::Arguments<'_>| into.write_fmt(arguments).expect("memory takes all");
    text(format_args!(r#"{{"id":"pf-{i:016}","train_id":"TR-{train:04}","station":""#));
    if dirt != Some(1) {
        text(format_args!("station-{station:03}"));
    }
    text(format_args!(r#"","timestamp":"2026-01-01T{hour:02}:{minute:02}:{second:02}.{ms:03}Z","waiting_time":"#));
    match dirt {
        Some(0) => text(format_args!("null")),
        _ => text(format_args!("{waiting:.2}")),
    }
    text(format_args!(r#","ticket_check_time":{check:.2}"#));
    if dirt != Some(2) {
        text(format_args!(r#","reduced_flow_factor":{factor:.3}"#));
    }
    text(format_args!("}}"));
}
