//! One JSON object per message, straight into columns: no document in between, nothing allocated per record.

use super::builder::Column;
use super::fields::{self, Fields};
use super::reason::{cut, not_utf8};
use super::scan::Scanner;

/// How deep arrays and objects may nest, the record itself included. Bounds the stack.
const MAX_DEPTH: usize = 128;
/// Room kept between messages for unescaping strings.
const MAX_SCRATCH: usize = 1 << 20;

/// Reads JSON objects into columns.
#[derive(Debug)]
pub(super) struct Json {
    fields: Fields,
    /// Strings with escapes are unescaped here.
    scratch: String,
}

impl Json {
    /// Reads these fields, each into the column of this index.
    pub fn new<'a>(fields: impl IntoIterator<Item = (&'a str, usize)>) -> Self {
        Self { fields: Fields::new(fields), scratch: String::new() }
    }

    /// Pushes the fields of one object onto their columns, as row `row`. On failure, columns may be left with a value too many.
    pub fn decode(&mut self, value: &[u8], columns: &mut [Column], row: usize) -> Result<(), String> {
        let text = simdutf8::basic::from_utf8(value).map_err(|_| not_utf8(value))?;
        if self.scratch.capacity() > MAX_SCRATCH {
            self.scratch = String::new();
        }
        let mut walk = Walk { text, scanner: Scanner::new(text), scratch: &mut self.scratch };
        walk.record(&mut self.fields, columns, row)
    }
}

/// A walk through one message.
struct Walk<'a, 's> {
    text: &'a str,
    scanner: Scanner<'a>,
    scratch: &'s mut String,
}

impl Walk<'_, '_> {
    fn record(&mut self, fields: &mut Fields, columns: &mut [Column], row: usize) -> Result<(), String> {
        match self.scanner.next() {
            Some(b'{') => {}
            first => return Err(self.no_object(first)),
        }
        let mut next = self.scanner.next();
        let mut field = fields::START;
        if next != Some(b'}') {
            loop {
                if next != Some(b'"') {
                    return Err(self.expected("a field's name in quotes", next));
                }
                field = match fields.guess(field) {
                    Some((guess, rest)) if self.scanner.accept(rest) => guess,
                    _ => fields.look_up(field, self.scanner.string(self.scratch)?),
                };
                self.colon()?;
                match fields.column(field) {
                    Some(column) => self.value(&mut columns[column], row)?,
                    None => {
                        let first = self.scanner.next();
                        self.skip(first, 1)?;
                    }
                }
                match self.scanner.next() {
                    Some(b',') => next = self.scanner.next(),
                    Some(b'}') => break,
                    other => return Err(self.expected("`,` or `}`", other)),
                }
            }
        }
        match self.scanner.next() {
            None => Ok(()),
            other => Err(self.expected("nothing after the object", other)),
        }
    }

    /// Reads a value into its column. Of a field given twice, the last one counts.
    #[inline]
    fn value(&mut self, column: &mut Column, row: usize) -> Result<(), String> {
        let first = self.scanner.next();
        let start = self.scanner.at() - 1;
        column.truncate(row);
        let pushed = match first {
            Some(b'"') => column.push_text(self.scanner.string(self.scratch)?),
            Some(first @ (b'-' | b'0'..=b'9')) => {
                match column.is_float64().then(|| self.scanner.short_decimal(first)).flatten() {
                    Some(value) => column.push_float64(value),
                    None => column.push_number(self.scanner.number(first)?),
                }
            }
            Some(letter @ (b't' | b'f')) => {
                self.scanner.literal(letter)?;
                column.push_boolean(letter == b't')
            }
            Some(b'n') => return self.scanner.literal(b'n'),
            _ => {
                self.skip(first, 1)?;
                column.push_nested(self.scanner.since(start))
            }
        };
        pushed.map_err(|wrong| column.reason(wrong, &cut(self.scanner.since(start))))
    }

    /// Passes over a value that begins with `first`, already read, and lies within `depth` arrays and objects.
    fn skip(&mut self, first: Option<u8>, depth: usize) -> Result<(), String> {
        match first {
            Some(b'"') => self.scanner.string(self.scratch).map(drop),
            Some(first @ (b'-' | b'0'..=b'9')) => self.scanner.number(first).map(drop),
            Some(letter @ (b't' | b'f' | b'n')) => self.scanner.literal(letter),
            Some(b'[' | b'{') if depth == MAX_DEPTH => Err(format!("nested deeper than {MAX_DEPTH} levels")),
            Some(b'[') => self.skip_array(depth + 1),
            Some(b'{') => self.skip_object(depth + 1),
            _ => Err(self.expected("a value", first)),
        }
    }

    fn skip_array(&mut self, depth: usize) -> Result<(), String> {
        let mut next = self.scanner.next();
        if next == Some(b']') {
            return Ok(());
        }
        loop {
            self.skip(next, depth)?;
            match self.scanner.next() {
                Some(b',') => next = self.scanner.next(),
                Some(b']') => return Ok(()),
                other => return Err(self.expected("`,` or `]`", other)),
            }
        }
    }

    fn skip_object(&mut self, depth: usize) -> Result<(), String> {
        let mut next = self.scanner.next();
        if next == Some(b'}') {
            return Ok(());
        }
        loop {
            if next != Some(b'"') {
                return Err(self.expected("a field's name in quotes", next));
            }
            self.skip(next, depth)?;
            self.colon()?;
            next = self.scanner.next();
            self.skip(next, depth)?;
            match self.scanner.next() {
                Some(b',') => next = self.scanner.next(),
                Some(b'}') => return Ok(()),
                other => return Err(self.expected("`,` or `}`", other)),
            }
        }
    }

    #[inline]
    fn colon(&mut self) -> Result<(), String> {
        match self.scanner.next() {
            Some(b':') => Ok(()),
            other => Err(self.expected("`:`", other)),
        }
    }

    /// The reason for a message that is something else than an object.
    #[cold]
    fn no_object(&self, first: Option<u8>) -> String {
        let found = match first {
            Some(b'[') => "an array",
            Some(b'"') => "a string",
            Some(b'-' | b'0'..=b'9') => "a number",
            Some(b't' | b'f') => "a boolean",
            Some(b'n') => "null",
            Some(_) => "no JSON",
            None => return "expected a JSON object, found white space".to_owned(),
        };
        format!("expected a JSON object, found {found}: {}", cut(self.text))
    }

    /// The reason for a byte that can't stand where it does.
    #[cold]
    fn expected(&self, what: &str, found: Option<u8>) -> String {
        match found {
            None => format!("not JSON: expected {what}, found the end"),
            Some(_) => {
                let at = self.scanner.at() - 1;
                let rest = self.text.get(at..).unwrap_or_default();
                format!("not JSON: expected {what} at byte {at}, found {}", cut(rest))
            }
        }
    }
}
