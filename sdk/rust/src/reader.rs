//! Looks into the columns of a batch: a value by its row, without a copy.
//!
//! A column is checked once, when it is looked into, so that reading a value costs next to nothing. What the host passes keeps
//! the rules of `table.wit`; what breaks them panics here and never yields a wrong value.

use crate::wit::{Varlen, bit};

/// Booleans, one bit each.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bits<'a>(&'a [u8]);

impl<'a> Bits<'a> {
    pub(crate) fn new(bits: &'a [u8], rows: usize) -> Self {
        Self(&bits[..rows.div_ceil(8)])
    }

    /// The bit of row `row`.
    #[inline]
    pub fn get(&self, row: usize) -> bool {
        bit(self.0, row)
    }
}

/// Values of any bytes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bytes<'a> {
    bytes: &'a [u8],
    // Two slices of the same length rather than one of one more: one bounds check does for both, or none in a loop.
    starts: &'a [u32],
    ends: &'a [u32],
}

impl<'a> Bytes<'a> {
    pub(crate) fn new(values: &'a Varlen, rows: usize) -> Self {
        let (starts, ends) = (&values.offsets[..rows], &values.offsets[1..=rows]);
        let rising = starts.iter().zip(ends).fold(true, |rising, (start, end)| rising & (start <= end));
        let last = values.offsets[rows] as usize;
        assert!(rising && last <= values.bytes.len(), "offsets of a column lead out of its bytes");
        Self { bytes: &values.bytes, starts, ends }
    }

    /// The bytes in row `row`.
    #[inline]
    pub fn get(&self, row: usize) -> &'a [u8] {
        let (start, end) = (self.starts[row] as usize, self.ends[row] as usize);
        // SAFETY: `new` has seen that every start is at most its end, and every end at most the last, which is at most
        // the number of bytes.
        unsafe { self.bytes.get_unchecked(start..end) }
    }
}

/// Texts.
#[derive(Debug, Clone, Copy, Default)]
pub struct Text<'a>(Bytes<'a>);

impl<'a> Text<'a> {
    pub(crate) fn new(values: &'a Varlen, rows: usize) -> Self {
        let bytes = Bytes::new(values, rows);
        if !is_ascii(&values.bytes) {
            let text = std::str::from_utf8(&values.bytes);
            let whole = text.is_ok_and(|text| bytes.starts.iter().all(|start| text.is_char_boundary(*start as usize)));
            assert!(whole, "a text column holds bytes that are no UTF-8");
        }
        Self(bytes)
    }

    /// The text in row `row`.
    #[inline]
    pub fn get(&self, row: usize) -> &'a str {
        // SAFETY: `new` has seen that all bytes are ASCII, or that they are UTF-8 and each start lies between two
        // characters. So does each end: it is the next start, or the end of the last row.
        unsafe { std::str::from_utf8_unchecked(self.0.get(row)) }
    }
}

/// Whether all bytes are ASCII, eight at a time: the library's own takes a machine word at a time, which is four here.
fn is_ascii(bytes: &[u8]) -> bool {
    const HIGH_BITS: u64 = 0x8080_8080_8080_8080;
    let (words, rest) = bytes.as_chunks::<8>();
    let bits = words.iter().fold(0, |bits, word| bits | u64::from_ne_bytes(*word));
    bits & HIGH_BITS == 0 && rest.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn varlen(offsets: &[u32], bytes: &[u8]) -> Varlen {
        Varlen { offsets: offsets.to_vec(), bytes: bytes.to_vec() }
    }

    #[test]
    fn texts_of_one_byte_a_letter_and_of_more() {
        for words in [["Station", "", "A"], ["Ünïversität", "駅", ""]] {
            let bytes = words.concat().into_bytes();
            let mut offsets = vec![0];
            words.iter().for_each(|word| offsets.push(offsets[offsets.len() - 1] + word.len() as u32));
            let column = varlen(&offsets, &bytes);
            let text = Text::new(&column, 3);
            assert_eq!([text.get(0), text.get(1), text.get(2)], words);
        }
    }

    /// What no host passes: it panics, all of it before a value is read.
    #[test]
    fn columns_that_break_the_rules_are_not_read() {
        let broken: [(&str, Varlen); 7] = [
            ("falls", varlen(&[0, 3, 1, 3], b"abc")),
            ("beyond", varlen(&[0, 1, 2, 4], b"abc")),
            ("too short", varlen(&[0, 1, 2], b"abc")),
            ("empty", varlen(&[], b"")),
            ("huge", varlen(&[0, u32::MAX, u32::MAX, u32::MAX], b"abc")),
            ("no UTF-8", varlen(&[0, 1, 2, 3], b"a\xffc")),
            ("within a letter", varlen(&[0, 1, 2, 3], "aß".as_bytes())),
        ];
        for (what, column) in broken {
            let panicked = std::panic::catch_unwind(|| Text::new(&column, 3).get(0).len()).is_err();
            assert!(panicked, "{what}");
        }
    }

    #[test]
    fn ascii_ends_where_it_ends() {
        for length in 0..40 {
            let mut bytes = vec![b'a'; length];
            assert!(is_ascii(&bytes));
            for at in 0..length {
                bytes[at] = 0x80;
                assert!(!is_ascii(&bytes), "{at} of {length}");
                bytes[at] = b'a';
            }
        }
    }
}
