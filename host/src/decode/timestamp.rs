//! Timestamps and dates, from text or numbers to microseconds or days since 1970-01-01.
//!
//! Results never leave the years 0000 to 9999: what lies beyond is nearly always a wrong unit (microseconds taken for
//! milliseconds), and every reader of our files can show what is within.

use chrono::format::{Item, Parsed, StrftimeItems};
use chrono::{DateTime, NaiveDateTime, NaiveTime, TimeZone};
use chrono_tz::Tz;

use super::reason::Wrong;
use super::{iso, number};

const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;
/// 0000-01-01 to 9999-12-31, in days since 1970-01-01.
const DAYS: std::ops::RangeInclusive<i64> = -719_528..=2_932_896;

/// How a timestamp column is written, and where it was local time.
#[derive(Debug, Clone)]
pub(super) struct TimestampFormat {
    style: Style,
    zone: Zone,
    /// The words for it in reasons.
    expected: String,
}

#[derive(Debug, Clone)]
enum Style {
    /// ISO-8601 text, or epoch milliseconds as a number or its digits.
    Auto,
    Iso,
    /// A number or its digits; holds how many microseconds one of them is.
    Epoch(i64),
    Pattern(Pattern),
}

#[derive(Debug, Clone)]
struct Pattern {
    items: Vec<Item<'static>>,
    /// Where the pattern is date, this byte, time in ISO's own order: our ISO parser is tried first, being faster than chrono's.
    iso_separator: Option<u8>,
}

#[derive(Debug, Clone, Copy)]
enum Zone {
    /// Seconds east of Greenwich.
    Fixed(i32),
    Named(Tz),
}

/// What is wrong with a timestamp column's options.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadFormat {
    /// The option it is about.
    pub key: &'static str,
    /// What is wrong, and what to write instead.
    pub problem: String,
}

impl TimestampFormat {
    /// Reads the options `format` and `timezone`.
    pub fn new(format: Option<&str>, timezone: Option<&str>) -> Result<Self, BadFormat> {
        let zone = match timezone {
            Some(name) => Zone::named(name)?,
            None => Zone::Fixed(0),
        };
        let (style, words) = match format {
            None => (Style::Auto, "ISO-8601 text or epoch milliseconds"),
            Some("iso8601") => (Style::Iso, "ISO-8601 text"),
            Some("epoch_s") => (Style::Epoch(1_000_000), "epoch seconds"),
            Some("epoch_ms") => (Style::Epoch(1000), "epoch milliseconds"),
            Some("epoch_us") => (Style::Epoch(1), "epoch microseconds"),
            Some(pattern) => (Style::Pattern(Pattern::new(pattern)?), pattern),
        };
        let expected = match timezone {
            Some(name) => format!("timestamp ({words}, in {name})"),
            None => format!("timestamp ({words})"),
        };
        Ok(Self { style, zone, expected })
    }

    /// What a reason says was expected.
    pub fn expected(&self) -> &str {
        &self.expected
    }

    /// Microseconds since 1970-01-01T00:00:00Z of a timestamp written as text.
    #[inline]
    pub fn text(&self, text: &str) -> Result<i64, Wrong> {
        match &self.style {
            Style::Auto => match iso::date_time(text) {
                Some(time) => self.zone.to_utc(time),
                None => epoch(text, 1000),
            },
            Style::Iso => self.zone.to_utc(iso::date_time(text).ok_or(Wrong::Type)?),
            Style::Epoch(unit) => epoch(text, *unit),
            Style::Pattern(pattern) => self.zone.to_utc(pattern.read(text).ok_or(Wrong::Type)?),
        }
    }

    /// Microseconds since 1970-01-01T00:00:00Z of a timestamp written as a JSON number.
    #[inline]
    pub fn number(&self, number: &str) -> Result<i64, Wrong> {
        match &self.style {
            Style::Auto => epoch(number, 1000),
            Style::Iso => Err(Wrong::Type),
            Style::Epoch(unit) => epoch(number, *unit),
            Style::Pattern(_) => self.text(number),
        }
    }
}

