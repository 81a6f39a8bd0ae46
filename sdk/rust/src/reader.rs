//! Looks into the columns of a batch: a value by its row, without a copy.
//!
//! What the host passes keeps the rules of `table.wit`; what breaks them panics here and never yields a wrong value.

use crate::wit::{Varlen, bit};

/// Booleans, one bit each.
#[derive(Debug, Clone, Copy)]
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

/// Texts.
#[derive(Debug, Clone, Copy)]
pub struct Text<'a> {
    offsets: &'a [u32],
    text: &'a str,
}

impl<'a> Text<'a> {
    pub(crate) fn new(values: &'a Varlen, rows: usize) -> Self {
        let text = match std::str::from_utf8(&values.bytes) {
            Ok(text) => text,
            Err(error) => panic!("a utf8 column holds other bytes: {error}"),
        };
        Self { offsets: &values.offsets[..=rows], text }
    }

    /// The text in row `row`.
    #[inline]
    pub fn get(&self, row: usize) -> &'a str {
        &self.text[self.offsets[row] as usize..self.offsets[row + 1] as usize]
    }
}

/// Values of any bytes.
#[derive(Debug, Clone, Copy)]
pub struct Bytes<'a> {
    offsets: &'a [u32],
    bytes: &'a [u8],
}

impl<'a> Bytes<'a> {
    pub(crate) fn new(values: &'a Varlen, rows: usize) -> Self {
        Self { offsets: &values.offsets[..=rows], bytes: &values.bytes }
    }

    /// The bytes in row `row`.
    #[inline]
    pub fn get(&self, row: usize) -> &'a [u8] {
        &self.bytes[self.offsets[row] as usize..self.offsets[row + 1] as usize]
    }
}
