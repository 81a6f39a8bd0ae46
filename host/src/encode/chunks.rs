//! Where a file's bytes gather until they leave in chunks, without being copied again.

use std::io::{self, Write};

use bytes::Bytes;

/// Chunks leave when at least this many bytes are complete (4 MiB): small enough to keep memory low, and never so
/// small that an upload in parts drowns in requests.
const CHUNK_BYTES: usize = 4 << 20;

/// A chunk is never longer than this (8 MiB), if a Parquet row group comes as one piece.
const MAX_CHUNK_BYTES: usize = 8 << 20;

/// The bytes of one file that have not left yet.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    full: Vec<Bytes>,
    current: Vec<u8>,
    left: u64,
}

impl Chunks {
    /// Takes the bytes out if they make a chunk.
    pub fn take_complete(&mut self, out: &mut Vec<Bytes>) {
        if self.waiting() >= CHUNK_BYTES {
            self.take_all(out);
        }
    }

    /// Takes all bytes out, be they ever so few.
    pub fn take_all(&mut self, out: &mut Vec<Bytes>) {
        self.left += self.waiting() as u64;
        out.append(&mut self.full);
        if !self.current.is_empty() {
            out.push(Bytes::from(std::mem::take(&mut self.current)));
        }
    }

    /// Bytes that haven't left.
    pub fn waiting(&self) -> usize {
        self.full.iter().map(Bytes::len).sum::<usize>() + self.current.len()
    }

    /// Memory that is held, which a half-empty buffer is more than what waits in it.
    pub fn buffered(&self) -> usize {
        self.full.iter().map(Bytes::len).sum::<usize>() + self.current.capacity()
    }

    /// All bytes that were ever written.
    pub fn written(&self) -> u64 {
        self.left + self.waiting() as u64
    }
}

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let (fits, rest) = bytes.split_at(bytes.len().min(MAX_CHUNK_BYTES - self.current.len()));
            self.current.extend_from_slice(fits);
            bytes = rest;
            if self.current.len() == MAX_CHUNK_BYTES {
                self.full.push(Bytes::from(std::mem::take(&mut self.current)));
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_leave_in_order_and_in_bounds() {
        let mut chunks = Chunks::default();
        let mut out = Vec::new();
        chunks.write_all(b"ab").unwrap();
        chunks.take_complete(&mut out);
        assert_eq!((out.len(), chunks.waiting(), chunks.written()), (0, 2, 2));

        let long: Vec<u8> = (0..2 * MAX_CHUNK_BYTES).map(|index| index as u8).collect();
        chunks.write_all(&long).unwrap();
        chunks.take_complete(&mut out);
        assert_eq!(out.iter().map(Bytes::len).collect::<Vec<_>>(), [MAX_CHUNK_BYTES, MAX_CHUNK_BYTES, 2]);
        assert_eq!((chunks.waiting(), chunks.buffered(), chunks.written()), (0, 0, 2 + long.len() as u64));
        assert_eq!(out.concat(), [b"ab".as_slice(), &long].concat());

        chunks.write_all(b"c").unwrap();
        out.clear();
        chunks.take_all(&mut out);
        assert_eq!(out, ["c"]);
    }
}