impl Pattern {
    fn new(text: &str) -> Result<Self, BadFormat> {
        let bad = |problem| BadFormat { key: "format", problem };
        if !text.contains('%') {
            let ways = "`iso8601`, `epoch_s`, `epoch_ms`, `epoch_us` or a strftime pattern such as `%d.%m.%Y %H:%M`";
            return Err(bad(format!("no timestamp format `{text}`; write {ways}, or leave `format` out")));
        }
        let items = StrftimeItems::new(text).parse_to_owned().map_err(|_| {
            bad(format!("`{text}` is no strftime pattern; write one such as `%d.%m.%Y %H:%M` (a percent sign is `%%`)"))
        })?;
        let iso_separator = match text {
            "%Y-%m-%d %H:%M:%S" | "%F %T" | "%Y-%m-%d %T" => Some(b' '),
            "%Y-%m-%dT%H:%M:%S" | "%FT%T" | "%Y-%m-%dT%T" => Some(b'T'),
            _ => None,
        };
        let pattern = Self { items, iso_separator };
        // A pattern is of use only if what it writes can be read again.
        let mut example = String::new();
        let sample = DateTime::UNIX_EPOCH.fixed_offset();
        let written = std::fmt::write(&mut example, format_args!("{}", sample.format_with_items(pattern.items.iter())));
        if written.is_err() || pattern.read(&example).is_none() {
            return Err(bad(format!("`{text}` doesn't tell the date; write a pattern with day, month and year")));
        }
        Ok(pattern)
    }

    fn read(&self, text: &str) -> Option<iso::DateTime> {
        if let Some(separator) = self.iso_separator
            && text.len() == "1970-01-01 00:00:00".len()
            && text.as_bytes()[10] == separator
            && let Some(time) = iso::date_time(text)
        {
            return Some(time);
        }
        let mut parsed = Parsed::new();
        chrono::format::parse(&mut parsed, text, self.items.iter()).ok()?;
        let has_time = parsed.hour_mod_12().is_some() || parsed.minute().is_some() || parsed.timestamp().is_some();
        // `%s` is seconds since the epoch, wherever the clock hung.
        let offset = parsed.offset().or(parsed.timestamp().map(|_| 0));
        let local = if has_time {
            parsed.to_naive_datetime_with_offset(offset.unwrap_or(0)).ok()?
        } else {
            parsed.to_naive_date().ok()?.and_time(NaiveTime::MIN)
        };
        Some(iso::DateTime { local: local.and_utc().timestamp_micros(), offset })
    }
}

impl Zone {
    fn named(name: &str) -> Result<Self, BadFormat> {
        if let Some(Some(seconds)) = iso::offset(name.as_bytes()) {
            return Ok(Self::Fixed(seconds));
        }
        name.parse().map(Self::Named).map_err(|_| BadFormat {
            key: "timezone",
            problem: format!(
                "no time zone `{name}`; write a name such as `Europe/Paris` or an offset such as `+02:00`"
            ),
        })
    }

    /// Where a zone's clock showed a time twice, the first; a time that it skipped is wrong.
    #[inline]
    fn to_utc(self, time: iso::DateTime) -> Result<i64, Wrong> {
        let seconds = match (time.offset, self) {
            (Some(seconds), _) | (None, Self::Fixed(seconds)) => seconds,
            (None, Self::Named(zone)) => {
                let local: NaiveDateTime = DateTime::from_timestamp_micros(time.local).ok_or(Wrong::Range)?.naive_utc();
                let utc = zone.from_local_datetime(&local).earliest().ok_or(Wrong::Type)?;
                return in_range(utc.timestamp_micros());
            }
        };
        in_range(time.local.saturating_sub(i64::from(seconds) * MICROS_PER_SECOND))
    }
}

