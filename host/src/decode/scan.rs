//! The smallest pieces of JSON text: strings, numbers, literals and what stands between them.
//!
//! Our own, because a pull parser is what columns want and none of the libraries offers one that is fast without
//! link-time optimisation, checks what it skips, and has no recursion of its own.

/// Digits that a 64-bit float holds exactly, whatever they are.
const MAX_DIGITS: usize = 15;

/// The powers of ten that divide them.
const POWERS_OF_TEN: [f64; MAX_DIGITS + 1] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

/// A place in a JSON text.
#[derive(Debug)]
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    pub fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// How many bytes have been read.
    #[inline]
    pub fn at(&self) -> usize {
        self.at
    }

    /// What has been read since `start`, which is where a value or its first byte was.
    #[inline]
    pub fn since(&self, start: usize) -> &'a str {
        &self.text[start..self.at]
    }

    /// Reads the next byte that is not white space; `None` at the end.
    #[inline(always)]
    pub fn next(&mut self) -> Option<u8> {
        while let Some(&byte) = self.text.as_bytes().get(self.at) {
            self.at += 1;
            if byte > b' ' || !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(byte);
            }
        }
        None
    }

    /// Reads exactly these bytes, or nothing.
    #[inline(always)]
    pub fn accept(&mut self, bytes: &[u8]) -> bool {
        let found = begins_with(&self.text.as_bytes()[self.at..], bytes);
        if found {
            self.at += bytes.len();
        }
        found
    }

    /// Reads a string whose opening quote has been read, unescaping into `scratch` where it must.
    #[inline]
    pub fn string<'b>(&mut self, scratch: &'b mut String) -> Result<&'b str, String>
    where
        'a: 'b,
    {
        let start = self.at;
        self.at = self.plain_end();
        if self.text.as_bytes().get(self.at) == Some(&b'"') {
            self.at += 1;
            return Ok(&self.text[start..self.at - 1]);
        }
        self.unescape(start, scratch)?;
        Ok(scratch)
    }

    /// Goes on with a string from `start` that has read up to an escape, or something that has no place in a string.
    #[cold]
    fn unescape(&mut self, start: usize, scratch: &mut String) -> Result<(), String> {
        scratch.clear();
        scratch.push_str(self.since(start));
        loop {
            let byte = self.text.as_bytes().get(self.at).copied();
            self.at += usize::from(byte.is_some());
            match byte {
                Some(b'"') => return Ok(()),
                Some(b'\\') => scratch.push(self.escape()?),
                None => return Err(self.error("a string without an end")),
                Some(_) => return Err(self.error("a control character in a string")),
            }
            let start = self.at;
            self.at = self.plain_end();
            scratch.push_str(self.since(start));
        }
    }

    /// Reads what follows a backslash.
    fn escape(&mut self) -> Result<char, String> {
        let byte = self.text.as_bytes().get(self.at).copied();
        self.at += usize::from(byte.is_some_and(|byte| byte.is_ascii()));
        Ok(match byte {
            Some(quoted @ (b'"' | b'\\' | b'/')) => char::from(quoted),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let unit = self.hex()?;
                let code = match unit {
                    0xd800..=0xdbff if self.accept(b"\\u") => match self.hex()? {
                        low @ 0xdc00..=0xdfff => 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00),
                        _ => unit,
                    },
                    _ => unit,
                };
                // What is no character is half of a pair of surrogates.
                char::from_u32(code).ok_or_else(|| self.error("half a surrogate pair in a string"))?
            }
            _ => return Err(self.error("an unknown escape in a string")),
        })
    }

    /// Reads four hexadecimal digits.
    fn hex(&mut self) -> Result<u32, String> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4).unwrap_or_default();
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(self.error("`\\u` without four hexadecimal digits in a string"));
        }
        self.at += 4;
        Ok(digits.iter().fold(0, |code, digit| code * 16 + char::from(*digit).to_digit(16).unwrap_or_default()))
    }

    /// Where the next quote, backslash or control character stands, or the text ends.
    #[inline(always)]
    fn plain_end(&self) -> usize {
        let bytes = self.text.as_bytes();
        let mut at = self.at;
        while let Some(eight) = bytes[at..].first_chunk() {
            let special = special_bytes(u64::from_le_bytes(*eight));
            if special != 0 {
                return at + special.trailing_zeros() as usize / 8;
            }
            at += 8;
        }
        while at < bytes.len() && !matches!(bytes[at], b'"' | b'\\' | ..b' ') {
            at += 1;
        }
        at
    }

    /// Reads a number whose first byte, a digit or a minus sign, has been read. Returns it as it is written.
    #[inline]
    pub fn number(&mut self, first: u8) -> Result<&'a str, String> {
        let start = self.at - 1;
        let mut leading = first;
        if first == b'-' {
            leading = self.peek();
            self.at += usize::from(leading.is_ascii_digit());
        }
        let well_formed = match leading {
            b'0' => !self.peek().is_ascii_digit(),
            b'1'..=b'9' => {
                self.digits();
                true
            }
            _ => false,
        };
        let well_formed =
            well_formed && (self.peek() != b'.' || self.fraction()) && (self.peek() | 0x20 != b'e' || self.exponent());
        if well_formed { Ok(self.since(start)) } else { Err(self.error("a malformed number")) }
    }

    /// Reads a number whose first byte has been read, if it is one that most are: at most 15 digits, with a point among them or
    /// not. In one pass where [`Scanner::number`] and a parser would take two; reads nothing otherwise.
    ///
    /// Such digits are an integer that a float holds exactly, and so is the power of ten below them: their quotient is rounded
    /// once, to the nearest.
    #[inline(always)]
    pub fn short_decimal(&mut self, first: u8) -> Option<f64> {
        let bytes = self.text.as_bytes();
        let mut integer = 0u64;
        let mut digits = |mut at: usize| {
            while let Some(digit @ 0..=9) = bytes.get(at).map(|byte| byte.wrapping_sub(b'0')) {
                integer = integer.wrapping_mul(10).wrapping_add(u64::from(digit));
                at += 1;
            }
            at
        };
        let begin = if first == b'-' { self.at } else { self.at - 1 };
        let mut end = digits(begin);
        let whole = end - begin;
        let mut decimals = 0;
        if bytes.get(end) == Some(&b'.') {
            let point = end;
            end = digits(point + 1);
            decimals = end - point - 1;
            if decimals == 0 {
                return None;
            }
        }
        let leading_zero = whole > 1 && bytes[begin] == b'0';
        let ends = !matches!(bytes.get(end), None | Some(b'.' | b'e' | b'E'));
        if whole == 0 || whole + decimals > MAX_DIGITS || leading_zero || !ends {
            return None;
        }
        self.at = end;
        let value = integer as f64 / POWERS_OF_TEN[decimals];
        Some(if first == b'-' { -value } else { value })
    }

    fn fraction(&mut self) -> bool {
        self.at += 1;
        self.digits()
    }

    fn exponent(&mut self) -> bool {
        self.at += 1;
        self.at += usize::from(matches!(self.peek(), b'+' | b'-'));
        self.digits()
    }

    /// Reads digits; whether there were any.
    #[inline(always)]
    fn digits(&mut self) -> bool {
        let rest = &self.text.as_bytes()[self.at..];
        let count = rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
        self.at += count;
        count > 0
    }

    /// Reads the rest of `true`, `false` or `null`, of which the first byte has been read.
    #[inline]
    pub fn literal(&mut self, first: u8) -> Result<(), String> {
        let rest: &[u8] = match first {
            b't' => b"rue",
            b'f' => b"alse",
            _ => b"ull",
        };
        if self.accept(rest) { Ok(()) } else { Err(self.error("an unknown word")) }
    }

    /// The byte to come; 0, which has no place in JSON, at the end.
    #[inline(always)]
    fn peek(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or(0)
    }

    #[cold]
    fn error(&self, what: &str) -> String {
        format!("not JSON: {what} at byte {}", self.at)
    }
}

