//! JSON into Avro's binary encoding, for defaults in schemas and for simulated records.

use serde_json::Value;

use super::schema::{Node, NodeId, Schema};

/// A schema can be of its own type without an end; JSON can't.
const MAX_DEPTH: usize = 128;

impl Schema {
    /// Writes a JSON value as this schema says: fields that aren't given by their defaults, unions by their first branch that fits.
    ///
    /// # Errors
    /// The value isn't of this schema.
    pub fn encode(&self, value: &Value, out: &mut Vec<u8>) -> Result<(), String> {
        self.encode_as(self.root, value, out)
    }

    /// [`Schema::encode`] for a value of one of its types.
    pub fn encode_as(&self, node: NodeId, value: &Value, out: &mut Vec<u8>) -> Result<(), String> {
        self.write(node, value, out, 0)
    }

    fn write(&self, node: NodeId, value: &Value, out: &mut Vec<u8>, depth: usize) -> Result<(), String> {
        if depth >= MAX_DEPTH {
            return Err(format!("nested deeper than {MAX_DEPTH} levels"));
        }
        match (self.node(node), value) {
            (Node::Null, Value::Null) => {}
            (Node::Boolean, Value::Bool(value)) => out.push(u8::from(*value)),
            (Node::Int | Node::Date | Node::Time(1_000), Value::Number(number)) => {
                let int = number.as_i64().and_then(|number| i32::try_from(number).ok());
                write_long(int.ok_or_else(|| format!("{number} is no int"))?.into(), out);
            }
            (Node::Long | Node::Time(_) | Node::Timestamp(_), Value::Number(number)) => {
                write_long(number.as_i64().ok_or_else(|| format!("{number} is no long"))?, out);
            }
            (Node::Float, Value::Number(number)) => {
                let value = number.as_f64().unwrap_or(f64::NAN) as f32;
                out.extend_from_slice(&value.to_le_bytes());
            }
            (Node::Double, Value::Number(number)) => {
                out.extend_from_slice(&number.as_f64().unwrap_or(f64::NAN).to_le_bytes());
            }
            (Node::String, Value::String(text)) => write_bytes(text.as_bytes(), out),
            (Node::Bytes | Node::Decimal { size: None, .. }, Value::String(text)) => {
                write_bytes(&latin1(text)?, out);
            }
            (Node::Fixed(_) | Node::Decimal { .. } | Node::Uuid | Node::Duration, Value::String(text)) => {
                let (bytes, size) = (latin1(text)?, self.fixed_size(node));
                if bytes.len() != size {
                    return Err(format!("{} bytes where the schema says {size}", bytes.len()));
                }
                out.extend_from_slice(&bytes);
            }
            (Node::Enum(symbols), Value::String(symbol)) => {
                let at = symbols.iter().position(|other| other == symbol);
                write_long(at.ok_or_else(|| format!("`{symbol}` is no symbol of the enum"))? as i64, out);
            }
            (Node::Array(items), Value::Array(values)) => {
                write_count(values.len(), out);
                values.iter().try_for_each(|value| self.write(*items, value, out, depth + 1))?;
                end_blocks(values.len(), out);
            }
            (Node::Map(items), Value::Object(values)) => {
                write_count(values.len(), out);
                for (key, value) in values {
                    write_bytes(key.as_bytes(), out);
                    self.write(*items, value, out, depth + 1)?;
                }
                end_blocks(values.len(), out);
            }
            (Node::Record(fields), Value::Object(values)) => {
                for field in fields {
                    let value = values.get(&field.name).or(field.default.as_ref());
                    let value = value.ok_or_else(|| format!("the field `{}` is missing", field.name))?;
                    let written = self.write(field.node, value, out, depth + 1);
                    written.map_err(|reason| format!("{}: {reason}", field.name))?;
                }
            }
            (Node::Union(branches), value) => {
                let start = out.len();
                for (at, branch) in branches.iter().enumerate() {
                    write_long(at as i64, out);
                    if self.write(*branch, value, out, depth + 1).is_ok() {
                        return Ok(());
                    }
                    out.truncate(start);
                }
                return Err("the value is of no branch of the union".to_owned());
            }
            _ => return Err("the value is of another type than the schema says".to_owned()),
        }
        Ok(())
    }

    fn fixed_size(&self, node: NodeId) -> usize {
        match self.node(node) {
            Node::Fixed(size) | Node::Decimal { size: Some(size), .. } => *size,
            Node::Uuid => 16,
            Node::Duration => 12,
            _ => 0,
        }
    }
}

fn write_long(value: i64, out: &mut Vec<u8>) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    write_long(bytes.len() as i64, out);
    out.extend_from_slice(bytes);
}

/// One block of all items; the empty one that ends them is written already where there are none.
fn write_count(items: usize, out: &mut Vec<u8>) {
    write_long(items as i64, out);
}

fn end_blocks(items: usize, out: &mut Vec<u8>) {
    if items > 0 {
        out.push(0);
    }
}

/// Bytes as Avro has them in JSON: a character up to U+00FF for each.
fn latin1(text: &str) -> Result<Vec<u8>, String> {
    let bytes = text.chars().map(u8::try_from).collect::<Result<_, _>>();
    bytes.map_err(|_| "a character beyond U+00FF in bytes".to_owned())
}