/// Microseconds since the epoch of a decimal number of units, each of `unit` microseconds; what is finer is cut.
fn epoch(text: &str, unit: i64) -> Result<i64, Wrong> {
    if let Ok(units) = text.parse::<i64>() {
        return in_range(units.checked_mul(unit).ok_or(Wrong::Range)?);
    }
    // Not by way of f64, which would cost the last microseconds of `1700000000.123457`.
    if let Some((whole, fraction)) = text.split_once('.')
        && !fraction.is_empty()
        && fraction.bytes().all(|b| b.is_ascii_digit())
        && let Ok(units) = whole.parse::<i64>()
    {
        let part = iso::micros(fraction.as_bytes()) * unit / 1_000_000;
        let part = if whole.starts_with('-') { -part } else { part };
        return in_range(units.checked_mul(unit).and_then(|micros| micros.checked_add(part)).ok_or(Wrong::Range)?);
    }
    // Digits too many or an exponent. The cast saturates, and what is near its ends is out of range anyhow.
    in_range((number::float64(text)? * unit as f64) as i64)
}

/// Microseconds since the epoch, if they are of the years 0000 to 9999.
pub(super) fn in_range(micros: i64) -> Result<i64, Wrong> {
    if DAYS.contains(&micros.div_euclid(MICROS_PER_DAY)) { Ok(micros) } else { Err(Wrong::Range) }
}

/// Days since 1970-01-01 of a date like `2026-01-31`.
pub(super) fn date(text: &str) -> Result<i32, Wrong> {
    iso::date(text).ok_or(Wrong::Type)
}

/// Days since 1970-01-01, written as a number of days.
pub(super) fn epoch_days(number: &str) -> Result<i32, Wrong> {
    days_in_range(number::integer(number)?)
}

/// Days since 1970-01-01, if they are of the years 0000 to 9999.
pub(super) fn days_in_range(days: i64) -> Result<i32, Wrong> {
    if DAYS.contains(&days) { i32::try_from(days).map_err(|_| Wrong::Range) } else { Err(Wrong::Range) }
}

#[cfg(test)]
mod tests {
    use super::Wrong::{Range, Type};
    use super::*;

    fn check(format: Option<&str>, timezone: Option<&str>, cases: &[(&str, Result<&str, Wrong>)]) {
        let reader = TimestampFormat::new(format, timezone).unwrap();
        for (text, expected) in cases {
            let expected = expected.map(|time| time.parse::<DateTime<chrono::Utc>>().unwrap().timestamp_micros());
            assert_eq!(reader.text(text), expected, "{text} as {format:?} in {timezone:?}");
        }
    }

    #[test]
    fn either_iso_or_milliseconds() {
        check(
            None,
            None,
            &[
                ("2023-09-23T16:54:00", Ok("2023-09-23T16:54:00Z")),
                ("2023-09-23 16:54:00.123456789+02:00", Ok("2023-09-23T14:54:00.123456Z")),
                ("2023-09-23", Ok("2023-09-23T00:00:00Z")),
                ("1695488040000", Ok("2023-09-23T16:54:00Z")),
                ("-1", Ok("1969-12-31T23:59:59.999Z")),
                ("1.5", Ok("1970-01-01T00:00:00.0015Z")),
                ("-1.5", Ok("1969-12-31T23:59:59.9985Z")),
                ("-0.5", Ok("1969-12-31T23:59:59.9995Z")),
                ("1.695488040e12", Ok("2023-09-23T16:54:00Z")),
                ("9999-12-31T23:59:59.999999", Ok("9999-12-31T23:59:59.999999Z")),
                ("9999-12-31T23:59:59-01:00", Err(Range)),
                ("0000-01-01T00:00:00+01:00", Err(Range)),
                ("1695488040000000", Err(Range)),
                ("99999999999999999999", Err(Range)),
                ("1e400", Err(Range)),
                ("9223372036854775807", Err(Range)),
                ("yesterday", Err(Type)),
                ("nan", Err(Type)),
                (".5", Ok("1970-01-01T00:00:00.0005Z")),
                ("", Err(Type)),
            ],
        );
    }

    #[test]
    fn one_way_only() {
        check(Some("iso8601"), None, &[("2023-09-23", Ok("2023-09-23T00:00:00Z")), ("1695488040000", Err(Type))]);
        check(Some("epoch_ms"), None, &[("1000", Ok("1970-01-01T00:00:01Z")), ("2023-09-23", Err(Type))]);
        check(Some("epoch_us"), None, &[("1000001.9", Ok("1970-01-01T00:00:01.000001Z"))]);
        check(
            Some("epoch_s"),
            None,
            &[
                ("1700000000", Ok("2023-11-14T22:13:20Z")),
                ("1700000000.123457", Ok("2023-11-14T22:13:20.123457Z")),
                ("1700000000000", Err(Range)),
            ],
        );
        let iso = TimestampFormat::new(Some("iso8601"), None).unwrap();
        assert_eq!(iso.number("1695488040000"), Err(Type));
        let auto = TimestampFormat::new(None, None).unwrap();
        assert_eq!(auto.number("1000"), Ok(1_000_000));
    }

