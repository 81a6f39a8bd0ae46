//! One CSV record per message, without a header: the columns are its fields, in order.

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

use super::DecodeError;
use super::builder::Column;
use super::options::CsvOptions;
use super::reason::{not_utf8, quoted};

/// Room kept between messages for fields without their quotes.
const MAX_OUTPUT: usize = 1 << 20;

/// Reads CSV records into columns.
#[derive(Debug)]
pub(super) struct Csv {
    delimiter: u8,
    quote: u8,
    empty_as_null: bool,
    null: Option<String>,
    /// `columns[n]` is the column that field `n` goes to.
    columns: Vec<usize>,
    reader: Reader,
    /// Fields without their quotes, end to end, and where each ends.
    output: Vec<u8>,
    ends: Vec<usize>,
}

impl Csv {
    /// Reads as many fields as there are columns here, each into the column of this index.
    pub fn new(options: &CsvOptions, columns: Vec<usize>) -> Result<Self, DecodeError> {
        let delimiter = ascii("delimiter", options.delimiter)?;
        let quote = ascii("quote", options.quote)?;
        if delimiter == quote {
            let problem = format!("`{}` can't be both the delimiter and the quote", options.quote);
            return Err(DecodeError { column: None, key: Some("quote"), problem });
        }
        Ok(Self {
            delimiter,
            quote,
            empty_as_null: options.empty_as_null,
            null: options.null.clone(),
            ends: vec![0; columns.len() + 1],
            columns,
            reader: ReaderBuilder::new().delimiter(delimiter).quote(quote).build(),
            output: Vec::new(),
        })
    }

    /// Pushes the fields of one record onto their columns. On failure, columns may be left with a value too many.
    pub fn decode(&mut self, value: &[u8], columns: &mut [Column]) -> Result<(), String> {
        let text = simdutf8::basic::from_utf8(value).map_err(|_| not_utf8(value))?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let line = text.strip_suffix('\n').map_or(text, |line| line.strip_suffix('\r').unwrap_or(line));
        // One pass without a branch, which the compiler makes into SIMD.
        let (mut delimiters, mut special) = (0, false);
        for byte in line.bytes() {
            delimiters += usize::from(byte == self.delimiter);
            special |= byte == self.quote || byte == b'\n' || byte == b'\r';
        }
        if special || line.is_empty() {
            return self.decode_quoted(text, columns);
        }
        self.expect_fields(delimiters + 1)?;
        for (field, &column) in line.split(char::from(self.delimiter)).zip(&self.columns) {
            self.push(field, &mut columns[column])?;
        }
        Ok(())
    }

    /// The same for a message with quotes or line breaks, by a real parser.
    fn decode_quoted(&mut self, text: &str, columns: &mut [Column]) -> Result<(), String> {
        if self.output.len() > MAX_OUTPUT {
            self.output = Vec::new();
        }
        // Fields never get longer by losing their quotes; the byte more keeps the parser from stopping at the very end.
        if self.output.len() <= text.len() {
            self.output.resize(text.len() + 1, 0);
        }
        self.reader.reset();
        let mut input = text.as_bytes();
        let (mut written, mut ended, mut fields) = (0, 0, 0);
        loop {
            let (result, read, more, ends) =
                self.reader.read_record(input, &mut self.output[written..], &mut self.ends[ended..]);
            input = &input[read..];
            written += more;
            ended += ends;
            fields += ends;
            match result {
                // No more input is how the parser is told of the end.
                ReadRecordResult::InputEmpty | ReadRecordResult::OutputFull => {}
                // Too many fields: they are just counted.
                ReadRecordResult::OutputEndsFull => ended = 0,
                ReadRecordResult::Record | ReadRecordResult::End => break,
            }
        }
        if input.iter().any(|byte| !matches!(byte, b'\n' | b'\r')) {
            return Err("several lines in one message; expected one CSV record".to_owned());
        }
        self.expect_fields(fields)?;
        let output =
            simdutf8::basic::from_utf8(&self.output[..written]).map_err(|_| not_utf8(&self.output[..written]))?;
        let mut start = 0;
        for (&end, &column) in self.ends.iter().zip(&self.columns) {
            self.push(&output[start..end], &mut columns[column])?;
            start = end;
        }
        Ok(())
    }

    #[inline]
    fn expect_fields(&self, found: usize) -> Result<(), String> {
        if found == self.columns.len() {
            return Ok(());
        }
        let s = if self.columns.len() == 1 { "" } else { "s" };
        Err(format!("expected {} field{s}, found {found}", self.columns.len()))
    }

    /// Pushes a field, or nothing if it stands for null.
    #[inline]
    fn push(&self, field: &str, column: &mut Column) -> Result<(), String> {
        let empty_is_null = self.empty_as_null || !column.is_text();
        if (field.is_empty() && empty_is_null) || self.null.as_deref() == Some(field) {
            return Ok(());
        }
        column.push_field(field).map_err(|wrong| column.reason(wrong, &quoted(field)))
    }
}

fn ascii(key: &'static str, c: char) -> Result<u8, DecodeError> {
    match u8::try_from(c) {
        Ok(byte) if byte.is_ascii() && !matches!(byte, b'\n' | b'\r' | 0) => Ok(byte),
        _ => {
            let problem =
                format!("`{}` can't be the {key}; write one ASCII character such as `,` or `\\t`", c.escape_debug());
            Err(DecodeError { column: None, key: Some(key), problem })
        }
    }
}
