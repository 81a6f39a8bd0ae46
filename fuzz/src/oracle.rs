//! Values of text by other means than the decoder's: std's and chrono's parsers, and arithmetic on digits.

use chrono::{NaiveDate, NaiveDateTime, NaiveTime};

use super::{Cell, Expected};

const MICROS_PER_DAY: i64 = 86_400_000_000;

fn rejected() -> Expected {
    Expected::Rejected
}

fn integer_cell(value: i64) -> Expected {
    Expected::Cell(Cell::Integer(value))
}

/// 0000-01-01 to 9999-12-31, in days since 1970-01-01.
fn days_of_range() -> (i64, i64) {
    let days = |date: Option<NaiveDate>| days(date.unwrap());
    (days(NaiveDate::from_ymd_opt(0, 1, 1)), days(NaiveDate::from_ymd_opt(9999, 12, 31)))
}

fn days(date: NaiveDate) -> i64 {
    date.and_time(NaiveTime::MIN).and_utc().timestamp() / 86_400
}

/// A timestamp that a column may hold, or a rejection.
pub fn in_range(micros: i64) -> Expected {
    let (first, last) = days_of_range();
    if (first..=last).contains(&micros.div_euclid(MICROS_PER_DAY)) { integer_cell(micros) } else { rejected() }
}

/// Optional sign, digits, optional point and digits, optional exponent: its parts.
fn number(text: &str) -> Option<(bool, String, String, i64)> {
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], text[at + 1..].parse::<i64>().ok()?.clamp(-100_000, 100_000)),
        None => (text, 0),
    };
    let (negative, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, mantissa.strip_prefix('+').unwrap_or(mantissa)),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (digits(whole) && digits(fraction)).then(|| (negative, whole.to_owned(), fraction.to_owned(), exponent))
}

/// An integer of `bits` bits, by shifting the point among the digits.
pub fn integer(text: &str, bits: u32) -> Expected {
    let Some((negative, whole, fraction, exponent)) = number(text) else {
        let may_be = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
        return if may_be { Expected::Unknown } else { rejected() };
    };
    // The decoder counts digits in 128 bits and exponents in 32, and refuses what is longer even where it would fit.
    let long = whole.trim_start_matches('0').len() + fraction.trim_end_matches('0').len() > 37 || exponent.abs() > 300;
    let point = whole.len() as i64 + exponent;
    let digits = whole + &fraction;
    let digit = |at: i64| usize::try_from(at).ok().and_then(|at| digits.as_bytes().get(at)).map_or(b'0', |byte| *byte);
    let end = digits.len() as i64;
    if (point..end).any(|at| at >= 0 && digit(at) != b'0') || (point < 0 && digits.bytes().any(|byte| byte != b'0')) {
        return rejected();
    }
    let mut value: i128 = 0;
    for at in 0..point {
        if value > i128::from(u64::MAX) {
            return rejected();
        }
        value = value * 10 + i128::from(digit(at) - b'0');
    }
    let value = if negative { -value } else { value };
    let fits = i64::try_from(value).ok().filter(|value| bits == 64 || i32::try_from(*value).is_ok());
    match fits {
        _ if long => Expected::Unknown,
        Some(value) => integer_cell(value),
        None => rejected(),
    }
}

/// A finite 64-bit float as std reads it.
pub fn float64(text: &str) -> Expected {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Expected::Cell(Cell::Float64(value.to_bits())),
        _ => rejected(),
    }
}

/// A finite 32-bit float as std reads it.
pub fn float32(text: &str) -> Expected {
    match text.parse::<f32>() {
        Ok(value) if value.is_finite() => Expected::Cell(Cell::Float32(value.to_bits())),
        _ => rejected(),
    }
}

/// A date like `2026-01-31`.
pub fn date(text: &str) -> Expected {
    chrono_date(text).map_or_else(rejected, |date| integer_cell(days(date)))
}

fn chrono_date(text: &str) -> Option<NaiveDate> {
    // chrono takes spaces, signs and fewer digits, too.
    let shape = text.bytes().enumerate().all(|(at, byte)| match at {
        4 | 7 => byte == b'-',
        _ => byte.is_ascii_digit(),
    });
    (text.len() == 10 && shape).then(|| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok())?
}

