//! `partition_by`: which columns or parts of timestamps name the directories, and how they are written.
//!
//! The names are Hive's: `name=value`, special characters as `%XX`, null as `__HIVE_DEFAULT_PARTITION__`, so that Athena,
//! BigQuery, DuckDB, pyarrow and Spark read the values back from the path.

use std::cell::Cell;
use std::fmt::Write;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Date32Array, Int32Array, PrimitiveArray};
use arrow::compute::{max, min};
use arrow::datatypes::{
    ArrowNativeTypeOp, ArrowPrimitiveType, Date32Type, Int32Type, Int64Type, TimestampMicrosecondType,
};

use super::error::{EncodeError, listed};
use super::iso;
use crate::batch::{DataType, RecordBatch, Rejection, Schema, type_name};

/// Stands for null, and for empty text, which can't be told from null in a path.
const NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// An escaped value is at most this long: with its key it must stay below the 255 bytes that file systems allow.
const MAX_VALUE_BYTES: usize = 200;

/// An escaped key is at most this long, for the same reason.
const MAX_KEY_BYTES: usize = 50;

/// One level of directories.
#[derive(Debug)]
pub(super) struct Key {
    /// The directory's name before the `=`, as it is.
    name: String,
    /// The same, escaped.
    escaped: String,
    /// Index of the column in the table.
    pub column: usize,
    part: Part,
}

/// What of the column names the directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Value,
    Year,
    Month,
    Day,
    Hour,
    Date,
}

const FUNCTIONS: [(&str, Part); 5] =
    [("year", Part::Year), ("month", Part::Month), ("day", Part::Day), ("hour", Part::Hour), ("date", Part::Date)];

/// Reads `partition_by`. Errors say which entry is wrong and what can stand there.
pub(super) fn parse(entries: &[String], schema: &Schema) -> Result<Vec<Key>, EncodeError> {
    let mut keys: Vec<Key> = Vec::new();
    for entry in entries {
        let key = parse_entry(entry, schema)?;
        check_name(&key)?;
        if keys.iter().any(|other| other.name.eq_ignore_ascii_case(&key.name)) {
            return Err(fault(format!("two entries make directories called `{}=`: leave one out", key.name)));
        }
        keys.push(key);
    }
    let direct = |column: usize| keys.iter().any(|key| key.column == column && key.part == Part::Value);
    for (index, field) in schema.fields().iter().enumerate() {
        let derived = keys.iter().find(|key| key.part != Part::Value && key.name.eq_ignore_ascii_case(field.name()));
        if let (Some(key), false) = (derived, direct(index)) {
            return Err(fault(format!(
                "the directories `{}=` would hide the column `{}` in the files: partition by that column itself, or rename it",
                key.name,
                field.name()
            )));
        }
    }
    if !keys.is_empty() && (0..schema.fields().len()).all(direct) {
        return Err(fault("every column is a partition, so the files would hold none: leave one out"));
    }
    Ok(keys)
}

fn parse_entry(entry: &str, schema: &Schema) -> Result<Key, EncodeError> {
    let entry = entry.trim();
    if let Some((column, field)) = schema.column_with_name(entry) {
        return match type_name(field.data_type()) {
            Some("utf8" | "int32" | "int64" | "boolean" | "date") => Ok(Key::new(entry, column, Part::Value)),
            Some("timestamp") => Err(fault(format!(
                "`{entry}` is a timestamp, and every other row would make a directory: write `date({entry})`, or year, month, day, hour"
            ))),
            found => Err(fault(format!(
                "`{entry}` is {}: a directory can be named by a utf8, int32, int64, boolean or date column",
                found.unwrap_or("of another type")
            ))),
        };
    }
    let function = |name: &str| FUNCTIONS.iter().find(|(function, _)| *function == name);
    if let Some(&(name, part)) = function(entry) {
        let timestamps: Vec<&str> = names(schema, |field_type| field_type == Some("timestamp"));
        let column = match timestamps.as_slice() {
            [column] => column,
            [] => return Err(unknown(entry, schema)),
            several => {
                let choices: Vec<String> = several.iter().map(|column| format!("{name}({column})")).collect();
                let choices = listed(choices.iter().map(String::as_str));
                return Err(fault(format!("`{entry}` could be of several columns: write one of {choices}")));
            }
        };
        return time_part(name, part, column, schema);
    }
    let call = entry.strip_suffix(')').and_then(|entry| entry.split_once('('));
    let Some((name, column)) = call.map(|(name, column)| (name.trim(), column.trim())) else {
        return Err(unknown(entry, schema));
    };
    match function(name) {
        Some(&(name, part)) => time_part(name, part, column, schema),
        None => Err(fault(format!("no function `{name}`: there are {}", listed(FUNCTIONS.map(|(name, _)| name))))),
    }
}

