//! One CSV record per message, without a header: the columns are its fields, in order.

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use memchr::memchr3;

use super::DecodeError;
use super::builder::Column;
use super::marks::{find_all, is_plain};
use super::options::CsvOptions;
use super::reason::{not_utf8, quoted};

/// Room kept between messages for fields without their quotes.
const MAX_OUTPUT: usize = 1 << 20;
/// What some programs begin a file in UTF-8 with.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

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
    /// Fields without their quotes, end to end.
    output: Vec<u8>,
    /// Where each field ends, and room for one more.
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
        let line = value.strip_prefix(BYTE_ORDER_MARK).unwrap_or(value);
        let line = line.strip_suffix(b"\n").map_or(line, |line| line.strip_suffix(b"\r").unwrap_or(line));
        if line.is_empty() || !is_plain(line, self.quote) {
            let text = simdutf8::basic::from_utf8(value).map_err(|_| not_utf8(value))?;
            if line.is_empty() || memchr3(self.quote, b'\n', b'\r', line).is_some() {
                return self.decode_quoted(text.strip_prefix('\u{feff}').unwrap_or(text), columns);
            }
        }
        // SAFETY: it is ASCII, or it begins and ends between two characters of what was found to be UTF-8.
        let line = unsafe { std::str::from_utf8_unchecked(line) };
        let delimiters = find_all(line.as_bytes(), self.delimiter, &mut self.ends);
        self.expect_fields(delimiters + 1)?;
        self.ends[delimiters] = line.len();
        let mut start = 0;
        for (&end, &column) in self.ends.iter().zip(&self.columns) {
            self.push(&line[start..end], &mut columns[column])?;
            start = end + 1;
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
        let is_null = || field.is_empty() && (self.empty_as_null || !column.is_text());
        if is_null() || self.null.as_deref() == Some(field) {
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

#[cfg(test)]
mod tests {
    use super::super::tests::helpers::{check, decoder, error, one};
    use super::super::{CsvOptions, DecodeOptions};

    fn csv() -> DecodeOptions {
        DecodeOptions::Csv(CsvOptions::default())
    }

    #[test]
    fn fields_go_to_columns_in_order() {
        check(
            &csv(),
            "a = 'utf8', _partition = 'int32', b = 'int64', c = 'utf8'",
            &[
                ("x,1,y", Ok(r#"{"a":"x","_partition":0,"b":1,"c":"y"}"#)),
                ("x,1,y\n", Ok(r#"{"a":"x","_partition":0,"b":1,"c":"y"}"#)),
                ("x,1,y\r\n", Ok(r#"{"a":"x","_partition":0,"b":1,"c":"y"}"#)),
                ("\u{feff}x,1,é", Ok(r#"{"a":"x","_partition":0,"b":1,"c":"é"}"#)),
                ("é駅,1,é\r\n", Ok(r#"{"a":"é駅","_partition":0,"b":1,"c":"é"}"#)),
                ("é,1,\"é,\"", Ok(r#"{"a":"é","_partition":0,"b":1,"c":"é,"}"#)),
                ("\u{feff}", Err("expected 3 fields, found 0")),
                (",,", Ok(r#"{"a":"","_partition":0,"b":null,"c":""}"#)),
                (r#""x,""y""","1",z"#, Ok(r#"{"a":"x,\"y\"","_partition":0,"b":1,"c":"z"}"#)),
                (r#"x" y,1,"""#, Ok(r#"{"a":"x\" y","_partition":0,"b":1,"c":""}"#)),
                ("\"x\ny\",1,\"\"\n", Ok(r#"{"a":"x\ny","_partition":0,"b":1,"c":""}"#)),
                (r#""",",y"#, Err("expected 3 fields, found 2")),
                ("x,1", Err("expected 3 fields, found 2")),
                ("x,1,y,", Err("expected 3 fields, found 4")),
                (r#""x",1,y,,,,,,,z"#, Err("expected 3 fields, found 10")),
                ("\n", Err("expected 3 fields, found 0")),
                ("\"\"", Err("expected 3 fields, found 1")),
                ("x,1,y\nx,2,y", Err("several lines in one message; expected one CSV record")),
                ("x,1\nx,2,y", Err("several lines in one message; expected one CSV record")),
                ("x,z,y", Err(r#"column b: expected int64, found "z""#)),
                ("x,1\u{1b},y", Err(r#"column b: expected int64, found "1\u{1b}""#)),
            ],
        );
        check(&csv(), "a = 'int64'", &[("x,y", Err("expected 1 field, found 2")), ("5", Ok(r#"{"a":5}"#))]);
        let mut decoder = decoder(&csv(), "a = 'utf8'");
        assert_eq!(one(&mut decoder, b"\xc3("), Err("not UTF-8: byte 0xc3 at 0".to_owned()));
        assert_eq!(one(&mut decoder, b"\xef\xbb\xbfa\xc3"), Err("not UTF-8: byte 0xc3 at 4".to_owned()));
        assert_eq!(one(&mut decoder, b"\"\xff\""), Err("not UTF-8: byte 0xff at 1".to_owned()));
    }

    #[test]
    fn types_from_text() {
        check(
            &csv(),
            "i = 'int32', d = 'float64', b = 'boolean', day = 'date', t = { type = 'timestamp', format = '%Y-%m-%d %H:%M:%S' }",
            &[
                (
                    "-3,1.5e3,true,2024-02-29,2023-09-23 16:54:00",
                    Ok(r#"{"i":-3,"d":1500.0,"b":true,"day":"2024-02-29","t":"2023-09-23T16:54:00Z"}"#),
                ),
                ("3.0,2,False,1,", Ok(r#"{"i":3,"d":2.0,"b":false,"day":"1970-01-02","t":null}"#)),
                (",,,,", Ok(r#"{"i":null,"d":null,"b":null,"day":null,"t":null}"#)),
                (" 3,,,,", Err(r#"column i: expected int32, found " 3""#)),
                (",NaN,,,", Err(r#"column d: expected float64, found "NaN""#)),
                (",,yes,,", Err(r#"column b: expected boolean, found "yes""#)),
                (",,,,2023-09-23", Err(r#"column t: expected timestamp (%Y-%m-%d %H:%M:%S), found "2023-09-23""#)),
            ],
        );
    }

    #[test]
    fn another_way_of_writing_it() {
        let options = DecodeOptions::Csv(CsvOptions { delimiter: '\t', quote: '\'', ..CsvOptions::default() });
        check(&options, "a = 'utf8', b = 'utf8'", &[("'x\ty'\t\"z\"", Ok(r#"{"a":"x\ty","b":"\"z\""}"#))]);
    }

    #[test]
    fn what_stands_for_null() {
        let options =
            DecodeOptions::Csv(CsvOptions { empty_as_null: true, null: Some("NA".into()), ..CsvOptions::default() });
        let null = Err("column b: missing or null, which `nullable = false` forbids");
        check(
            &options,
            "a = 'utf8', b = { type = 'utf8', nullable = false }, c = 'float64'",
            &[
                ("x,y,NA", Ok(r#"{"a":"x","b":"y","c":null}"#)),
                ("NA,na,1", Ok(r#"{"a":null,"b":"na","c":1.0}"#)),
                (",,1", null),
            ],
        );
    }

    #[test]
    fn options_that_cannot_be() {
        for (delimiter, quote, key, words) in [
            ('é', '"', "delimiter", "`é` can't be the delimiter; write one ASCII character"),
            (',', '\n', "quote", r"`\n` can't be the quote"),
            ('"', '"', "quote", "can't be both"),
        ] {
            let options = DecodeOptions::Csv(CsvOptions { delimiter, quote, ..CsvOptions::default() });
            let error = error(&options, "a = 'utf8'");
            assert_eq!((error.column, error.key), (None, Some(key)));
            assert!(error.problem.contains(words), "{}", error.problem);
        }
    }
}
