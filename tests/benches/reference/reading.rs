//! The records of the windowed job: readings of 10,000 turnstiles, a line of CSV each, as the mta system writes them.
//!
//! Each turnstile is read every ten seconds, 500 times; lines come up to a minute out of order, and one in a hundred is the line that
//! its turnstile sent ten seconds before, again.

use std::io::Write as _;

use crate::common::Numbers;

/// How many records the topic holds.
pub const RECORDS: u64 = 5_000_000;
/// How many groups each window has.
pub const TURNSTILES: u64 = 10_000;
/// Length of a window, and how long late lines are waited for, in seconds.
pub const WINDOW_S: u64 = 300;
/// See [`WINDOW_S`].
pub const DELAY_S: u64 = 300;
/// Name and type of each column, in the order of the fields.
pub const COLUMNS: [(&str, &str); 13] = [
    ("CA", "\"utf8\""),
    ("UNIT", "\"utf8\""),
    ("SCP", "\"utf8\""),
    ("STATION", "\"utf8\""),
    ("LINENAME", "\"utf8\""),
    ("DIVISION", "\"utf8\""),
    ("DATE", "\"utf8\""),
    ("TIME", "\"utf8\""),
    ("DESC", "\"utf8\""),
    ("ENTRIES", "\"int64\""),
    ("EXITS", "\"int64\""),
    ("ID", "\"utf8\""),
    ("TIMESTAMP", r#"{ type = "timestamp", format = "%Y-%m-%d %H:%M:%S" }"#),
];

/// 2026-01-01 08:00:00, in seconds of the day: all of them are on that day.
const BEGIN_S: u64 = 8 * 3600;
const PERIOD_S: u64 = 10;
const JITTER_S: u64 = 60;
const DOUBLED: u64 = 100;
const DOUBLED_AT: u64 = 37;

/// A line before it is written.
struct Reading {
    turnstile: u64,
    /// Seconds of the day.
    time: u64,
    entries: u64,
    exits: u64,
    id: [u64; 2],
}

/// Reading `i` where no line comes twice.
fn reading(i: u64) -> Reading {
    // Numbers of its own for each, so that a line can be written again.
    let mut numbers = Numbers(i);
    let (turnstile, tick) = (i % TURNSTILES, i / TURNSTILES);
    let time = BEGIN_S + JITTER_S + tick * PERIOD_S + turnstile % PERIOD_S - numbers.below(JITTER_S);
    let (entries, exits) = (numbers.below(200), numbers.below(200));
    Reading { turnstile, time, entries, exits, id: [numbers.draw(), numbers.draw()] }
}

/// Whether record `i` is the line of record `i - TURNSTILES` again. No two after another of a turnstile are.
fn is_double(i: u64) -> bool {
    i >= TURNSTILES && (i + i / TURNSTILES) % DOUBLED == DOUBLED_AT
}

/// Writes record `i` over what `into` holds.
pub fn write(into: &mut Vec<u8>, i: u64, _: &mut Numbers) {
    let Reading { turnstile, time, entries, exits, id: [high, low] } =
        reading(if is_double(i) { i - TURNSTILES } else { i });
    let (ca, unit, scp) = (turnstile / 20, turnstile / 30, turnstile % 20);
    let (station, line, division) =
        (turnstile / 40, turnstile / 40 % 9, ["BMT", "IND", "IRT"][(turnstile / 40 % 3) as usize]);
    let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
    into.clear();
    let written = write!(
        into,
        "A{ca:03},R{unit:03},00-00-{scp:02},STATION-{station:03},{line}ABC,{division},01-01-26,\
         {hour:02}:{minute:02}:{second:02},REGULAR,{entries},{exits},{:08x}-{:04x}-{:04x}-{:04x}-{:012x},\
         2026-01-01 {hour:02}:{minute:02}:{second:02}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xffff,
        low >> 48,
        low & 0xffff_ffff_ffff,
    );
    written.expect("memory takes all");
}

/// What the closed windows hold.
#[derive(Debug, PartialEq, Eq)]
pub struct Totals {
    /// Rows, one for each group of each window.
    pub rows: u64,
    /// Entries of all of them.
    pub entries: u64,
    /// Exits of all of them.
    pub exits: u64,
}

/// What must come out of the first `records` records: all of the windows that are closed when the last has come.
pub fn expected(records: u64) -> Totals {
    let lines = || (0..records).filter(|i| !is_double(*i)).map(reading);
    // Each partition has its own last time, and the least of them is within a minute and a period of the last of all.
    let last = lines().map(|line| line.time).max().unwrap_or_default();
    let closed = (last - DELAY_S) / WINDOW_S * WINDOW_S;
    assert!(last - DELAY_S - closed > JITTER_S + PERIOD_S, "too close to the edge of a window");
    let mut windows = std::collections::HashSet::new();
    let mut totals = Totals { rows: 0, entries: 0, exits: 0 };
    for line in lines().filter(|line| line.time < closed) {
        windows.insert((line.turnstile, line.time / WINDOW_S));
        totals.entries += line.entries;
        totals.exits += line.exits;
    }
    totals.rows = windows.len() as u64;
    totals
}
