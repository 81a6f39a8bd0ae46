//! Dates and times as ISO 8601 writes them, for every value that a column can hold.
//!
//! Arrow's own formatting fails for years that chrono doesn't reach (a plugin may send any number) and needs a time
//! zone database for the zone called UTC; this does neither.

use std::fmt::Write;

use chrono::{Datelike, NaiveDate};

pub(super) const MICROS_PER_DAY: i64 = 86_400_000_000;

/// Days from 0001-01-01, which chrono counts as 1, to 1970-01-01.
const EPOCH_FROM_CE: i32 = 719_163;

/// After so many days (400 years) the calendar repeats.
const CYCLE_DAYS: i64 = 146_097;

/// Year, month and day of a count of days since 1970-01-01.
pub(super) fn civil(days: i64) -> (i64, u32, u32) {
    // Within one cycle from 1970 chrono has every date, so the default never comes up.
    let in_cycle = days.rem_euclid(CYCLE_DAYS) as i32;
    let date = NaiveDate::from_num_days_from_ce_opt(EPOCH_FROM_CE + in_cycle).unwrap_or_default();
    (i64::from(date.year()) + 400 * days.div_euclid(CYCLE_DAYS), date.month(), date.day())
}

/// Days since 1970-01-01 of microseconds since then.
pub(super) fn days(micros: i64) -> i64 {
    micros.div_euclid(MICROS_PER_DAY)
}

/// `2026-01-05`; years outside 0 to 9999 with their sign and at least six digits, as ISO 8601 expands them.
pub(super) fn write_date(days: i64, out: &mut String) {
    let (year, month, day) = civil(days);
    // Writing to a string doesn't fail.
    let _ = match year {
        0..=9999 => write!(out, "{year:04}-{month:02}-{day:02}"),
        _ => write!(out, "{year:+07}-{month:02}-{day:02}"),
    };
}

/// Writes timestamps; remembers the date of the last, since neighbours mostly share it.
#[derive(Debug, Default)]
pub(super) struct Timestamps {
    days: i64,
    date: String,
}

impl Timestamps {
    /// `2026-01-05T07:08:09Z`, with three or six digits behind the seconds where they are needed.
    pub fn write(&mut self, micros: i64, out: &mut String) {
        let days = days(micros);
        if days != self.days || self.date.is_empty() {
            self.days = days;
            self.date.clear();
            write_date(days, &mut self.date);
        }
        out.push_str(&self.date);
        let micros = micros.rem_euclid(MICROS_PER_DAY) as u64;
        let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
        digits('T', 2, seconds / 3600, out);
        digits(':', 2, seconds / 60 % 60, out);
        digits(':', 2, seconds % 60, out);
        match fraction {
            0 => {}
            _ if fraction % 1000 == 0 => digits('.', 3, fraction / 1000, out),
            _ => digits('.', 6, fraction, out),
        }
        out.push('Z');
    }
}

/// A separator and a number in so many digits.
fn digits(separator: char, count: u32, number: u64, out: &mut String) {
    out.push(separator);
    for place in (0..count).rev() {
        out.push(char::from(b'0' + (number / 10u64.pow(place) % 10) as u8));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (days, expected) in [
            (0, "1970-01-01"),
            (-1, "1969-12-31"),
            (11_016, "2000-02-29"),
            (20_458, "2026-01-05"),
            (-719_162, "0001-01-01"),
            (-719_163, "0000-12-31"),
            (-719_529, "-000001-12-31"),
            (2_932_896, "9999-12-31"),
            (2_932_897, "+010000-01-01"),
            (i64::from(i32::MAX), "+5881580-07-11"),
            (i64::from(i32::MIN), "-5877641-06-23"),
        ] {
            let mut out = String::new();
            write_date(days, &mut out);
            assert_eq!(out, expected);
        }
    }

    #[test]
    fn timestamps() {
        let mut timestamps = Timestamps::default();
        for (micros, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (1, "1970-01-01T00:00:00.000001Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
            (1_767_596_889_000_000, "2026-01-05T07:08:09Z"),
            (1_767_596_889_120_000, "2026-01-05T07:08:09.120Z"),
            (i64::MAX, "+294247-01-10T04:00:54.775807Z"),
            (i64::MIN, "-290308-12-21T19:59:05.224192Z"),
        ] {
            let mut out = String::new();
            timestamps.write(micros, &mut out);
            assert_eq!(out, expected);
        }
    }
}