/// Whether `text` begins with `start`: word by word, since names are short and a call of memcmp takes longer than they do.
#[inline(always)]
fn begins_with(text: &[u8], start: &[u8]) -> bool {
    if text.len() < start.len() {
        return false;
    }
    let text = &text[..start.len()];
    let Some(last) = start.last_chunk::<8>() else {
        return text.iter().zip(start).all(|(one, other)| one == other);
    };
    // The last word overlaps the one before.
    let (words, others) = (text.as_chunks::<8>().0, start.as_chunks::<8>().0);
    let same = |one: &[u8; 8], other: &[u8; 8]| u64::from_le_bytes(*one) == u64::from_le_bytes(*other);
    words.iter().zip(others).all(|(one, other)| same(one, other))
        && text.last_chunk().is_some_and(|text| same(text, last))
}

/// Of eight bytes, sets the highest bit of those that end the plain part of a string: quotes, backslashes, control characters.
/// The lowest bit set is right; higher ones may be set in error, by a borrow from below.
#[inline(always)]
fn special_bytes(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let quote = word ^ (ONES * b'"' as u64);
    let backslash = word ^ (ONES * b'\\' as u64);
    let below = |word: u64, limit: u64| word.wrapping_sub(ONES * limit) & !word;
    (below(quote, 1) | below(backslash, 1) | below(word, 0x20)) & (ONES << 7)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn string(text: &str) -> Result<String, String> {
        let mut scanner = Scanner::new(text);
        assert_eq!(scanner.next(), Some(b'"'));
        let mut scratch = String::from("left over");
        let string = scanner.string(&mut scratch)?.to_owned();
        assert_eq!(scanner.at(), text.len());
        Ok(string)
    }

    #[test]
    fn strings_are_read_as_serde_json_reads_them() {
        for text in [
            r#""""#,
            r#""plain""#,
            r#""longer than eight bytes, and than sixteen""#,
            r#""é ☃ 🚆 and more""#,
            r#""\"\\\/\b\f\n\r\t""#,
            r#""a\u0041é\u00e9\u2603\ud83d\ude86z""#,
            r#""\u0000""#,
            "\"\u{7f}\u{80}\"",
            r#""\u00E9\uD83D\uDE86""#,
            "\"tab\there\"",
            "\"line\nbreak, far from the beginning\"",
            r#""\x""#,
            r#""\é""#,
            r#""\u12""#,
            r#""\u12g4""#,
            r#""\u+123""#,
            r#""\ud83d""#,
            r#""\ud83dx""#,
            r#""\ud83d\n""#,
            r#""\ud83d\u0041""#,
            r#""\ude86""#,
            r#""\"#,
            r#""\u"#,
            r#""no end"#,
            r#"""#,
        ] {
            let expected = serde_json::from_str::<String>(text).ok();
            assert_eq!(string(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn every_byte_is_found_at_every_place() {
        for place in 0..20 {
            for byte in 0..128u8 {
                let text = format!("{}{}{}", "é".repeat(place), char::from(byte), "x".repeat(20 - place));
                let scanner = Scanner::new(&text);
                let special = matches!(byte, b'"' | b'\\' | 0..=31);
                assert_eq!(scanner.plain_end(), if special { 2 * place } else { text.len() }, "{byte} at {place}");
            }
        }
    }

    #[test]
    fn numbers_are_read_as_serde_json_reads_them() {
        for text in [
            "0", "-0", "12", "-12.50", "0.5", "1e5", "1E+5", "1.5e-05", "00", "01", "-", "-x", "-01", "1.", "1.e5",
            "1e", "1e+", ".5", "+1", "1_000", "0x10", "--1", "1.2.3", "1e5e5",
        ] {
            let mut scanner = Scanner::new(text);
            let number = match scanner.next() {
                Some(first @ (b'-' | b'0'..=b'9')) => scanner.number(first),
                _ => Err("no number".to_owned()),
            };
            let whole = number.is_ok_and(|number| number == text);
            assert_eq!(whole, serde_json::from_str::<f64>(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn short_decimals_are_read_as_rust_reads_them_or_not_at_all() {
        let edges = "0 -0 0.0 -0.0 - . -. 5. .5 -.5 1..2 1.2.3 +1 --1 1- 007 00.7 0.7 1e5 1.5e5 1E5 0.1 0.3 999999999999999 \
            9999999999999999 0.00000000000001 0.000000000000001 90071992547.0993 900719925474.0993 123456789012345 -1.25";
        let mut texts: Vec<String> = edges.split_whitespace().map(str::to_owned).collect();
        let mut seed = 1u64;
        for _ in 0..200_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let (digits, decimals) = ((seed >> 33) as usize % 17 + 1, (seed >> 40) as usize % 8);
            let number = (seed >> 3) % 10u64.pow(digits as u32);
            texts.push(format!("{}{number}.{:0decimals$}", if seed & 1 == 0 { "-" } else { "" }, number >> 7));
        }
        let mut read = 0;
        for text in &texts {
            for end in [",", "}", " ", "]"] {
                let text = format!("{text}{end}");
                let mut scanner = Scanner::new(&text);
                let first = scanner.next().unwrap();
                let found = if matches!(first, b'-' | b'0'..=b'9') { scanner.short_decimal(first) } else { None };
                if let Some(value) = found {
                    let mut slow = Scanner::new(&text);
                    slow.next();
                    let number = slow.number(first).unwrap_or_else(|error| panic!("{text}: {error}"));
                    let expected = number.parse::<f64>().unwrap();
                    assert_eq!((value.to_bits(), scanner.at()), (expected.to_bits(), slow.at()), "{text}");
                    read += 1;
                } else {
                    assert_eq!(scanner.at(), 1, "{text}");
                }
            }
        }
        assert!(read > texts.len(), "only {read} were read");
        for without_an_end in ["0", "12", "-1.25", "3.0"] {
            let mut scanner = Scanner::new(without_an_end);
            let first = scanner.next().unwrap();
            assert_eq!(scanner.short_decimal(first), None, "{without_an_end}");
        }
    }

    #[test]
    fn the_beginning_of_a_text_is_told_byte_for_byte() {
        let name = "abcdefghijklmnopqrstuvwxyz";
        for length in 0..name.len() {
            let start = &name.as_bytes()[..length];
            assert!(begins_with(name.as_bytes(), start) && begins_with(start, start));
            assert!(!begins_with(&start[..length.saturating_sub(1)], start) || length == 0);
            for wrong in 0..length {
                let mut other = start.to_vec();
                other[wrong] ^= 1;
                assert!(!begins_with(name.as_bytes(), &other), "{length} {wrong}");
            }
        }
    }

    #[test]
    fn literals_and_white_space() {
        let mut scanner = Scanner::new(" \t\r\n true\u{a0}");
        assert_eq!(scanner.next(), Some(b't'));
        assert_eq!(scanner.literal(b't'), Ok(()));
        assert_eq!(scanner.next(), Some(0xc2));
        let mut scanner = Scanner::new("nul");
        assert_eq!(scanner.next(), Some(b'n'));
        assert_eq!(scanner.literal(b'n'), Err("not JSON: an unknown word at byte 1".to_owned()));
        assert_eq!(Scanner::new("  ").next(), None);
    }
}
