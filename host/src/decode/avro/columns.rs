//! Columns out of the schemas of a registry, for pipelines that declare none.

use std::sync::Arc;

use indexmap::IndexMap;
use indexmap::map::Entry;

use super::plan::{Default, VALUE};
use crate::avro::{Field, Node, NodeId, Schema, SchemaText};
use crate::decode::DecodeError;
use crate::decode::options::{AvroOptions, ColumnOptions, KEY_FIELDS};

/// A column, and what the schema says about it that pipelines.toml can't.
#[derive(Debug)]
pub(in crate::decode) struct Derived {
    pub options: ColumnOptions,
    pub aliases: Vec<String>,
    pub default: Option<Default>,
    /// How many of the schemas have it.
    seen: usize,
}

/// What the columns of a field are called, and what they read.
type Naming = fn(&str) -> (String, Option<String>);

/// The columns of the newest schemas: of keys if `keys`, then of values.
pub(in crate::decode) fn derive(options: &AvroOptions, keys: bool) -> Result<IndexMap<String, Derived>, DecodeError> {
    let mut all = IndexMap::new();
    if keys {
        let key_field: Naming = |field| (format!("key_{field}"), Some(format!("{KEY_FIELDS}{field}")));
        let schemas = options.newest.iter().map(|newest| (newest.topic.as_str(), newest.key.as_ref()));
        add_all(schemas, key_field, &|_| ("_key".to_owned(), None), &mut all)?;
    }
    let mut values = IndexMap::new();
    let field: Naming = |field| (field.to_owned(), Some(field.to_owned()));
    let schemas = options.newest.iter().map(|newest| (newest.topic.as_str(), Some(&newest.value)));
    add_all(schemas, field, &field, &mut values)?;
    for (name, column) in values {
        if all.insert(name.clone(), column).is_some() {
            return Err(clash(&name, "a field of the value, and what a field of the key would be called"));
        }
    }
    Ok(all)
}

fn add_all<'a>(
    schemas: impl Iterator<Item = (&'a str, Option<&'a SchemaText>)>,
    field: Naming,
    whole: &dyn Fn(&str) -> (String, Option<String>),
    all: &mut IndexMap<String, Derived>,
) -> Result<(), DecodeError> {
    let mut count = 0;
    for (topic, text) in schemas {
        let Some(text) = text else { continue };
        let schema = Schema::parse(text).map_err(|reason| problem(format!("topic {topic}: {reason}")))?;
        let schema = Arc::new(schema);
        let branches = match schema.node(schema.root) {
            Node::Union(branches) => branches.clone(),
            _ => vec![schema.root],
        };
        for branch in branches {
            match schema.node(branch) {
                Node::Null => {}
                Node::Record(fields) => {
                    for one in fields {
                        add(field(&one.name), one, &schema, topic, all)?;
                    }
                }
                _ => {
                    let one = Field { name: VALUE.to_owned(), aliases: Vec::new(), node: branch, default: None };
                    add(whole(VALUE), &one, &schema, topic, all)?;
                }
            }
            count += 1;
        }
    }
    for column in all.values_mut().filter(|column| column.seen < count) {
        // Data of the schemas that haven't got it have nothing there.
        column.options.nullable = true;
        column.default = None;
    }
    Ok(())
}

fn add(
    (name, from): (String, Option<String>),
    field: &Field,
    schema: &Arc<Schema>,
    topic: &str,
    all: &mut IndexMap<String, Derived>,
) -> Result<(), DecodeError> {
    let (data_type, nullable) = column_type(schema, field.node);
    let mut column = Derived {
        options: ColumnOptions { from, nullable, ..ColumnOptions::new(data_type) },
        aliases: field.aliases.clone(),
        default: default(schema, field),
        seen: 1,
    };
    // A default that isn't of the field's type is none.
    column.options.nullable |= column.default.is_none() && field.default.is_some();
    match all.entry(name) {
        Entry::Vacant(place) => drop(place.insert(column)),
        Entry::Occupied(mut place) => {
            let other = place.get_mut();
            let Some(both) = wider(&other.options.data_type, data_type) else {
                let types = format!("`{}`, and `{data_type}` in topic {topic}", other.options.data_type);
                return Err(clash(place.key(), &types));
            };
            other.options.data_type = both.to_owned();
            other.options.nullable |= nullable;
            other.default = None;
            other.seen += 1;
        }
    }
    Ok(())
}

/// A default as the data would have it; none for null.
fn default(schema: &Arc<Schema>, field: &Field) -> Option<Default> {
    let value = field.default.as_ref().filter(|value| !value.is_null())?;
    let mut bytes = Vec::new();
    schema.encode_as(field.node, value, &mut bytes).ok()?;
    Some(Default { schema: Arc::clone(schema), node: field.node, bytes })
}

/// The type of a column for data of that type, and whether they can be null.
fn column_type(schema: &Schema, node: NodeId) -> (&'static str, bool) {
    let data_type = match schema.node(node) {
        Node::Null => return ("utf8", true),
        Node::Boolean => "boolean",
        Node::Int => "int32",
        Node::Long => "int64",
        Node::Float => "float32",
        Node::Double => "float64",
        Node::Bytes | Node::Fixed(_) => "binary",
        Node::Date => "date",
        Node::Timestamp(_) => "timestamp",
        Node::String
        | Node::Enum(_)
        | Node::Uuid
        | Node::Time(_)
        | Node::Decimal { .. }
        | Node::Duration
        | Node::Array(_)
        | Node::Map(_)
        | Node::Record(_) => "utf8",
        Node::Union(branches) => {
            let is_null = |branch: &&NodeId| matches!(schema.node(**branch), Node::Null);
            let types = branches.iter().filter(|branch| !is_null(branch)).map(|branch| column_type(schema, *branch).0);
            // Text takes all there is.
            let both = types.map(Some).reduce(|one, other| wider(one?, other?)).flatten();
            return (both.unwrap_or("utf8"), branches.iter().any(|branch| is_null(&branch)));
        }
    };
    (data_type, false)
}

/// The type that takes what either takes, by Avro's promotions.
fn wider(one: &str, other: &str) -> Option<&'static str> {
    const NUMBERS: [&str; 4] = ["int32", "int64", "float32", "float64"];
    let rank = |name: &str| NUMBERS.iter().position(|number| *number == name);
    match (rank(one), rank(other)) {
        (Some(one), Some(other)) if one == other => Some(NUMBERS[one]),
        (Some(one), Some(other)) if one.max(other) < 2 => Some(NUMBERS[one.max(other)]),
        (Some(_), Some(_)) => Some("float64"),
        _ if one == other => crate::batch::COLUMN_TYPES.into_iter().find(|name| *name == one),
        _ => None,
    }
}

fn clash(name: &str, what: &str) -> DecodeError {
    problem(format!("the schemas make the column `{name}` twice: {what}; declare `columns`"))
}

fn problem(problem: String) -> DecodeError {
    DecodeError { column: None, key: None, problem }
}
