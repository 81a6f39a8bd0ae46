//! Nested values as JSON text: fields and map keys as names, the value of a union as it is.

use base64::prelude::{BASE64_STANDARD, Engine};

use super::cursor::{Broken, Cursor, MAX_DEPTH};
use super::value::{self, Fault};
use crate::avro::{Node, NodeId, Schema};

/// How many times as long as its message a text may become, and what it may be beside that: field names stand in the schema
/// and not in the message.
const GROWTH: usize = 16;
const MAX_SMALL: usize = 64 << 10;

/// Writes the value's JSON.
pub(super) fn write(schema: &Schema, node: NodeId, cursor: &mut Cursor<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    let longest = MAX_SMALL + GROWTH * cursor.left();
    Writer { schema, out, longest }.value(node, cursor, 0)
}

struct Writer<'a> {
    schema: &'a Schema,
    out: &'a mut Vec<u8>,
    longest: usize,
}

impl Writer<'_> {
    fn value(&mut self, node: NodeId, cursor: &mut Cursor<'_>, depth: usize) -> Result<(), Fault> {
        if depth >= MAX_DEPTH {
            return Err(Broken::Deep.into());
        }
        if self.out.len() > self.longest {
            return Err(Fault::Unfit(format!("a value whose JSON text is longer than {} bytes", self.longest)));
        }
        match self.schema.node(node) {
            Node::Null => self.plain("null"),
            Node::Boolean => self.plain(if cursor.boolean()? { "true" } else { "false" }),
            Node::Int => self.plain(&cursor.int()?.to_string()),
            Node::Long => self.plain(&cursor.long()?.to_string()),
            // As long as it is only as precise as it is, the shortest text of the shorter type is the better one.
            Node::Float => {
                let value = cursor.float()?;
                self.json(&value)
            }
            Node::Double => {
                let value = cursor.double()?;
                self.json(&value)
            }
            Node::String => {
                let text = std::str::from_utf8(cursor.bytes()?).map_err(|_| Broken::Encoding)?;
                self.json(text)
            }
            Node::Bytes => self.base64(cursor.bytes()?),
            Node::Fixed(size) => self.base64(cursor.take(*size)?),
            Node::Enum(symbols) => self.json(cursor.symbol(symbols)?),
            Node::Date => self.json(&*value::date(cursor.int()?)?),
            Node::Time(1_000) => self.json(&*value::time_of_day(cursor.int()?, 1_000)?),
            Node::Time(per_second) => self.json(&*value::time_of_day(cursor.long()?, *per_second)?),
            Node::Timestamp(per_second) => self.json(&*value::timestamp(cursor.long()?, *per_second)?),
            Node::Decimal { size, scale } => {
                let digits = match size {
                    Some(size) => cursor.take(*size)?,
                    None => cursor.bytes()?,
                };
                self.plain(&value::decimal(digits, *scale).ok_or_else(value::too_many_digits)?)
            }
            Node::Uuid => self.json(&*value::uuid(cursor.take(16)?)),
            Node::Duration => self.json(&*value::duration(cursor.take(12)?)),
            Node::Union(branches) => {
                let branch = cursor.branch(branches)?;
                self.value(branch, cursor, depth + 1)
            }
            Node::Record(fields) => {
                let left = cursor.left();
                self.out.push(b'{');
                for (at, field) in fields.iter().enumerate() {
                    if at > 0 {
                        self.out.push(b',');
                    }
                    self.json(&*field.name)?;
                    self.out.push(b':');
                    self.value(field.node, cursor, depth + 1)?;
                }
                cursor.count_empty(left)?;
                self.plain("}")
            }
            Node::Array(items) => {
                self.out.push(b'[');
                self.items(*items, false, cursor, depth)?;
                self.plain("]")
            }
            Node::Map(values) => {
                self.out.push(b'{');
                self.items(*values, true, cursor, depth)?;
                self.plain("}")
            }
        }
    }

    fn items(&mut self, item: NodeId, keys: bool, cursor: &mut Cursor<'_>, depth: usize) -> Result<(), Fault> {
        let mut first = true;
        loop {
            let (count, bytes) = cursor.block()?;
            if count == 0 {
                return Ok(());
            }
            let before = cursor.left();
            for _ in 0..count {
                let left = cursor.left();
                if !std::mem::take(&mut first) {
                    self.out.push(b',');
                }
                if keys {
                    let key = std::str::from_utf8(cursor.bytes()?).map_err(|_| Broken::Encoding)?;
                    self.json(key)?;
                    self.out.push(b':');
                }
                self.value(item, cursor, depth + 1)?;
                cursor.count_empty(left)?;
            }
            // Who passes over the block goes by what it says.
            if let Some(bytes) = bytes.filter(|bytes| before - cursor.left() != *bytes) {
                return Err(Broken::Block(bytes).into());
            }
        }
    }

    fn plain(&mut self, text: &str) -> Result<(), Fault> {
        self.out.extend_from_slice(text.as_bytes());
        Ok(())
    }

    fn base64(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.json(&*BASE64_STANDARD.encode(bytes))
    }

    fn json<T: serde::Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Fault> {
        serde_json::to_writer(&mut *self.out, value).map_err(|error| Fault::Unfit(error.to_string()))
    }
}
