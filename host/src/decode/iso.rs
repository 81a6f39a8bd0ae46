//! Dates and times as ISO-8601 writes them, read digit by digit: a strftime parser costs several times as much.

const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;
/// 1970-01-01, in days since 0000-01-01.
const EPOCH: u32 = 719_528;
/// Days of a year that is no leap year before each month, and before the next year.
const DAYS_BEFORE: [u32; 13] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365];

/// A date, with a time of day or not, and what it says of its time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DateTime {
    /// Microseconds since 1970-01-01T00:00:00 on the clock that wrote it.
    pub local: i64,
    /// How many seconds that clock was ahead of UTC; `None` if it doesn't say.
    pub offset: Option<i32>,
}

/// Days since 1970-01-01 of a date like `2026-01-31`; `None` for any other text.
pub(super) fn date(text: &str) -> Option<i32> {
    days(text.as_bytes().try_into().ok()?)
}

/// A date like `2026-01-31`, alone or with a time: `T` or a space, then `10:30`, `10:30:59` or `10:30:59.123456789` (cut to
/// microseconds), then nothing, `Z`, `UTC`, `+02`, `+0200` or `+02:00`. `None` for any other text.
#[inline]
pub(super) fn date_time(text: &str) -> Option<DateTime> {
    let (date, rest) = text.as_bytes().split_first_chunk::<10>()?;
    let midnight = i64::from(days(date)?) * MICROS_PER_DAY;
    if rest.is_empty() {
        return Some(DateTime { local: midnight, offset: None });
    }
    let [b'T' | b't' | b' ', h1, h2, b':', m1, m2, rest @ ..] = rest else { return None };
    let (hour, minute) = (two_digits(*h1, *h2)?, two_digits(*m1, *m2)?);
    let (second, micros, rest) = match rest {
        [b':', s1, s2, b'.' | b',', rest @ ..] => {
            let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
            if digits == 0 {
                return None;
            }
            (two_digits(*s1, *s2)?, micros(&rest[..digits]), &rest[digits..])
        }
        [b':', s1, s2, rest @ ..] => (two_digits(*s1, *s2)?, 0, rest),
        _ => (0, 0, rest),
    };
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let seconds = i64::from(hour * 3600 + minute * 60 + second);
    Some(DateTime { local: midnight + seconds * MICROS_PER_SECOND + micros, offset: offset(rest)? })
}

/// Seconds east of Greenwich of an offset such as `Z` or `+02:00`; `Some(None)` for no text, `None` for any other.
pub(super) fn offset(text: &[u8]) -> Option<Option<i32>> {
    let (sign, h1, h2, minutes) = match text {
        [] => return Some(None),
        b"Z" | b"z" | b"UTC" | b" UTC" | b" Z" => return Some(Some(0)),
        [sign @ (b'+' | b'-'), h1, h2, rest @ ..] | [b' ', sign @ (b'+' | b'-'), h1, h2, rest @ ..] => {
            (*sign, *h1, *h2, rest)
        }
        _ => return None,
    };
    let minutes = match minutes {
        [] => 0,
        [b':', m1, m2] | [m1, m2] => two_digits(*m1, *m2)?,
        _ => return None,
    };
    let hours = two_digits(h1, h2)?;
    if hours > 23 || minutes > 59 {
        return None;
    }
    let seconds = (hours * 3600 + minutes * 60) as i32;
    Some(Some(if sign == b'-' { -seconds } else { seconds }))
}

/// The microseconds that these digits after a decimal point make; digits beyond the sixth are cut.
pub(super) fn micros(digits: &[u8]) -> i64 {
    let known = digits.iter().take(6).fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
    known * 10i64.pow(6 - digits.len().min(6) as u32)
}

