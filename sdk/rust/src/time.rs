//! Dates and timestamps as columns hold them. The calendar is the proleptic Gregorian one, the zone always UTC.

use std::fmt;
use std::str::FromStr;

const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;

/// A day: days since 1970-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Date(pub i32);

/// A moment: microseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(pub i64);

/// Text that is no date or no timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseTimeError(&'static str);

impl fmt::Display for ParseTimeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for ParseTimeError {}

impl Date {
    /// The day of this year, month (1 to 12) and day of the month; `None` if there is no such day, or it is too far off.
    pub fn from_ymd(year: i32, month: u32, day: u32) -> Option<Self> {
        if !(1..=12).contains(&month) || day == 0 || day > days_in_month(year, month) {
            return None;
        }
        // Count in years that begin on 1 March, so that the leap day is the last of its year.
        let (year, month) = if month > 2 { (year.into(), month - 3) } else { (i64::from(year) - 1, month + 9) };
        let day_of_year = (i64::from(month) * 153 + 2) / 5 + i64::from(day) - 1;
        let days = year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year;
        i32::try_from(days - DAYS_TO_1970).ok().map(Self)
    }

    /// Year, month (1 to 12) and day of the month.
    pub fn ymd(self) -> (i32, u32, u32) {
        const DAYS_PER_400_YEARS: i64 = 146_097;
        let days = i64::from(self.0) + DAYS_TO_1970;
        let (cycle, day) = (days.div_euclid(DAYS_PER_400_YEARS), days.rem_euclid(DAYS_PER_400_YEARS));
        // Leave out the leap days passed so far; the last day of the cycle is one that belongs to its year.
        let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
        let day_of_year = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day_of_year + 2) / 153;
        let day_of_month = day_of_year - (153 * month + 2) / 5 + 1;
        let (year, month) = (cycle * 400 + year, if month < 10 { (0, month + 3) } else { (1, month - 9) });
        ((year + month.0) as i32, month.1 as u32, day_of_month as u32)
    }

    /// Midnight, when the day begins.
    pub fn midnight(self) -> Timestamp {
        Timestamp(i64::from(self.0) * MICROS_PER_DAY)
    }
}

/// Days from 0000-03-01 to 1970-01-01.
const DAYS_TO_1970: i64 = 719_468;

fn days_in_month(year: i32, month: u32) -> u32 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

impl Timestamp {
    /// From milliseconds since 1970-01-01T00:00:00Z; the farthest timestamp where it is out of range.
    pub fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1000))
    }

    /// From seconds since 1970-01-01T00:00:00Z; the farthest timestamp where it is out of range.
    pub fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(MICROS_PER_SECOND))
    }

    /// Milliseconds since 1970-01-01T00:00:00Z, rounded down.
    pub fn millis(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Seconds since 1970-01-01T00:00:00Z, rounded down.
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(MICROS_PER_SECOND)
    }

    /// The day it falls on, in UTC.
    pub fn date(self) -> Date {
        // 2^63 microseconds are some 107 million days.
        Date(self.0.div_euclid(MICROS_PER_DAY) as i32)
    }

    /// Hour, minute and second of its day, in UTC.
    pub fn hms(self) -> (u32, u32, u32) {
        let seconds = (self.0.rem_euclid(MICROS_PER_DAY) / MICROS_PER_SECOND) as u32;
        (seconds / 3600, seconds / 60 % 60, seconds % 60)
    }

    /// Microseconds from `earlier` to here; negative if that is in fact later.
    pub fn micros_since(self, earlier: Timestamp) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// `2026-01-31`
impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.ymd();
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

/// `2026-01-31T08:00:00Z`, with microseconds where there are any.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (hour, minute, second) = self.hms();
        write!(f, "{}T{hour:02}:{minute:02}:{second:02}", self.date())?;
        match self.0.rem_euclid(MICROS_PER_SECOND) {
            0 => f.write_str("Z"),
            micros => write!(f, ".{micros:06}Z"),
        }
    }
}

