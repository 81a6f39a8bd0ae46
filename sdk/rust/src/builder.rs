//! Columns in the making. A builder serves one batch after another and remembers how much room the last one took.

use crate::value::{Builder, Value};
use crate::wit::{Column, Varlen};

/// Collects numbers.
#[derive(Debug, Default)]
pub struct ListBuilder<T>(Vec<T>);

impl<T> ListBuilder<T> {
    #[inline]
    pub(crate) fn push(&mut self, value: T) {
        self.0.push(value);
    }

    pub(crate) fn finish(&mut self) -> Vec<T> {
        std::mem::take(&mut self.0)
    }
}

impl<T: Default + 'static> Builder for ListBuilder<T> {
    fn reserve(&mut self, rows: usize) {
        self.0.reserve(rows);
    }
    #[inline]
    fn push_placeholder(&mut self) {
        self.0.push(T::default());
    }
}

/// Collects bits, least significant first.
#[derive(Debug, Default)]
pub struct BitBuilder {
    bytes: Vec<u8>,
    rows: usize,
}

impl BitBuilder {
    #[inline]
    pub(crate) fn push(&mut self, bit: bool) {
        if self.rows.is_multiple_of(8) {
            self.bytes.push(0);
        }
        if bit {
            self.bytes[self.rows / 8] |= 1 << (self.rows % 8);
        }
        self.rows += 1;
    }

    pub(crate) fn with_capacity(rows: usize) -> Self {
        Self::ones(0, rows)
    }

    /// `rows` set bits, with room for as many more as `room`.
    fn ones(rows: usize, room: usize) -> Self {
        let mut bytes = Vec::with_capacity((rows + room) / 8 + 1);
        bytes.resize(rows / 8, 0xff);
        if rows % 8 > 0 {
            bytes.push((1 << (rows % 8)) - 1);
        }
        Self { bytes, rows }
    }

    pub(crate) fn finish(&mut self) -> Vec<u8> {
        self.rows = 0;
        std::mem::take(&mut self.bytes)
    }
}

impl Builder for BitBuilder {
    fn reserve(&mut self, rows: usize) {
        self.bytes.reserve(rows / 8 + 1);
    }
    #[inline]
    fn push_placeholder(&mut self) {
        self.push(false);
    }
}

/// Collects texts, or bytes of varying length.
#[derive(Debug)]
pub struct TextBuilder {
    /// Never empty: the first is 0.
    offsets: Vec<u32>,
    bytes: Vec<u8>,
    /// Bytes in the last batch: what the next one is likely to need.
    last: usize,
}

impl TextBuilder {
    #[inline]
    pub(crate) fn push(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(value);
        self.end_row();
    }

    /// Ends a row after its bytes.
    #[inline]
    fn end_row(&mut self) {
        // A batch of over 4 GiB wraps here and is caught in `finish`; on the plugins' own target it can't exist.
        self.offsets.push(self.bytes.len() as u32);
    }

    pub(crate) fn finish(&mut self) -> Varlen {
        assert!(u32::try_from(self.bytes.len()).is_ok(), "a column holds at most 4 GiB of text");
        self.last = self.bytes.len();
        let offsets = std::mem::replace(&mut self.offsets, vec![0]);
        Varlen { offsets, bytes: std::mem::take(&mut self.bytes) }
    }
}

impl Default for TextBuilder {
    fn default() -> Self {
        Self { offsets: vec![0], bytes: Vec::new(), last: 0 }
    }
}

impl Builder for TextBuilder {
    fn reserve(&mut self, rows: usize) {
        self.offsets.reserve(rows);
        self.bytes.reserve(self.last);
    }
    #[inline]
    fn push_placeholder(&mut self) {
        self.end_row();
    }
}

/// Values of one column of a row, some of them null if the column is nullable.
#[derive(Debug, Default)]
pub struct Cells<B> {
    values: B,
    validity: Validity,
}

/// Which rows have a value. Costs nothing until the first one lacks it.
#[derive(Debug, Default)]
struct Validity {
    rows: usize,
    bits: Option<BitBuilder>,
    room: usize,
}

impl<B: Builder> Cells<B> {
    /// Makes room for `rows` more rows; for text also for as many bytes as the last column took.
    pub fn reserve(&mut self, rows: usize) {
        self.values.reserve(rows);
        self.validity.room = rows;
    }

    /// Appends a row with a value.
    #[inline]
    pub fn push<T: Value<Builder = B>>(&mut self, value: T) {
        value.append_to(&mut self.values);
        self.validity.push(true);
    }

    /// Appends a row without a value.
    #[inline]
    pub fn push_null(&mut self) {
        self.values.push_placeholder();
        self.validity.push(false);
    }

    /// The column so far, of `T`'s type; empty afterwards.
    pub fn finish<T: Value<Builder = B>>(&mut self) -> Column {
        let validity = std::mem::take(&mut self.validity);
        Column { values: T::finish(&mut self.values), validity: validity.bits.map(|mut bits| bits.finish()) }
    }
}

impl Validity {
    #[inline]
    fn push(&mut self, valid: bool) {
        match &mut self.bits {
            Some(bits) => bits.push(valid),
            None if valid => {}
            None => {
                let mut bits = BitBuilder::ones(self.rows, self.room);
                bits.push(false);
                self.bits = Some(bits);
            }
        }
        self.rows += 1;
    }
}
