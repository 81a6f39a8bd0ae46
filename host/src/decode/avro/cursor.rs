//! Avro's binary encoding, read byte by byte: nothing is believed that the bytes don't bear out.

use std::fmt;

use crate::avro::{Node, NodeId, Schema};

/// How deep values may nest. Bounds the stack.
pub(super) const MAX_DEPTH: usize = 128;
/// How many items and records that take no byte a message may have: any number of them can be claimed.
const MAX_EMPTY: u32 = 8_192;

/// What is wrong with the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    End,
    Number,
    Int(i64),
    Length(i64),
    Boolean(u8),
    Branch(i64),
    Symbol(i64),
    Deep,
    Empty,
    Block(usize),
    Encoding,
    Trailing(usize),
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::End => f.write_str("it ends in the middle"),
            Self::Number => f.write_str("a number of more than 64 bits"),
            Self::Int(number) => write!(f, "an int of more than 32 bits, {number}"),
            Self::Length(length) => write!(f, "a length of {length}"),
            Self::Boolean(byte) => write!(f, "a boolean of 0x{byte:02x}"),
            Self::Branch(branch) => write!(f, "branch {branch} of a union that has no such"),
            Self::Symbol(symbol) => write!(f, "symbol {symbol} of an enum that has no such"),
            Self::Deep => write!(f, "nested deeper than {MAX_DEPTH} levels"),
            Self::Empty => write!(f, "more than {MAX_EMPTY} items that take no byte"),
            Self::Block(bytes) => write!(f, "a block that says {bytes} bytes, and has others"),
            Self::Encoding => f.write_str("a string that is not UTF-8"),
            Self::Trailing(1) => f.write_str("1 byte too many"),
            Self::Trailing(bytes) => write!(f, "{bytes} bytes too many"),
        }
    }
}

/// Where reading is.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
    empty: u32,
}

