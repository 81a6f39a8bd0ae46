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
    fn rows(&self) -> usize {
        self.0.len()
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
        if !rows.is_multiple_of(8) {
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
    fn rows(&self) -> usize {
        self.rows
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
        append(&mut self.bytes, value);
        // Over 4 GiB of text wraps here and is caught in `finish`; on the plugins' own target it can't exist.
        self.offsets.push(self.bytes.len() as u32);
    }

    pub(crate) fn finish(&mut self) -> Varlen {
        assert!(u32::try_from(self.bytes.len()).is_ok(), "a column holds at most 4 GiB of text");
        self.last = self.bytes.len();
        let offsets = std::mem::replace(&mut self.offsets, vec![0]);
        Varlen { offsets, bytes: std::mem::take(&mut self.bytes) }
    }
}

/// Appends bytes. To copy as many as are known only when it runs is a call out of the plugin, which takes longer than what it does for
/// a few of them: those go in pieces of a fixed size, of which the last may go over the one before.
#[inline]
fn append(into: &mut Vec<u8>, value: &[u8]) {
    match value.len() {
        0 => {}
        1 => into.push(value[0]),
        2..4 => append_pieces::<2>(into, value),
        4..8 => append_pieces::<4>(into, value),
        8..16 => append_pieces::<8>(into, value),
        16..=64 => append_pieces::<16>(into, value),
        _ => into.extend_from_slice(value),
    }
}

/// Appends at least `N` bytes.
#[inline]
fn append_pieces<const N: usize>(into: &mut Vec<u8>, value: &[u8]) {
    let end = into.len() + value.len();
    let (pieces, rest) = value.as_chunks::<N>();
    pieces.iter().for_each(|piece| into.extend_from_slice(piece));
    if let (false, Some(last)) = (rest.is_empty(), value.last_chunk::<N>()) {
        into.truncate(end - N);
        into.extend_from_slice(last);
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
        self.bytes.reserve(self.last + self.last / 8);
    }
    fn rows(&self) -> usize {
        self.offsets.len() - 1
    }
    #[inline]
    fn push_placeholder(&mut self) {
        self.push(&[]);
    }
}

/// Values of one column of a row, some of them null if the column is nullable.
#[derive(Debug, Default)]
pub struct Cells<B> {
    values: B,
    /// Which rows have a value; `None` until the first one lacks it.
    validity: Option<BitBuilder>,
    room: usize,
}

impl<B: Builder> Cells<B> {
    /// Makes room for `rows` more rows; for text also for as many bytes as the last column took.
    pub fn reserve(&mut self, rows: usize) {
        self.values.reserve(rows);
        self.room = rows;
    }

    /// Appends a row with a value to a column that has no nulls.
    #[inline]
    pub fn push<T: Value<Builder = B>>(&mut self, value: T) {
        value.append_to(&mut self.values);
    }

    /// Appends a row that may lack a value.
    #[inline(always)]
    pub fn push_option<T: Value<Builder = B>>(&mut self, value: Option<T>) {
        match value {
            Some(value) if self.validity.is_none() => value.append_to(&mut self.values),
            value => self.push_beside_nulls(value),
        }
    }

    /// Appends to a column that has nulls, or has one now.
    fn push_beside_nulls<T: Value<Builder = B>>(&mut self, value: Option<T>) {
        let (rows, room) = (self.values.rows(), self.room);
        self.validity.get_or_insert_with(|| BitBuilder::ones(rows, room)).push(value.is_some());
        match value {
            Some(value) => value.append_to(&mut self.values),
            None => self.values.push_placeholder(),
        }
    }

    /// The column so far, of `T`'s type; empty afterwards.
    pub fn finish<T: Value<Builder = B>>(&mut self) -> Column {
        let validity = self.validity.take().map(|mut validity| validity.finish());
        Column { values: T::finish(&mut self.values), validity }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_any_length_lie_end_to_end() {
        let texts: Vec<Vec<u8>> = (0..200).map(|length| (0..length).map(|at| (length ^ at) as u8).collect()).collect();
        let mut builder = TextBuilder::default();
        texts.iter().for_each(|text| builder.push(text));
        let Varlen { offsets, bytes } = builder.finish();
        for (text, ends) in texts.iter().zip(offsets.windows(2)) {
            assert_eq!(&bytes[ends[0] as usize..ends[1] as usize], text);
        }
        assert_eq!(bytes, texts.concat());
    }
}