/// `2026-01-31`
impl FromStr for Date {
    type Err = ParseTimeError;
    fn from_str(text: &str) -> Result<Self, ParseTimeError> {
        const ERROR: ParseTimeError = ParseTimeError("not a date like 2026-01-31");
        let mut parts = text.splitn(3, '-').map(|part| number(part.as_bytes()));
        let (Some(Some(year)), Some(Some(month)), Some(Some(day))) = (parts.next(), parts.next(), parts.next()) else {
            return Err(ERROR);
        };
        i32::try_from(year).ok().and_then(|year| Self::from_ymd(year, month, day)).ok_or(ERROR)
    }
}

/// `2026-01-31T08:00:00.123456Z`; the fraction and the `Z` may be left out, and a space may stand for the `T`.
impl FromStr for Timestamp {
    type Err = ParseTimeError;
    fn from_str(text: &str) -> Result<Self, ParseTimeError> {
        parse(text).ok_or(ParseTimeError("not a timestamp like 2026-01-31T08:00:00Z"))
    }
}

fn parse(text: &str) -> Option<Timestamp> {
    let (date, time) = text.split_once(['T', ' '])?;
    let time = time.strip_suffix('Z').unwrap_or(time);
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let mut parts = time.splitn(3, ':').map(|part| number(part.as_bytes()));
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let nanos = number(fraction.as_bytes())? * 10_u32.pow(9 - fraction.len() as u32);
    let seconds = i64::from(hour * 3600 + minute * 60 + second);
    let midnight = date.parse::<Date>().ok()?.midnight();
    Some(Timestamp(midnight.0 + seconds * MICROS_PER_SECOND + i64::from(nanos / 1000)))
}

/// A number of digits only, at most nine of them.
fn number(digits: &[u8]) -> Option<u32> {
    let digit = |number: u32, digit: &u8| digit.is_ascii_digit().then(|| number * 10 + u32::from(digit - b'0'));
    if digits.is_empty() || digits.len() > 9 { None } else { digits.iter().try_fold(0, digit) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_of_eight_centuries_goes_there_and_back() {
        let mut expected = (1600, 1, 1);
        let first = Date::from_ymd(1600, 1, 1).unwrap();
        for days in first.0..first.0 + 2 * 146_097 {
            assert_eq!(Date(days).ymd(), expected);
            assert_eq!(Date::from_ymd(expected.0, expected.1, expected.2), Some(Date(days)));
            let (year, month, day) = expected;
            expected = match (month, day == days_in_month(year, month)) {
                (_, false) => (year, month, day + 1),
                (12, true) => (year + 1, 1, 1),
                (_, true) => (year, month + 1, 1),
            };
        }
        assert_eq!(expected, (2400, 1, 1));
    }

    #[test]
    fn the_epoch_and_the_ends() {
        assert_eq!(Date(0).to_string(), "1970-01-01");
        assert_eq!(Timestamp(-1).to_string(), "1969-12-31T23:59:59.999999Z");
        assert_eq!(Timestamp(-1).date(), Date(-1));
        assert_eq!(Timestamp::from_millis(i64::MAX), Timestamp(i64::MAX));
        for days in [i32::MIN, i32::MAX] {
            let (year, month, day) = Date(days).ymd();
            assert_eq!(Date::from_ymd(year, month, day), Some(Date(days)));
        }
        assert_eq!(Date::from_ymd(i32::MAX, 12, 31), None);
    }

    #[test]
    fn text_there_and_back() {
        for text in ["2026-01-31T08:00:00Z", "2024-02-29T23:59:59.000001Z", "1969-12-31T23:59:59Z"] {
            assert_eq!(text.parse::<Timestamp>().unwrap().to_string(), text);
        }
        assert_eq!("2026-01-31 08:00:00.5".parse(), "2026-01-31T08:00:00.500000Z".parse::<Timestamp>());
        assert_eq!("2026-01-31".parse(), Ok(Date(20_484)));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "2026-01-31",
            "2026-02-29T00:00:00Z",
            "2026-01-31T24:00:00Z",
            "2026-01-31T08:00Z",
            "x",
            "2026-01-31T08:00:00.Z",
        ] {
            assert!(text.parse::<Timestamp>().is_err(), "{text}");
        }
        for text in ["2026-13-01", "2026-00-01", "2026-04-31", "2026-1", "+2026-01-01"] {
            assert!(text.parse::<Date>().is_err(), "{text}");
        }
    }
}
