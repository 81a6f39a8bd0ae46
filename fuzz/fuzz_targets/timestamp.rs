//! Timestamp columns of any pattern and time zone, and texts that were written by the pattern, changed or not. The oracle is chrono's
//! own reading of the whole pattern.

#![no_main]

use std::fmt::Write;

use chrono::{DateTime, NaiveDateTime};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use rillgate::batch::MemoryMessages;
use rillgate::decode::{ColumnOptions, CsvOptions, DecodeOptions};
use rillgate_fuzz::{Cell, Expected, cell, decode, decoder, oracle};

/// What patterns are made of, those with an offset last.
const PARTS: [&str; 44] = [
    "%Y",
    "%m",
    "%d",
    "%H",
    "%M",
    "%S",
    "%y",
    "%b",
    "%B",
    "%e",
    "%j",
    "%a",
    "%A",
    "%D",
    "%x",
    "%F",
    "%v",
    "%k",
    "%I",
    "%l",
    "%P",
    "%p",
    "%f",
    "%.f",
    "%.3f",
    "%3f",
    "%R",
    "%T",
    "%X",
    "%r",
    "%G-W%V-%u",
    "%C",
    "%U",
    "%n",
    "%t",
    "%%",
    "-",
    "/",
    ":",
    " ",
    "%s",
    "%z",
    "%:z",
    "%+",
];
const WITHOUT_OFFSET: usize = 40;
/// Patterns that the decoder reads by a way of its own.
const WHOLE: [&str; 6] = ["%Y-%m-%d %H:%M:%S", "%F %T", "%Y-%m-%d %T", "%Y-%m-%dT%H:%M:%S", "%FT%T", "%d.%m.%Y %H:%M"];
const NAMED: [&str; 7] = ["iso8601", "epoch_s", "epoch_ms", "epoch_us", "%Y", "", "%"];
const ZONES: [&str; 6] = ["Europe/Paris", "America/New_York", "+02:00", "-0930", "Pacific/Apia", "UTC"];

#[derive(Debug, Arbitrary)]
enum Pattern {
    Whole(u8),
    Named(u8),
    Parts(Vec<u8>),
    Any(String),
}

#[derive(Debug, Arbitrary)]
enum Text {
    /// A time, as the pattern writes it.
    Written(i64),
    /// The same with a byte of it changed.
    Changed(i64, u8, u8),
    Any(String),
}

#[derive(Debug, Arbitrary)]
struct Input {
    pattern: Pattern,
    zone: Option<Result<u8, String>>,
    texts: Vec<Text>,
}

fuzz_target!(|input: Input| {
    let pick = |from: &[&str], at: u8| from[usize::from(at) % from.len()].to_owned();
    let pattern = match &input.pattern {
        Pattern::Whole(at) => pick(&WHOLE, *at),
        Pattern::Named(at) => pick(&NAMED, *at),
        Pattern::Parts(parts) => parts.iter().take(16).map(|at| pick(&PARTS, *at)).collect(),
        Pattern::Any(text) => text.clone(),
    };
    let zone = input.zone.as_ref().map(|zone| match zone {
        Ok(at) => pick(&ZONES, *at),
        Err(name) => name.clone(),
    });
    let mut column = ColumnOptions::new("timestamp");
    (column.format, column.timezone) = (Some(pattern.clone()), zone.clone());
    // A field is quoted whatever is in it, and never empty.
    let options = DecodeOptions::Csv(CsvOptions::default());
    let Ok(mut decoder) = decoder(&options, &[("t", column)]) else { return };
    let texts: Vec<String> = input.texts.iter().take(8).filter_map(|text| written(&pattern, text)).collect();
    let texts: Vec<String> = texts.into_iter().filter(|text| !text.is_empty()).collect();
    let values = texts.iter().map(|text| format!("\"{}\"", text.replace('"', "\"\"")));
    let messages = MemoryMessages::from_values("topic", values);
    let decoded = decode(&mut decoder, &messages);
    let has_offset = PARTS[WITHOUT_OFFSET..].iter().any(|part| pattern.contains(part)) || pattern.contains("%c");
    let known = matches!(input.pattern, Pattern::Whole(_) | Pattern::Parts(_)) && zone.is_none() && !has_offset;
    for (index, text) in texts.iter().enumerate() {
        let row = decoded.rows.origin.iter().position(|origin| *origin as usize == index);
        let found = row.map(|row| cell(&decoded.rows.batch, row, 0));
        if let Some(Cell::Integer(micros)) = found {
            assert_ne!(oracle::in_range(micros), Expected::Rejected, "{micros} of {text:?} by {pattern:?}");
        }
        // What the pattern says without a doubt. Dates alone are midnight, which chrono leaves to its caller.
        if let (true, Ok(time)) = (known, NaiveDateTime::parse_from_str(text, &pattern)) {
            let expected = match oracle::in_range(time.and_utc().timestamp_micros()) {
                Expected::Cell(cell) => Some(cell),
                _ => None,
            };
            assert_eq!(found, expected, "{text:?} by {pattern:?}");
        }
    }
});

/// The text, if the pattern can be written.
fn written(pattern: &str, text: &Text) -> Option<String> {
    let at = |micros: i64| {
        // The years 0000 to 9999, and some beyond on both sides.
        let time = DateTime::from_timestamp_micros(micros % 400_000_000_000_000_000)?.naive_utc();
        let mut text = String::new();
        write!(text, "{}", time.and_utc().fixed_offset().format(pattern)).ok()?;
        Some(text)
    };
    match text {
        Text::Written(micros) => at(*micros),
        Text::Changed(micros, place, byte) => {
            let mut bytes = at(*micros)?.into_bytes();
            let place = usize::from(*place) % bytes.len().max(1);
            *bytes.get_mut(place)? = *byte;
            String::from_utf8(bytes).ok()
        }
        Text::Any(text) => Some(text.clone()),
    }
}