fn time_part(name: &str, part: Part, column: &str, schema: &Schema) -> Result<Key, EncodeError> {
    let Some((index, field)) = schema.column_with_name(column) else {
        return Err(unknown(column, schema));
    };
    match type_name(field.data_type()) {
        Some("timestamp") => Ok(Key::new(name, index, part)),
        Some("date") if part == Part::Hour => {
            Err(fault(format!("`{column}` is a date and has no hour: leave `hour({column})` out")))
        }
        Some("date") => Ok(Key::new(name, index, part)),
        found => Err(fault(format!(
            "`{name}({column})` needs a timestamp or date column, `{column}` is {}",
            found.unwrap_or("of another type")
        ))),
    }
}

/// Names of the columns whose type's name is wanted.
fn names(schema: &Schema, wanted: impl Fn(Option<&str>) -> bool) -> Vec<&str> {
    let fields = schema.fields().iter().filter(|field| wanted(type_name(field.data_type())));
    fields.map(|field| field.name().as_str()).collect()
}

fn unknown(entry: &str, schema: &Schema) -> EncodeError {
    let direct = names(schema, |name| matches!(name, Some("utf8" | "int32" | "int64" | "boolean" | "date")));
    let times = names(schema, |name| matches!(name, Some("timestamp" | "date")));
    let mut choices = match direct.is_empty() {
        true => String::from("no column of the table can name directories by its value"),
        false => format!("there are {}", listed(direct)),
    };
    if !times.is_empty() {
        // Writing to a string doesn't fail.
        let _ = write!(choices, ", and year(), month(), day(), hour(), date() of {}", listed(times));
    }
    fault(format!("no column `{entry}`: {choices}"))
}

fn check_name(key: &Key) -> Result<(), EncodeError> {
    let name = &key.name;
    if name.is_empty() || name.starts_with(['_', '.']) {
        return Err(fault(format!(
            "directories called `{name}=` are hidden from most readers: rename the column, without `_` or `.` in front"
        )));
    }
    if key.escaped.len() > MAX_KEY_BYTES {
        return Err(fault(format!("the column name `{name}` is over {MAX_KEY_BYTES} bytes as a directory: rename it")));
    }
    Ok(())
}

fn fault(message: impl Into<String>) -> EncodeError {
    EncodeError::option("partition_by", message)
}

impl Key {
    fn new(name: &str, column: usize, part: Part) -> Self {
        let mut escaped = String::new();
        escape(name, &mut escaped);
        Self { name: name.to_owned(), escaped, column, part }
    }

    /// Whether the column's own values name the directories, so that the files leave it out.
    pub fn is_direct(&self) -> bool {
        self.part == Part::Value
    }

    /// The type of [`Key::values`].
    pub fn data_type(&self, schema: &Schema) -> DataType {
        match self.part {
            Part::Value => schema.field(self.column).data_type().clone(),
            Part::Date => DataType::Date32,
            Part::Year | Part::Month | Part::Day | Part::Hour => DataType::Int32,
        }
    }

    /// What names the directory of each row: text, number, boolean or date.
    pub fn values(&self, batch: &RecordBatch) -> ArrayRef {
        let column = batch.column(self.column);
        if self.part == Part::Value {
            return column.clone();
        }
        if self.part == Part::Hour {
            let hour = |micros: i64| (micros.rem_euclid(iso::MICROS_PER_DAY) / 3_600_000_000) as i32;
            let hours: Int32Array = column.as_primitive::<TimestampMicrosecondType>().unary(hour);
            return Arc::new(hours);
        }
        let days: Date32Array = match column.as_primitive_opt::<TimestampMicrosecondType>() {
            // No day of a 64-bit count of microseconds is outside 32 bits.
            Some(timestamps) => timestamps.unary(|micros| iso::days(micros) as i32),
            None => column.as_primitive::<Date32Type>().clone(),
        };
        if self.part == Part::Date {
            return Arc::new(days);
        }
        let last = Cell::new((0, iso::civil(0))); // neighbours mostly share their date
        let part: PrimitiveArray<Int32Type> = days.unary(|day| {
            if last.get().0 != day {
                last.set((day, iso::civil(i64::from(day))));
            }
            let (_, (year, month, day)) = last.get();
            match self.part {
                Part::Year => year as i32,
                Part::Month => month as i32,
                _ => day as i32,
            }
        });
        Arc::new(part)
    }

