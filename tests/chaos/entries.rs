//! What the pipelines that count are sent: entries of stations, whose every field follows from their number, out of order, one in
//! nine twice; and the counts that a plain computation makes of them.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

use support::flow::{EPOCH_MS, iso};

/// Stations; an entry's is its number modulo this.
pub const STATIONS: u64 = 7;
/// Length of the windows.
pub const WINDOW_MS: u64 = 20_000;
/// How far event time goes from one entry to the next: much faster than the clock does.
const STEP_MS: u64 = 200;
/// How far entries are out of order, at the most.
const SHUFFLED_MS: u64 = 120_000;
/// An entry that comes twice comes again after so many others.
const AGAIN: u64 = 500;
/// How far behind the watermark stays: for what is out of order and for the doubles, and for a minute in which nothing can be sent
/// and the host moves event time on by the clock. So nothing is ever late.
pub const DELAY_MS: u64 = SHUFFLED_MS + AGAIN * STEP_MS + 80_000;

/// Counts by a window's begin, in milliseconds since 1970-01-01T00:00:00Z, and station. Running counts have no window, and begin at 0.
pub type Counts = BTreeMap<(u64, u64), u64>;

/// What must be known of one station's window.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub struct Waits {
    /// Entries with it, each once.
    pub count: u64,
    /// The sum of what they waited. All are multiples of an eighth, so that the sum is exact.
    pub minutes: f64,
    /// The longest of that.
    pub longest: f64,
}

/// The numbers of the entries that are sent, in order.
pub fn numbers(range: Range<u64>) -> impl Iterator<Item = u64> {
    let again = |i: u64| i.checked_sub(AGAIN).filter(|before| before % 9 == 4);
    range.flat_map(move |i| [Some(i), again(i)]).flatten()
}

/// The value of an entry.
pub fn value(i: u64) -> String {
    line(&i.to_string(), station(i), &station(i).to_string(), at_ms(i), wait(i))
}

/// The value of the last entry of a partition: so late that all windows of the `sent` before it are over.
pub fn last_value(partition: u64, sent: u64) -> String {
    line(&format!("end-{partition}"), 0, &format!("end-{partition}"), at_ms(sent) + SHUFFLED_MS + 2 * DELAY_MS, 0.0)
}

fn line(id: &str, station_id: u64, station: &str, at_ms: u64, wait: f64) -> String {
    let at = iso(at_ms);
    format!(r#"{{"id":"{id}","station_id":{station_id},"station":"{station}","at":"{at}","waiting_time":{wait}}}"#)
}

pub fn station(i: u64) -> u64 {
    i % STATIONS
}

fn at_ms(i: u64) -> u64 {
    EPOCH_MS + SHUFFLED_MS + i * STEP_MS - (i * 7919) % SHUFFLED_MS
}

fn wait(i: u64) -> f64 {
    (i % 600) as f64 / 8.0
}

/// Counts by window and station of entries `0..count`, those that come twice once.
pub fn by_window(count: u64) -> Counts {
    let mut seen = HashSet::new();
    let mut counts = Counts::new();
    for i in numbers(0..count).filter(|i| seen.insert(*i)) {
        *counts.entry((begin(i), station(i))).or_default() += 1;
    }
    counts
}

/// Counts by station of entries `0..count`, those that come twice twice.
pub fn running(count: u64) -> Counts {
    let mut counts = Counts::new();
    numbers(0..count).for_each(|i| *counts.entry((0, station(i))).or_default() += 1);
    counts
}

/// What each station's window of this begin comes to once everything that belongs there has been sent.
pub fn whole(begin_ms: u64) -> BTreeMap<u64, Waits> {
    let number = |ms: u64| ms.saturating_sub(EPOCH_MS) / STEP_MS;
    let mut stations: BTreeMap<u64, Waits> = BTreeMap::new();
    for i in number(begin_ms.saturating_sub(SHUFFLED_MS))..=number(begin_ms + WINDOW_MS) {
        if begin(i) == begin_ms {
            let waits = stations.entry(station(i)).or_default();
            waits.count += 1;
            waits.minutes += wait(i);
            waits.longest = waits.longest.max(wait(i));
        }
    }
    stations
}

fn begin(i: u64) -> u64 {
    at_ms(i) / WINDOW_MS * WINDOW_MS
}

/// Looks at the computations themselves; `make chaos` begins with it.
pub fn check() {
    let sent = 20_000;
    let counts = by_window(sent);
    assert_eq!(counts.values().sum::<u64>(), sent);
    let doubles = numbers(0..sent).count() as u64 - sent;
    assert_eq!(doubles, (sent - AGAIN + 4) / 9);
    assert_eq!(running(sent).values().sum::<u64>(), sent + doubles);
    // What is sent later is nearly all in later windows; those that nothing more can come into are whole.
    let over = at_ms(sent) - SHUFFLED_MS - WINDOW_MS;
    for ((begin_ms, station), count) in counts {
        let whole = whole(begin_ms)[&station].count;
        assert!(count <= whole && (count == whole || begin_ms > over), "{begin_ms} {station}: {count} of {whole}");
    }
}
