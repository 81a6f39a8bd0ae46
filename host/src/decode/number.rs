//! Numbers as JSON and CSV write them: exact, or refused.

use std::num::{IntErrorKind, ParseIntError};

use super::reason::Wrong;

/// An integer, exactly. `3.0` and `12e1` are integers too; `3.5` isn't.
pub(super) fn integer(text: &str) -> Result<i64, Wrong> {
    match text.parse() {
        Ok(value) => Ok(value),
        Err(_) => decimal_integer(text),
    }
}

/// Digits times a power of ten, without the rounding that a detour over `f64` would bring from 2^53 on.
#[cold]
fn decimal_integer(text: &str) -> Result<i64, Wrong> {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let fraction = fraction.trim_end_matches('0');
    let digits: i128 = [whole, fraction].concat().parse().map_err(overflow)?;
    let exponent: i32 = exponent.parse().map_err(overflow)?;
    if digits == 0 {
        return Ok(0);
    }
    let power = i64::from(exponent) - fraction.len() as i64;
    let scale = u32::try_from(power.unsigned_abs()).ok().and_then(|power| 10i128.checked_pow(power));
    let value = match (power < 0, scale) {
        (false, Some(scale)) => digits.checked_mul(scale).ok_or(Wrong::Range)?,
        (false, None) => return Err(Wrong::Range),
        (true, Some(scale)) if digits % scale == 0 => digits / scale,
        (true, _) => return Err(Wrong::Type),
    };
    i64::try_from(value).map_err(|_| Wrong::Range)
}

fn overflow(error: ParseIntError) -> Wrong {
    match error.kind() {
        IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => Wrong::Range,
        _ => Wrong::Type,
    }
}

/// A finite 64-bit float, the nearest to what is written.
#[inline]
pub(super) fn float64(text: &str) -> Result<f64, Wrong> {
    match short_decimal(text) {
        Some(value) => Ok(value),
        None => any_float64(text),
    }
}

/// The powers of ten that 64-bit floats hold exactly, as far as [`short_decimal`] wants them.
const POWERS_OF_TEN: [f64; 16] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

/// What nearly all numbers look like, in a third of the time: digits, with a point among them or not. The digits are an integer
/// that a float holds exactly, and so is the power of ten: their quotient is rounded once, to the nearest. `None` for all else,
/// which may be a number all the same.
#[inline]
fn short_decimal(text: &str) -> Option<f64> {
    let (negative, digits) = match text.as_bytes() {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if digits.len() > POWERS_OF_TEN.len() {
        return None;
    }
    let (mut integer, mut point) = (0u64, digits.len());
    for (index, byte) in digits.iter().enumerate() {
        match byte {
            b'0'..=b'9' => integer = integer * 10 + u64::from(byte - b'0'),
            b'.' if point == digits.len() => point = index,
            _ => return None,
        }
    }
    let decimals = digits.len().saturating_sub(point + 1);
    if integer > 1 << f64::MANTISSA_DIGITS || point + decimals == 0 {
        return None;
    }
    let value = integer as f64 / POWERS_OF_TEN[decimals];
    Some(if negative { -value } else { value })
}

fn any_float64(text: &str) -> Result<f64, Wrong> {
    let value: f64 = text.parse().map_err(|_| Wrong::Type)?;
    if value.is_finite() { Ok(value) } else { Err(infinite(text)) }
}

/// A finite 32-bit float, the nearest to what is written (not to its 64-bit neighbour).
pub(super) fn float32(text: &str) -> Result<f32, Wrong> {
    let value: f32 = text.parse().map_err(|_| Wrong::Type)?;
    if value.is_finite() { Ok(value) } else { Err(infinite(text)) }
}

/// `1e999` is a number too large; `inf` and `nan` (which Rust's parser takes) are no numbers here.
fn infinite(text: &str) -> Wrong {
    if text.contains(|c: char| c.is_ascii_digit()) { Wrong::Range } else { Wrong::Type }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_read_as_rust_reads_them() {
        let edges = "0 -0 0.0 -0.0 - . -. 5. .5 -.5 1..2 1.2.3 +1 --1 1- 007 1e5 0.1 0.3 9007199254740992 9007199254740993 \
            9999999999999999 0.000000000000001 900719925474.0993 9007199254740.993 123456789012345.6 0.30000000000000004";
        let mut texts: Vec<String> = edges.split_whitespace().map(str::to_owned).collect();
        let mut seed = 1u64;
        for _ in 0..200_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let digits = format!("{}", (seed >> 8) % 10u64.pow(1 + (seed >> 40) as u32 % 18));
            let point = (seed >> 20) as usize % (digits.len() + 1);
            let sign = if seed >> 63 == 0 { "" } else { "-" };
            texts.push(format!("{sign}{}.{}", &digits[..point], &digits[point..]));
        }
        for text in texts {
            let expected = text.parse::<f64>().ok().map(f64::to_bits);
            assert_eq!(float64(&text).ok().map(f64::to_bits), expected, "{text}");
        }
    }

    #[test]
    fn integers_are_exact() {
        use Wrong::{Range, Type};
        for (text, expected) in [
            ("0", Ok(0)),
            ("-0", Ok(0)),
            ("-0.0", Ok(0)),
            ("0e999", Ok(0)),
            ("3.0", Ok(3)),
            ("-3.000", Ok(-3)),
            ("3.5", Err(Type)),
            ("12e1", Ok(120)),
            ("1.25E+2", Ok(125)),
            ("1.255e2", Err(Type)),
            ("1200e-2", Ok(12)),
            ("1201e-2", Err(Type)),
            ("9223372036854775807", Ok(i64::MAX)),
            ("9223372036854775807.0", Ok(i64::MAX)),
            ("-9223372036854775808", Ok(i64::MIN)),
            ("9223372036854775808", Err(Range)),
            ("4503599627370497.3", Err(Type)),
            ("9007199254740993.0", Ok(9_007_199_254_740_993)),
            ("1e30", Err(Range)),
            ("1e999", Err(Range)),
            ("1e-999", Err(Type)),
            ("1e99999999999", Err(Range)),
            ("123456789012345678901234567890123456789012345678901234567890", Err(Range)),
            ("", Err(Type)),
            ("e5", Err(Type)),
            ("1e", Err(Type)),
            ("1.-5", Err(Type)),
            ("--5", Err(Type)),
            ("abc", Err(Type)),
            ("inf", Err(Type)),
            ("12 ", Err(Type)),
        ] {
            assert_eq!(integer(text), expected, "{text}");
        }
    }

    #[test]
    fn floats_are_finite() {
        use Wrong::{Range, Type};
        for (text, expected) in [
            ("1", Ok(1.0)),
            ("-2.5e3", Ok(-2500.0)),
            ("0.1", Ok(0.1)),
            ("1e308", Ok(1e308)),
            ("1e309", Err(Range)),
            ("nan", Err(Type)),
            ("-inf", Err(Type)),
            ("infinity", Err(Type)),
            ("", Err(Type)),
            ("1,5", Err(Type)),
        ] {
            assert_eq!(float64(text), expected, "{text}");
        }
        assert_eq!(float32("1e39"), Err(Range));
        // The nearest f32 is just above the middle of two; rounded to f64 first it would fall on the middle, and to ...000.
        assert_eq!(float32("17005001.000000000000130"), Ok(17_005_002.0));
    }
}