    #[test]
    fn patterns() {
        check(
            Some("%Y-%m-%d %H:%M:%S"),
            None,
            &[
                ("2023-09-23 16:54:00", Ok("2023-09-23T16:54:00Z")),
                ("2023-9-3 6:4:0", Ok("2023-09-03T06:04:00Z")),
                ("2023-09-23T16:54:00", Err(Type)),
                ("2023-09-23 16:54:00Z", Err(Type)),
                ("2023-09-31 16:54:00", Err(Type)),
            ],
        );
        check(Some("%d.%m.%Y"), Some("+02:00"), &[("23.09.2023", Ok("2023-09-22T22:00:00Z")), ("23.09.", Err(Type))]);
        check(Some("%m/%d/%y %I:%M %p"), None, &[("09/23/23 04:54 PM", Ok("2023-09-23T16:54:00Z"))]);
        check(Some("%F %T%.f%z"), Some("+09:00"), &[("2023-09-23 16:54:00.25+0200", Ok("2023-09-23T14:54:00.25Z"))]);
        check(Some("%s"), Some("+09:00"), &[("1700000000", Ok("2023-11-14T22:13:20Z"))]);
        let compact = TimestampFormat::new(Some("%Y%m%d"), None).unwrap();
        assert_eq!(compact.number("19700102"), Ok(MICROS_PER_DAY));
    }

    #[test]
    fn local_time() {
        check(
            None,
            Some("Europe/Paris"),
            &[
                ("2023-07-01T12:00:00", Ok("2023-07-01T10:00:00Z")),
                ("2023-01-01T12:00:00", Ok("2023-01-01T11:00:00Z")),
                ("2023-01-01T12:00:00Z", Ok("2023-01-01T12:00:00Z")),
                ("2023-10-29T02:30:00", Ok("2023-10-29T00:30:00Z")),
                ("2023-03-26T02:30:00", Err(Type)),
                ("1000", Ok("1970-01-01T00:00:01Z")),
            ],
        );
        check(None, Some("UTC"), &[("2023-07-01T12:00:00", Ok("2023-07-01T12:00:00Z"))]);
        check(None, Some("-03:30"), &[("2023-07-01T12:00:00", Ok("2023-07-01T15:30:00Z"))]);
    }

    #[test]
    fn bad_options_say_what_to_write() {
        for (format, timezone, key, words) in [
            (Some("iso"), None, "format", "no timestamp format `iso`; write `iso8601`"),
            (Some("%Q"), None, "format", "`%Q` is no strftime pattern"),
            (Some("100%"), None, "format", "`100%` is no strftime pattern"),
            (Some("%H:%M"), None, "format", "`%H:%M` doesn't tell the date"),
            (Some("%%"), None, "format", "`%%` doesn't tell the date"),
            (None, Some("Paris"), "timezone", "no time zone `Paris`; write a name such as `Europe/Paris`"),
            (None, Some("+25:00"), "timezone", "no time zone `+25:00`"),
            (None, Some(""), "timezone", "no time zone ``"),
        ] {
            let error = TimestampFormat::new(format, timezone).unwrap_err();
            assert_eq!(error.key, key);
            assert!(error.problem.contains(words), "{}", error.problem);
        }
    }

    #[test]
    fn dates_are_text_or_days() {
        assert_eq!(date("1970-01-02"), Ok(1));
        assert_eq!(date("1970-01-02T00:00:00"), Err(Type));
        for (number, expected) in [
            ("19000", Ok(19_000)),
            ("1.0", Ok(1)),
            ("1.5", Err(Type)),
            ("20240101", Err(Range)),
            ("-719529", Err(Range)),
        ] {
            assert_eq!(epoch_days(number), expected, "{number}");
        }
    }
}