    /// Adds `name=value` for one of the [`Key::values`]. Two values have the same directory only if both are null or
    /// empty.
    pub fn write_directory(&self, values: &ArrayRef, row: usize, out: &mut String) {
        out.push_str(&self.escaped);
        out.push('=');
        if values.is_null(row) {
            out.push_str(NULL);
            return;
        }
        // Writing to a string doesn't fail.
        let _ = match values.data_type() {
            DataType::Utf8 => match values.as_string::<i32>().value(row) {
                "" => out.write_str(NULL),
                // The text that looks like null keeps apart from it.
                NULL => write!(out, "%5F{}", &NULL[1..]),
                text => {
                    escape(text, out);
                    Ok(())
                }
            },
            DataType::Boolean => write!(out, "{}", values.as_boolean().value(row)),
            DataType::Int64 => write!(out, "{}", values.as_primitive::<Int64Type>().value(row)),
            DataType::Int32 => {
                let number = values.as_primitive::<Int32Type>().value(row);
                match self.part {
                    Part::Value => write!(out, "{number}"),
                    Part::Year => write!(out, "{number:04}"),
                    _ => write!(out, "{number:02}"),
                }
            }
            _ => {
                iso::write_date(i64::from(values.as_primitive::<Date32Type>().value(row)), out);
                Ok(())
            }
        };
    }

    /// The first row whose value can't name a directory: escaped text over 200 bytes, a year outside 1 to 9999.
    pub fn check(&self, batch: &RecordBatch) -> Result<(), Rejection> {
        let column = batch.column(self.column);
        let name = batch.schema_ref().field(self.column).name();
        let reject = |row: usize, reason: String| Err(Rejection { row: row as u32, reason });
        if column.data_type() == &DataType::Utf8 {
            let texts = column.as_string::<i32>();
            // No byte becomes more than three: most texts need no closer look.
            let long = |row: &usize| texts.value_length(*row) as usize * 3 > MAX_VALUE_BYTES && !texts.is_null(*row);
            for row in (0..texts.len()).filter(long) {
                let length = escaped_length(texts.value(row));
                if length > MAX_VALUE_BYTES {
                    return reject(
                        row,
                        format!("`{name}` makes a directory name of {length} bytes, at most {MAX_VALUE_BYTES} can be"),
                    );
                }
            }
            return Ok(());
        }
        // By least and greatest first: that is quick, and mostly the end of it.
        let outside = match column.as_primitive_opt::<TimestampMicrosecondType>() {
            Some(_) if self.part == Part::Hour => None,
            Some(micros) => {
                let years = YEARS.start * iso::MICROS_PER_DAY..YEARS.end * iso::MICROS_PER_DAY;
                first_outside(micros, years)
            }
            None => column.as_primitive_opt::<Date32Type>().and_then(|days| first_outside(days, YEARS)),
        };
        match outside {
            Some(row) => reject(row, format!("`{name}` is outside the years 1 to 9999, so it can't name a directory")),
            None => Ok(()),
        }
    }
}

/// 0001-01-01 to 9999-12-31 in days since 1970-01-01.
const YEARS: Range<i64> = -719_162..2_932_897;

/// The first row whose value isn't null and not in the range.
fn first_outside<T: ArrowPrimitiveType>(column: &PrimitiveArray<T>, range: Range<i64>) -> Option<usize>
where
    T::Native: ArrowNativeTypeOp + Into<i64>,
{
    let inside = |value: Option<T::Native>| value.is_none_or(|value| range.contains(&value.into()));
    if inside(min(column)) && inside(max(column)) {
        return None;
    }
    column.iter().position(|value| !inside(value))
}

/// Adds text with every character that Hive escapes as `%XX`: controls and what paths, shells or globs treat specially.
fn escape(text: &str, out: &mut String) {
    let mut rest = text;
    while let Some(position) = rest.bytes().position(is_special) {
        out.push_str(&rest[..position]);
        // Writing to a string doesn't fail.
        let _ = write!(out, "%{:02X}", rest.as_bytes()[position]);
        rest = &rest[position + 1..];
    }
    out.push_str(rest);
}

fn escaped_length(text: &str) -> usize {
    text.len() + 2 * text.bytes().filter(|byte| is_special(*byte)).count()
}

fn is_special(byte: u8) -> bool {
    byte.is_ascii_control() || b"\"#%'*/:=?\\{}[]^".contains(&byte)
}