#[inline]
fn days(text: &[u8; 10]) -> Option<i32> {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = *text else { return None };
    let year = two_digits(y1, y2)? * 100 + two_digits(y3, y4)?;
    let (month, day) = (two_digits(m1, m2)?, two_digits(d1, d2)?);
    let (&[before, after], leap) = (DAYS_BEFORE.get(month.checked_sub(1)? as usize..)?.first_chunk()?, is_leap(year));
    if day == 0 || day > after - before + u32::from(leap && month == 2) {
        return None;
    }
    let leap_days = year.div_ceil(4) - year.div_ceil(100) + year.div_ceil(400) + u32::from(leap && month > 2);
    Some((year * 365 + leap_days + before + day - 1) as i32 - EPOCH as i32)
}

/// Of the Gregorian calendar, also before there was one.
fn is_leap(year: u32) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

#[inline]
fn two_digits(tens: u8, ones: u8) -> Option<u32> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    (tens < 10 && ones < 10).then(|| u32::from(tens) * 10 + u32::from(ones))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_days_of_ten_thousand_years_are_as_chrono_has_them() {
        use chrono::{Datelike, NaiveDate};
        for year in 0..=9999 {
            for month in 0..=13 {
                for day in [0, 1, 2, 15, 27, 28, 29, 30, 31, 32] {
                    let text = format!("{year:04}-{month:02}-{day:02}");
                    // 1970-01-01 is day 719,163 of chrono's.
                    let expected =
                        NaiveDate::from_ymd_opt(year, month, day).map(|date| date.num_days_from_ce() - 719_163);
                    assert_eq!(date(&text), expected, "{text}");
                }
            }
        }
    }

    #[test]
    fn dates() {
        for (text, expected) in [
            ("1970-01-01", Some(0)),
            ("1969-12-31", Some(-1)),
            ("2024-02-29", Some(19_782)),
            ("0000-01-01", Some(-719_528)),
            ("9999-12-31", Some(2_932_896)),
            ("2023-02-29", None),
            ("2023-13-01", None),
            ("2023-00-01", None),
            ("2023-1-1", None),
            ("20230101", None),
            ("2023/01/01", None),
            ("2023-01-01T00:00", None),
            ("+023-01-01", None),
            ("", None),
        ] {
            assert_eq!(date(text), expected, "{text}");
        }
    }

    #[test]
    fn times_of_day_and_offsets() {
        const NOON: i64 = 43_200_000_000;
        for (text, expected) in [
            ("1970-01-01", Some((0, None))),
            ("1970-01-01T12:00", Some((NOON, None))),
            ("1970-01-01t12:00:00z", Some((NOON, Some(0)))),
            ("1970-01-01 12:00:00", Some((NOON, None))),
            ("1970-01-01 12:00:00 UTC", Some((NOON, Some(0)))),
            ("1970-01-01T12:00:00.5", Some((NOON + 500_000, None))),
            ("1970-01-01T12:00:00,000001", Some((NOON + 1, None))),
            ("1970-01-01T12:00:00.123456789Z", Some((NOON + 123_456, Some(0)))),
            ("1970-01-01T12:00:00.1234567890123Z", Some((NOON + 123_456, Some(0)))),
            ("1970-01-01T12:00+02", Some((NOON, Some(7200)))),
            ("1970-01-01T12:00:00-0230", Some((NOON, Some(-9000)))),
            ("1970-01-01T12:00:00 +05:45", Some((NOON, Some(20_700)))),
            ("1970-01-01T12:00:00.", None),
            ("1970-01-01T12:00:00.Z", None),
            ("1970-01-01T12:00.5", None),
            ("1970-01-01T12", None),
            ("1970-01-01T", None),
            ("1970-01-01T24:00:00", None),
            ("1970-01-01T23:60:00", None),
            ("1970-01-01T23:59:60", None),
            ("1970-01-01T12:00:00+24:00", None),
            ("1970-01-01T12:00:00+02:60", None),
            ("1970-01-01T12:00:00+2", None),
            ("1970-01-01T12:00:00 ", None),
            ("1970-01-01T12:00:00Zx", None),
            ("1970-01-01_12:00:00", None),
            (" 1970-01-01", None),
            ("1970-01-0\u{661}", None),
        ] {
            let found = date_time(text).map(|time| (time.local, time.offset));
            assert_eq!(found, expected, "{text}");
        }
    }
}
