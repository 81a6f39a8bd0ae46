//! Values of any Avro type into columns of any of ours, or the reason why not.

use chrono::{DateTime, NaiveDate, SecondsFormat};

use super::cursor::{Broken, Cursor};
use super::json;
use crate::avro::{Node, NodeId, Schema};
use crate::decode::builder::Column;
use crate::decode::reason::{Wrong, cut, quoted};

/// Why a value can't be in a column.
#[derive(Debug)]
pub(super) enum Fault {
    /// The bytes are not what the schema says.
    Broken(Broken),
    /// The column doesn't take it; what it was.
    Wrong(Wrong, String),
    /// The same in words.
    Unfit(String),
}

impl From<Broken> for Fault {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

/// Reads a value and pushes it onto the column; nothing for a null.
///
/// Numbers go to columns of wider types, and of narrower ones where they fit; text takes all there is: nested values as JSON.
pub(super) fn read(
    schema: &Schema,
    node: NodeId,
    cursor: &mut Cursor<'_>,
    column: &mut Column,
    scratch: &mut Vec<u8>,
) -> Result<(), Fault> {
    match schema.node(node) {
        Node::Union(branches) => {
            let branch = cursor.branch(branches)?;
            read(schema, branch, cursor, column, scratch)
        }
        Node::Null => Ok(()),
        Node::Boolean => {
            let value = cursor.boolean()?;
            column.push_boolean(value).map_err(|wrong| Fault::Wrong(wrong, value.to_string()))
        }
        Node::Int => long(column, cursor.int()?),
        Node::Long => long(column, cursor.long()?),
        Node::Float => {
            let value = cursor.float()?;
            let text = || format!("{value:?}");
            column.push_float(value.into(), text).map_err(|wrong| Fault::Wrong(wrong, text()))
        }
        Node::Double => {
            let value = cursor.double()?;
            let text = || format!("{value:?}");
            column.push_float(value, text).map_err(|wrong| Fault::Wrong(wrong, text()))
        }
        Node::String => {
            let text = cursor.bytes()?;
            let pushed = if column.is_text() {
                column.push_bytes(text)
            } else {
                std::str::from_utf8(text).map_err(|_| Wrong::Encoding).and_then(|text| column.push_text(text))
            };
            pushed.map_err(|wrong| Fault::Wrong(wrong, quoted(&String::from_utf8_lossy(text))))
        }
        Node::Bytes => bytes(column, cursor.bytes()?),
        Node::Fixed(size) => bytes(column, cursor.take(*size)?),
        Node::Enum(symbols) => {
            let symbol = cursor.symbol(symbols)?;
            column.push_text(symbol).map_err(|wrong| Fault::Wrong(wrong, quoted(symbol)))
        }
        Node::Date => {
            let days = cursor.int()?;
            if column.is_text() { text(column, &date(days)?) } else { whole(column, days) }
        }
        Node::Time(per_second) => {
            let time = if *per_second == 1_000 { cursor.int()? } else { cursor.long()? };
            if column.is_text() { text(column, &time_of_day(time, *per_second)?) } else { long(column, time) }
        }
        Node::Timestamp(per_second) => {
            let time = cursor.long()?;
            if column.is_text() {
                text(column, &timestamp(time, *per_second)?)
            } else if column.is_timestamp() {
                match micros(time, *per_second) {
                    Some(micros) => whole(column, micros),
                    None => Err(Fault::Wrong(Wrong::Range, format!("{time}"))),
                }
            } else {
                long(column, time)
            }
        }
        Node::Decimal { size, scale } => {
            let digits = match size {
                Some(size) => cursor.take(*size)?,
                None => cursor.bytes()?,
            };
            let number = decimal(digits, *scale).ok_or_else(too_many_digits)?;
            column.push_number(&number).map_err(|wrong| Fault::Wrong(wrong, number))
        }
        Node::Uuid => {
            let uuid = cursor.take(16)?;
            if column.is_binary() { bytes(column, uuid) } else { text(column, &self::uuid(uuid)) }
        }
        Node::Duration => text(column, &duration(cursor.take(12)?)),
        Node::Record(_) | Node::Array(_) | Node::Map(_) => {
            scratch.clear();
            json::write(schema, node, cursor, scratch)?;
            let found = || cut(&String::from_utf8_lossy(&scratch[..scratch.len().min(1_000)]));
            column.push_bytes(scratch).map_err(|wrong| Fault::Wrong(wrong, found()))
        }
    }
}

#[inline]
fn long(column: &mut Column, value: i64) -> Result<(), Fault> {
    column.push_long(value).map_err(|wrong| Fault::Wrong(wrong, value.to_string()))
}

/// A number that is in the column's own unit.
fn whole(column: &mut Column, value: i64) -> Result<(), Fault> {
    column.push_integer(value).map_err(|wrong| Fault::Wrong(wrong, value.to_string()))
}

fn text(column: &mut Column, value: &str) -> Result<(), Fault> {
    column.push_text(value).map_err(|wrong| Fault::Wrong(wrong, quoted(value)))
}

fn bytes(column: &mut Column, value: &[u8]) -> Result<(), Fault> {
    column.push_bytes(value).map_err(|wrong| Fault::Wrong(wrong, format!("{} bytes", value.len())))
}

/// Since 1970, in microseconds; what is finer is cut off. `None` beyond 64 bits.
fn micros(time: i64, per_second: i64) -> Option<i64> {
    if per_second > 1_000_000 {
        Some(time.div_euclid(per_second / 1_000_000))
    } else {
        time.checked_mul(1_000_000 / per_second)
    }
}

/// ISO-8601 in UTC.
pub(super) fn timestamp(time: i64, per_second: i64) -> Result<String, Fault> {
    let time_of = micros(time, per_second).and_then(DateTime::from_timestamp_micros);
    let time = time_of.ok_or_else(|| Fault::Unfit(format!("a timestamp beyond all calendars, {time}")))?;
    Ok(time.to_rfc3339_opts(SecondsFormat::AutoSi, true))
}

/// ISO-8601.
pub(super) fn date(days: i64) -> Result<String, Fault> {
    let date = i32::try_from(days).ok().and_then(NaiveDate::from_epoch_days);
    date.map(|date| date.to_string()).ok_or_else(|| Fault::Unfit(format!("a date beyond all calendars, {days}")))
}

/// `16:54:00.250`
pub(super) fn time_of_day(time: i64, per_second: i64) -> Result<String, Fault> {
    let nanos = time.rem_euclid(per_second) * (1_000_000_000 / per_second);
    let seconds = u32::try_from(time.div_euclid(per_second)).ok();
    let time_of = seconds.and_then(|s| chrono::NaiveTime::from_num_seconds_from_midnight_opt(s, nanos as u32));
    time_of.map(|time| time.to_string()).ok_or_else(|| Fault::Unfit(format!("no time of a day, {time}")))
}

/// The number in two's complement, most significant byte first, with its point; `None` beyond 38 digits or so.
pub(super) fn decimal(bytes: &[u8], scale: usize) -> Option<String> {
    let negative = bytes.first().is_some_and(|first| first & 0x80 != 0);
    let filler = if negative { 0xff } else { 0 };
    let start = bytes.len().saturating_sub(16);
    if bytes[..start].iter().any(|byte| *byte != filler) {
        return None;
    }
    let mut all = [filler; 16];
    let kept = &bytes[start..];
    all[16 - kept.len()..].copy_from_slice(kept);
    let number = i128::from_be_bytes(all);
    if number.is_negative() != negative {
        return None;
    }
    let digits = format!("{:0>width$}", number.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let (sign, point) = (if negative { "-" } else { "" }, if scale == 0 { "" } else { "." });
    Some(format!("{sign}{whole}{point}{fraction}"))
}

pub(super) fn too_many_digits() -> Fault {
    Fault::Unfit("a decimal of more than 38 digits".to_owned())
}

pub(super) fn uuid(bytes: &[u8]) -> String {
    // The schema says 16 bytes, and so many were taken.
    uuid::Uuid::from_slice(bytes).unwrap_or_default().to_string()
}

/// ISO-8601: `P1M2DT3.004S`
pub(super) fn duration(bytes: &[u8]) -> String {
    let part = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let millis = part(8);
    format!("P{}M{}DT{}.{:03}S", part(0), part(4), millis / 1_000, millis % 1_000)
}