/// A date as a number of days.
pub fn epoch_days(text: &str) -> Expected {
    let (first, last) = days_of_range();
    match integer(text, 64) {
        Expected::Cell(Cell::Integer(days)) if !(first..=last).contains(&days) => rejected(),
        other => other,
    }
}

/// ISO-8601 text or epoch milliseconds, where the clock without an offset is UTC's.
pub fn timestamp(text: &str) -> Expected {
    match iso(text) {
        Some(micros) => in_range(micros),
        None => epoch_millis(text),
    }
}

/// Epoch milliseconds, with decimals or not.
pub fn epoch_millis(text: &str) -> Expected {
    if let Ok(millis) = text.parse::<i64>() {
        return millis.checked_mul(1000).map_or_else(rejected, in_range);
    }
    match (text.parse::<f64>(), integer(text, 64)) {
        (Err(_), _) => rejected(),
        (Ok(value), _) if !value.is_finite() => rejected(),
        (_, Expected::Cell(Cell::Integer(millis))) => match millis.checked_mul(1000).map(in_range) {
            // By way of a float, which is exact for what has few digits.
            Some(found) if millis.abs() < 1 << 40 => found,
            _ => Expected::Unknown,
        },
        _ => Expected::Unknown,
    }
}

/// Microseconds of a date with or without a time and an offset.
fn iso(text: &str) -> Option<i64> {
    let date = chrono_date(text.get(..10)?)?;
    let rest = &text[10..];
    let Some(first) = rest.chars().next() else { return Some(days(date) * MICROS_PER_DAY) };
    if !matches!(first, 'T' | 't' | ' ') {
        return None;
    }
    let rest = &rest[1..];
    let end = rest.find(|c: char| !c.is_ascii_digit() && !matches!(c, ':' | '.' | ',')).unwrap_or(rest.len());
    let (time, offset) = rest.split_at(end);
    let time = time.replacen(',', ".", 1);
    let shape = |pattern: &str, text: &str| {
        text.len() == pattern.len()
            && text.bytes().zip(pattern.bytes()).all(|(byte, shape)| match shape {
                b'0' => byte.is_ascii_digit(),
                _ => byte == shape,
            })
    };
    let format = match time.split_once('.') {
        None if shape("00:00", &time) => "%H:%M",
        None if shape("00:00:00", &time) => "%H:%M:%S",
        Some((seconds, fraction))
            if shape("00:00:00", seconds) && !fraction.is_empty() && fraction.bytes().all(|b| b.is_ascii_digit()) =>
        {
            "%H:%M:%S%.f"
        }
        _ => return None,
    };
    // The 61st second is for chrono.
    if time.get(6..8) == Some("60") {
        return None;
    }
    let local: NaiveDateTime = date.and_time(NaiveTime::parse_from_str(&time, format).ok()?);
    let seconds = match offset {
        "" | "Z" | "z" | "UTC" | " UTC" | " Z" => 0,
        other => {
            let other = other.strip_prefix(' ').unwrap_or(other);
            let sign = match other.as_bytes().first()? {
                b'+' => 1,
                b'-' => -1,
                _ => return None,
            };
            let clock = &other[1..];
            let minutes = if shape("00", clock) {
                "00"
            } else if shape("0000", clock) || shape("00:00", clock) {
                &clock[clock.len() - 2..]
            } else {
                return None;
            };
            let hours: i64 = clock[..2].parse().ok()?;
            let minutes: i64 = minutes.parse().ok()?;
            if hours > 23 || minutes > 59 {
                return None;
            }
            sign * (hours * 3600 + minutes * 60)
        }
    };
    Some(local.and_utc().timestamp_micros() - seconds * 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oracles_know_what_everyone_knows() {
        assert_eq!(integer("12.50e1", 64), integer_cell(125));
        assert_eq!(integer("1.5", 64), rejected());
        assert_eq!(integer("3000000000", 32), rejected());
        assert_eq!(integer("-9223372036854775808", 64), integer_cell(i64::MIN));
        assert_eq!(integer("x", 64), rejected());
        assert_eq!(date("1970-01-02"), integer_cell(1));
        assert_eq!(timestamp("1970-01-01T00:00:01.5+00:00"), integer_cell(1_500_000));
        assert_eq!(timestamp("1970-01-01 02:00 +02"), integer_cell(0));
        assert_eq!(timestamp("1000"), integer_cell(1_000_000));
    }
}
