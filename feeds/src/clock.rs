//! Times of the simulation: civil time without a zone, to the second, never taken from the wall clock.

use chrono::{NaiveDate, NaiveDateTime, NaiveTime, TimeDelta};

/// The first day of a simulation where nobody asks for another.
pub(crate) const DEFAULT_START: NaiveDate = NaiveDate::from_ymd_opt(2026, 1, 1).expect("is in the calendar");

/// This many minutes after midnight of `day`; past 24 hours it is a later day.
pub(crate) fn minutes_into(day: NaiveDate, minutes: i64) -> NaiveDateTime {
    day.and_time(NaiveTime::MIN) + TimeDelta::minutes(minutes)
}

/// This many seconds later.
pub(crate) fn seconds_after(time: NaiveDateTime, seconds: i64) -> NaiveDateTime {
    time + TimeDelta::seconds(seconds)
}

/// ISO-8601 without a zone, to the second: `2026-01-01T06:00:00`. What Python's `datetime.isoformat()` gives for a
/// time without a fraction and without a zone.
pub(crate) fn iso(time: NaiveDateTime) -> String {
    time.format("%Y-%m-%dT%H:%M:%S").to_string()
}

/// Milliseconds since 1970-01-01T00:00:00 on the same clock, that is, as if its zone were UTC.
pub(crate) fn epoch_ms(time: NaiveDateTime) -> i64 {
    time.and_utc().timestamp_millis()
}