impl<'a> Cursor<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, empty: 0 }
    }

    /// Nothing may be left.
    #[inline]
    pub fn end(&self) -> Result<(), Broken> {
        if self.rest.is_empty() { Ok(()) } else { Err(Broken::Trailing(self.rest.len())) }
    }

    #[inline(always)]
    pub fn long(&mut self) -> Result<i64, Broken> {
        // Most numbers are small.
        if let [byte @ 0..=0x7f, rest @ ..] = self.rest {
            self.rest = rest;
            return Ok(unzigzag((*byte).into()));
        }
        self.long_of_many_bytes()
    }

    fn long_of_many_bytes(&mut self) -> Result<i64, Broken> {
        let mut number = 0_u64;
        for (at, &byte) in self.rest.iter().enumerate().take(10) {
            if at == 9 && byte > 1 {
                return Err(Broken::Number);
            }
            number |= u64::from(byte & 0x7f) << (7 * at);
            if byte < 0x80 {
                self.rest = &self.rest[at + 1..];
                return Ok(unzigzag(number));
            }
        }
        Err(if self.rest.len() < 10 { Broken::End } else { Broken::Number })
    }

    #[inline]
    pub fn int(&mut self) -> Result<i64, Broken> {
        let number = self.long()?;
        if i32::try_from(number).is_ok() { Ok(number) } else { Err(Broken::Int(number)) }
    }

    #[inline]
    pub fn boolean(&mut self) -> Result<bool, Broken> {
        match self.take(1)?[0] {
            0 => Ok(false),
            1 => Ok(true),
            byte => Err(Broken::Boolean(byte)),
        }
    }

    #[inline]
    pub fn float(&mut self) -> Result<f32, Broken> {
        Ok(f32::from_le_bytes(self.array()?))
    }

    #[inline]
    pub fn double(&mut self) -> Result<f64, Broken> {
        Ok(f64::from_le_bytes(self.array()?))
    }

    /// As many bytes as the number before them says.
    #[inline]
    pub fn bytes(&mut self) -> Result<&'a [u8], Broken> {
        let length = self.long()?;
        let bytes = usize::try_from(length).map_err(|_| Broken::Length(length))?;
        self.take(bytes)
    }

    #[inline]
    pub fn take(&mut self, bytes: usize) -> Result<&'a [u8], Broken> {
        let (taken, rest) = self.rest.split_at_checked(bytes).ok_or(Broken::End)?;
        self.rest = rest;
        Ok(taken)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Broken> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(Broken::End)?;
        self.rest = rest;
        Ok(*taken)
    }

    #[inline]
    pub fn branch(&mut self, branches: &[NodeId]) -> Result<NodeId, Broken> {
        let branch = self.long()?;
        usize::try_from(branch).ok().and_then(|at| branches.get(at)).copied().ok_or(Broken::Branch(branch))
    }

    #[inline]
    pub fn symbol<'s>(&mut self, symbols: &'s [String]) -> Result<&'s str, Broken> {
        let symbol = self.long()?;
        let found = usize::try_from(symbol).ok().and_then(|at| symbols.get(at));
        found.map(String::as_str).ok_or(Broken::Symbol(symbol))
    }

    /// How many items come next in an array or map, and how many bytes they take where that is said; 0 items at its end.
    pub fn block(&mut self) -> Result<(u64, Option<usize>), Broken> {
        let count = self.long()?;
        if count >= 0 {
            return Ok((count.unsigned_abs(), None));
        }
        let length = self.long()?;
        let bytes = usize::try_from(length).map_err(|_| Broken::Length(length))?;
        Ok((count.unsigned_abs(), Some(bytes)))
    }

    /// Counts an item or record that was just read, if it took no byte. `left` is how many were left before it.
    #[inline]
    pub fn count_empty(&mut self, left: usize) -> Result<(), Broken> {
        if self.rest.len() == left {
            self.empty += 1;
            if self.empty > MAX_EMPTY {
                return Err(Broken::Empty);
            }
        }
        Ok(())
    }

    /// How many bytes are left.
    #[inline]
    pub fn left(&self) -> usize {
        self.rest.len()
    }

    /// Passes over a value that lies within `depth` others.
    pub fn skip(&mut self, schema: &Schema, node: NodeId, depth: usize) -> Result<(), Broken> {
        if depth >= MAX_DEPTH {
            return Err(Broken::Deep);
        }
        match schema.node(node) {
            Node::Null => Ok(()),
            Node::Boolean => self.boolean().map(drop),
            Node::Int | Node::Date | Node::Time(1_000) => self.int().map(drop),
            Node::Long | Node::Time(_) | Node::Timestamp(_) => self.long().map(drop),
            Node::Float => self.take(4).map(drop),
            Node::Double => self.take(8).map(drop),
            Node::Bytes | Node::String | Node::Decimal { size: None, .. } => self.bytes().map(drop),
            Node::Fixed(size) | Node::Decimal { size: Some(size), .. } => self.take(*size).map(drop),
            Node::Uuid => self.take(16).map(drop),
            Node::Duration => self.take(12).map(drop),
            Node::Enum(symbols) => self.symbol(symbols).map(drop),
            Node::Union(branches) => {
                let branch = self.branch(branches)?;
                self.skip(schema, branch, depth + 1)
            }
            Node::Record(fields) => {
                let left = self.left();
                fields.iter().try_for_each(|field| self.skip(schema, field.node, depth + 1))?;
                self.count_empty(left)
            }
            Node::Array(items) => self.skip_blocks(schema, *items, false, depth),
            Node::Map(values) => self.skip_blocks(schema, *values, true, depth),
        }
    }

    fn skip_blocks(&mut self, schema: &Schema, item: NodeId, keys: bool, depth: usize) -> Result<(), Broken> {
        loop {
            match self.block()? {
                (0, _) => return Ok(()),
                (_, Some(bytes)) => drop(self.take(bytes)?),
                (count, None) => {
                    for _ in 0..count {
                        let left = self.left();
                        if keys {
                            self.bytes()?;
                        }
                        self.skip(schema, item, depth + 1)?;
                        self.count_empty(left)?;
                    }
                }
            }
        }
    }
}

#[inline(always)]
fn unzigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}
