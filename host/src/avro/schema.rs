//! An Avro schema, flattened: a type is a number, so that recursive ones are nothing special.

use std::collections::HashMap;

use serde_json::{Map, Value};

/// A schema as a registry holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaText {
    /// The schema, JSON.
    pub schema: String,
    /// Schemas that it refers to by name, each after those that it refers to itself.
    pub references: Vec<String>,
}

/// A schema that has been read.
#[derive(Debug, PartialEq)]
pub struct Schema {
    nodes: Vec<Node>,
    /// The type of a whole datum.
    pub root: NodeId,
}

/// Which type of a schema.
pub type NodeId = usize;

/// A type of a schema: how it is written, and what it means where that is known.
#[derive(Debug, PartialEq)]
pub enum Node {
    /// No value.
    Null,
    /// One byte.
    Boolean,
    /// 32 bits, as many bytes as needed.
    Int,
    /// 64 bits, as many bytes as needed.
    Long,
    /// 4 bytes.
    Float,
    /// 8 bytes.
    Double,
    /// Bytes after their length.
    Bytes,
    /// UTF-8 after its length.
    String,
    /// So many bytes.
    Fixed(usize),
    /// The number of one of these.
    Enum(Vec<String>),
    /// Any number of these.
    Array(NodeId),
    /// Any number of these, each with a string as its key.
    Map(NodeId),
    /// One of these, after its number.
    Union(Vec<NodeId>),
    /// All of these.
    Record(Vec<Field>),
    /// Days since 1970-01-01.
    Date,
    /// Time of a day; how many of its unit make a second.
    Time(i64),
    /// Since 1970-01-01; how many of its unit make a second.
    Timestamp(i64),
    /// An exact number: `bytes` or `fixed`.
    Decimal {
        /// The bytes of a `fixed`.
        size: Option<usize>,
        /// Digits behind the point.
        scale: usize,
    },
    /// A UUID in 16 bytes. One that is written as text is a `String`.
    Uuid,
    /// Months, days and milliseconds in 12 bytes.
    Duration,
}

/// A field of a record.
#[derive(Debug, PartialEq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Names that it had before.
    pub aliases: Vec<String>,
    /// Its type.
    pub node: NodeId,
    /// What it is for those who read data that haven't got it.
    pub default: Option<Value>,
}

impl Schema {
    /// Reads a schema.
    ///
    /// # Errors
    /// It is no Avro schema, in words.
    pub fn parse(text: &SchemaText) -> Result<Self, String> {
        let mut parser = Parser { nodes: Vec::new(), names: HashMap::new() };
        for reference in &text.references {
            parser.parse_text(reference)?;
        }
        let root = parser.parse_text(&text.schema)?;
        Ok(Self { nodes: parser.nodes, root })
    }

    /// The type of that number.
    #[inline(always)]
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id]
    }
}

struct Parser {
    nodes: Vec<Node>,
    /// Named types by their full names.
    names: HashMap<String, NodeId>,
}

impl Parser {
    fn parse_text(&mut self, text: &str) -> Result<NodeId, String> {
        // serde_json stops at 128 levels, and so does this.
        let value: Value = serde_json::from_str(text).or_else(|error| match text {
            // Some registries hand the name of a primitive type out as it is.
            name if name.chars().all(|c| c.is_ascii_alphanumeric()) => Ok(Value::String(name.to_owned())),
            _ => Err(format!("the schema is no JSON: {error}")),
        })?;
        self.parse(&value, "")
    }

