//! One JSON object per message, straight into columns: no document in between, nothing allocated per record.
//!
//! sonic-rs finds strings, numbers and white space. The walk is ours, because its own skipping recurses without bound and
//! lets broken `\u` escapes pass.

use sonic_rs::Read;
use sonic_rs::parser::Parser;

use super::builder::Column;
use super::fields::{self, Fields};
use super::reason::{cut, not_utf8};

/// How deep arrays and objects may nest, the record itself included. Bounds the stack.
const MAX_DEPTH: usize = 128;
/// Room kept between messages for unescaping strings.
const MAX_SCRATCH: usize = 1 << 20;

/// Reads JSON objects into columns.
#[derive(Debug)]
pub(super) struct Json {
    fields: Fields,
    /// Strings with escapes are unescaped here.
    scratch: Vec<u8>,
}

impl Json {
    /// Reads these fields, each into the column of this index.
    pub fn new<'a>(fields: impl IntoIterator<Item = (&'a str, usize)>) -> Self {
        Self { fields: Fields::new(fields), scratch: Vec::new() }
    }

    /// Pushes the fields of one object onto their columns, as row `row`. On failure, columns may be left with a value too many.
    pub fn decode(&mut self, value: &[u8], columns: &mut [Column], row: usize) -> Result<(), String> {
        let text = simdutf8::basic::from_utf8(value).map_err(|_| not_utf8(value))?;
        if self.scratch.capacity() > MAX_SCRATCH {
            self.scratch = Vec::new();
        }
        let mut walk = Walk { text, parser: Parser::new(Read::from(text)), scratch: &mut self.scratch };
        walk.record(&mut self.fields, columns, row)
    }
}

/// A walk through one message.
struct Walk<'a, 's> {
    text: &'a str,
    parser: Parser<Read<'a>>,
    scratch: &'s mut Vec<u8>,
}

impl Walk<'_, '_> {
    fn record(&mut self, fields: &mut Fields, columns: &mut [Column], row: usize) -> Result<(), String> {
        match self.parser.skip_space() {
            Some(b'{') => {}
            first => return Err(self.no_object(first)),
        }
        let mut next = self.parser.skip_space();
        let mut field = fields::START;
        if next != Some(b'}') {
            loop {
                if next != Some(b'"') {
                    return Err(self.expected("a field's name in quotes", next));
                }
                let name = self.parser.parse_str(self.scratch).map_err(not_json)?;
                field = fields.find(field, &name);
                self.colon()?;
                match fields.column(field) {
                    Some(column) => self.value(&mut columns[column], row)?,
                    None => {
                        let first = self.parser.skip_space();
                        self.skip(first, 1)?;
                    }
                }
                match self.parser.skip_space() {
                    Some(b',') => next = self.parser.skip_space(),
                    Some(b'}') => break,
                    other => return Err(self.expected("`,` or `}`", other)),
                }
            }
        }
        match self.parser.skip_space() {
            None => Ok(()),
            other => Err(self.expected("nothing after the object", other)),
        }
    }

    /// Reads a value into its column. Of a field given twice, the last one counts.
    #[inline]
    fn value(&mut self, column: &mut Column, row: usize) -> Result<(), String> {
        let first = self.parser.skip_space();
        let start = self.parser.offset() - 1;
        column.truncate(row);
        let pushed = match first {
            Some(b'"') => {
                let text = self.parser.parse_str(self.scratch).map_err(not_json)?;
                column.push_text(&text)
            }
            Some(sign @ (b'-' | b'0'..=b'9')) => {
                let number = self.parser.skip_number(sign).map_err(not_json)?;
                column.push_number(number)
            }
            Some(letter @ (b't' | b'f')) => {
                self.literal(letter)?;
                column.push_boolean(letter == b't')
            }
            Some(b'n') => return self.literal(b'n'),
            _ => {
                self.skip(first, 1)?;
                column.push_nested(&self.text[start..self.parser.offset()])
            }
        };
        pushed.map_err(|wrong| column.reason(wrong, &cut(&self.text[start..self.parser.offset()])))
    }

    /// Passes over a value that begins with `first`, already read, and lies within `depth` arrays and objects.
    fn skip(&mut self, first: Option<u8>, depth: usize) -> Result<(), String> {
        match first {
            Some(b'"') => self.parser.parse_str(self.scratch).map(|_| ()).map_err(not_json),
            Some(sign @ (b'-' | b'0'..=b'9')) => self.parser.skip_number(sign).map(|_| ()).map_err(not_json),
            Some(letter @ (b't' | b'f' | b'n')) => self.literal(letter),
            Some(b'[' | b'{') if depth == MAX_DEPTH => Err(format!("nested deeper than {MAX_DEPTH} levels")),
            Some(b'[') => self.skip_array(depth + 1),
            Some(b'{') => self.skip_object(depth + 1),
            _ => Err(self.expected("a value", first)),
        }
    }

    fn skip_array(&mut self, depth: usize) -> Result<(), String> {
        let mut next = self.parser.skip_space();
        if next == Some(b']') {
            return Ok(());
        }
        loop {
            self.skip(next, depth)?;
            match self.parser.skip_space() {
                Some(b',') => next = self.parser.skip_space(),
                Some(b']') => return Ok(()),
                other => return Err(self.expected("`,` or `]`", other)),
            }
        }
    }

    fn skip_object(&mut self, depth: usize) -> Result<(), String> {
        let mut next = self.parser.skip_space();
        if next == Some(b'}') {
            return Ok(());
        }
        loop {
            if next != Some(b'"') {
                return Err(self.expected("a field's name in quotes", next));
            }
            self.skip(next, depth)?;
            self.colon()?;
            next = self.parser.skip_space();
            self.skip(next, depth)?;
            match self.parser.skip_space() {
                Some(b',') => next = self.parser.skip_space(),
                Some(b'}') => return Ok(()),
                other => return Err(self.expected("`,` or `}`", other)),
            }
        }
    }

    #[inline]
    fn colon(&mut self) -> Result<(), String> {
        match self.parser.skip_space() {
            Some(b':') => Ok(()),
            other => Err(self.expected("`:`", other)),
        }
    }

    /// `true`, `false` or `null`, of which the first letter has been read.
    fn literal(&mut self, first: u8) -> Result<(), String> {
        let rest = match first {
            b't' => "rue",
            b'f' => "alse",
            _ => "ull",
        };
        self.parser.parse_literal(rest).map_err(not_json)
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
                let at = self.parser.offset() - 1;
                let rest = self.text.get(at..).unwrap_or_default();
                format!("not JSON: expected {what} at byte {at}, found {}", cut(rest))
            }
        }
    }
}

/// The reason for what sonic-rs can't read. Its messages go on for several lines, which show the place.
#[cold]
fn not_json(error: sonic_rs::Error) -> String {
    format!("not JSON: {}", cut(error.to_string().lines().next().unwrap_or_default()))
}