    fn add(&mut self, node: Node) -> NodeId {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    fn parse(&mut self, schema: &Value, namespace: &str) -> Result<NodeId, String> {
        match schema {
            Value::String(name) => match primitive(name) {
                Some(node) => Ok(self.add(node)),
                None => self.named(name, namespace),
            },
            Value::Array(branches) => {
                let branches = branches.iter().map(|branch| self.parse(branch, namespace));
                let branches = branches.collect::<Result<Vec<_>, _>>()?;
                if branches.iter().any(|branch| matches!(self.nodes[*branch], Node::Union(_))) {
                    return Err("the schema has a union in a union".to_owned());
                }
                Ok(self.add(Node::Union(branches)))
            }
            Value::Object(schema) => self.complex(schema, namespace),
            _ => Err("the schema has something else in it than types".to_owned()),
        }
    }

    /// A type that was defined before.
    fn named(&self, name: &str, namespace: &str) -> Result<NodeId, String> {
        let full = full_name(name, namespace);
        let found = self.names.get(&full).or_else(|| self.names.get(name));
        found.copied().ok_or_else(|| format!("the schema names a type `{name}` that it doesn't define"))
    }

    fn complex(&mut self, schema: &Map<String, Value>, namespace: &str) -> Result<NodeId, String> {
        let kind = match schema.get("type") {
            Some(Value::String(kind)) => kind.as_str(),
            Some(inner) => return self.parse(inner, namespace),
            None => return Err("the schema has a type without a `type`".to_owned()),
        };
        match kind {
            "array" => {
                let items = self.part(schema, "items", namespace)?;
                Ok(self.add(Node::Array(items)))
            }
            "map" => {
                let values = self.part(schema, "values", namespace)?;
                Ok(self.add(Node::Map(values)))
            }
            "record" | "error" => self.record(schema, namespace),
            "enum" => {
                let symbols = schema.get("symbols").and_then(Value::as_array).into_iter().flatten();
                let symbols = symbols.filter_map(|symbol| symbol.as_str().map(str::to_owned)).collect();
                self.define(schema, namespace, Node::Enum(symbols)).map(|(id, _)| id)
            }
            "fixed" => {
                let size = schema.get("size").and_then(Value::as_u64).and_then(|size| usize::try_from(size).ok());
                let size = size.ok_or("the schema has a `fixed` without a `size`")?;
                let node = match logical_type(schema) {
                    "decimal" => decimal(schema, Some(size)).unwrap_or(Node::Fixed(size)),
                    "uuid" if size == 16 => Node::Uuid,
                    "duration" if size == 12 => Node::Duration,
                    _ => Node::Fixed(size),
                };
                self.define(schema, namespace, node).map(|(id, _)| id)
            }
            _ => match primitive(kind) {
                Some(node) => Ok(self.add(meaning(kind, schema).unwrap_or(node))),
                None => self.named(kind, namespace),
            },
        }
    }

    /// The type under that key of another one.
    fn part(&mut self, schema: &Map<String, Value>, key: &str, namespace: &str) -> Result<NodeId, String> {
        let part = schema.get(key).ok_or_else(|| format!("the schema has a type without its `{key}`"))?;
        self.parse(part, namespace)
    }

    /// Adds a named type; returns the namespace of what is inside of it, too.
    fn define(&mut self, schema: &Map<String, Value>, outer: &str, node: Node) -> Result<(NodeId, String), String> {
        let name = schema.get("name").and_then(Value::as_str).ok_or("the schema has a type without a name")?;
        let namespace = schema.get("namespace").and_then(Value::as_str).unwrap_or(outer);
        let full = full_name(name, namespace);
        let inner = full.rsplit_once('.').map_or(String::new(), |(namespace, _)| namespace.to_owned());
        let id = self.add(node);
        match self.names.insert(full, id) {
            None => Ok((id, inner)),
            Some(_) => Err(format!("the schema defines `{name}` twice")),
        }
    }

    fn record(&mut self, schema: &Map<String, Value>, namespace: &str) -> Result<NodeId, String> {
        // Known by name before its fields are, which may be of its own type.
        let (id, namespace) = self.define(schema, namespace, Node::Record(Vec::new()))?;
        let given = schema.get("fields").and_then(Value::as_array).ok_or("the schema has a record without fields")?;
        let mut fields: Vec<Field> = Vec::with_capacity(given.len());
        for field in given {
            let name = field.get("name").and_then(Value::as_str).ok_or("the schema has a field without a name")?;
            let kind = field.get("type").ok_or_else(|| format!("the schema's field `{name}` has no type"))?;
            if fields.iter().any(|other| other.name == name) {
                return Err(format!("the schema has two fields `{name}` in one record"));
            }
            let aliases = field.get("aliases").and_then(Value::as_array).into_iter().flatten();
            fields.push(Field {
                name: name.to_owned(),
                aliases: aliases.filter_map(|alias| alias.as_str().map(str::to_owned)).collect(),
                node: self.parse(kind, &namespace)?,
                default: field.get("default").cloned(),
            });
        }
        self.nodes[id] = Node::Record(fields);
        Ok(id)
    }
}

fn primitive(name: &str) -> Option<Node> {
    Some(match name {
        "null" => Node::Null,
        "boolean" => Node::Boolean,
        "int" => Node::Int,
        "long" => Node::Long,
        "float" => Node::Float,
        "double" => Node::Double,
        "bytes" => Node::Bytes,
        "string" => Node::String,
        _ => return None,
    })
}

fn logical_type(schema: &Map<String, Value>) -> &str {
    schema.get("logicalType").and_then(Value::as_str).unwrap_or_default()
}

/// What a primitive type means; `None` for nothing more than it is. A meaning that doesn't fit its type doesn't count.
fn meaning(kind: &str, schema: &Map<String, Value>) -> Option<Node> {
    Some(match (kind, logical_type(schema)) {
        ("int", "date") => Node::Date,
        ("int", "time-millis") => Node::Time(1_000),
        ("long", "time-micros") => Node::Time(1_000_000),
        ("long", "timestamp-millis" | "local-timestamp-millis") => Node::Timestamp(1_000),
        ("long", "timestamp-micros" | "local-timestamp-micros") => Node::Timestamp(1_000_000),
        ("long", "timestamp-nanos" | "local-timestamp-nanos") => Node::Timestamp(1_000_000_000),
        ("bytes", "decimal") => return decimal(schema, None),
        _ => return None,
    })
}

fn decimal(schema: &Map<String, Value>, size: Option<usize>) -> Option<Node> {
    let number = |key| schema.get(key).and_then(Value::as_u64);
    let (precision, scale) = (number("precision")?, number("scale").unwrap_or(0));
    (precision > 0 && scale <= precision && scale <= 38).then_some(Node::Decimal { size, scale: scale as usize })
}

fn full_name(name: &str, namespace: &str) -> String {
    if name.contains('.') || namespace.is_empty() { name.to_owned() } else { format!("{namespace}.{name}") }
}
