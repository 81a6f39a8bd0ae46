//! What to do with data of one schema: which of its fields go to which columns, which are passed over, which are missing.

use std::sync::Arc;

use super::cursor::{Broken, Cursor};
use super::value::{self, Fault};
use crate::avro::{Node, NodeId, Schema};
use crate::decode::builder::Column;
use crate::decode::reason::cut;

/// What a datum is called that isn't a record, as if it were the one field of one.
pub(super) const VALUE: &str = "value";

/// What a column reads.
#[derive(Debug, Clone)]
pub(in crate::decode) struct Target {
    /// The field; `None` for the whole datum.
    pub field: Option<String>,
    /// Names that the field had in older schemas.
    pub aliases: Vec<String>,
    /// The column's index.
    pub column: usize,
    /// What it is where the writer knew of no such field.
    pub default: Option<Default>,
}

/// A default out of a schema, in Avro.
#[derive(Debug, Clone)]
pub(in crate::decode) struct Default {
    pub schema: Arc<Schema>,
    pub node: NodeId,
    pub bytes: Vec<u8>,
}

/// What to do with data of one schema.
#[derive(Debug)]
pub(super) struct Plan {
    schema: Arc<Schema>,
    /// Columns that take the datum as a whole.
    whole: Vec<usize>,
    shape: Shape,
}

#[derive(Debug)]
enum Shape {
    /// One after another, each to its column if one reads it; then the defaults of what is missing.
    Fields { fields: Vec<(NodeId, Option<usize>)>, missing: Vec<(usize, Default)> },
    /// The shape of each branch.
    Union(Vec<Shape>),
}

/// What is wrong with a datum, and where.
#[derive(Debug)]
pub(super) struct FaultAt {
    fault: Fault,
    column: Option<usize>,
}

impl Plan {
    pub fn new(schema: Arc<Schema>, targets: &[Target]) -> Self {
        let whole = targets.iter().filter(|target| target.field.is_none()).map(|target| target.column).collect();
        let shape = shape(&schema, schema.root, targets);
        Self { schema, whole, shape }
    }

    /// Reads a datum into its columns.
    pub fn read(&self, bytes: &[u8], columns: &mut [Column], scratch: &mut Vec<u8>) -> Result<(), FaultAt> {
        for &column in &self.whole {
            let mut cursor = Cursor::new(bytes);
            value::read(&self.schema, self.schema.root, &mut cursor, &mut columns[column], scratch)
                .map_err(|fault| FaultAt { fault, column: Some(column) })?;
        }
        let mut cursor = Cursor::new(bytes);
        self.read_shape(&self.shape, &mut cursor, columns, scratch)?;
        cursor.end().map_err(FaultAt::nowhere)
    }

    fn read_shape(
        &self,
        shape: &Shape,
        cursor: &mut Cursor<'_>,
        columns: &mut [Column],
        scratch: &mut Vec<u8>,
    ) -> Result<(), FaultAt> {
        match shape {
            Shape::Fields { fields, missing } => {
                for &(node, column) in fields {
                    match column {
                        Some(column) => value::read(&self.schema, node, cursor, &mut columns[column], scratch)
                            .map_err(|fault| FaultAt { fault, column: Some(column) })?,
                        None => cursor.skip(&self.schema, node, 0).map_err(FaultAt::nowhere)?,
                    }
                }
                for (column, default) in missing {
                    let mut cursor = Cursor::new(&default.bytes);
                    value::read(&default.schema, default.node, &mut cursor, &mut columns[*column], scratch)
                        .map_err(|fault| FaultAt { fault, column: Some(*column) })?;
                }
                Ok(())
            }
            Shape::Union(shapes) => {
                let branch = cursor.long().map_err(FaultAt::nowhere)?;
                let shape = usize::try_from(branch).ok().and_then(|branch| shapes.get(branch));
                let shape = shape.ok_or_else(|| FaultAt::nowhere(Broken::Branch(branch)))?;
                self.read_shape(shape, cursor, columns, scratch)
            }
        }
    }
}

fn shape(schema: &Schema, node: NodeId, targets: &[Target]) -> Shape {
    let fields = match schema.node(node) {
        Node::Union(branches) => {
            return Shape::Union(branches.iter().map(|branch| shape(schema, *branch, targets)).collect());
        }
        Node::Record(fields) => fields.iter().map(|field| (field.name.as_str(), field.node)).collect(),
        _ => vec![(VALUE, node)],
    };
    let is_there = |name: &str| fields.iter().any(|(field, _)| *field == name);
    let reader = |name: &str| {
        let by_name = targets.iter().find(|target| target.field.as_deref() == Some(name));
        // By an older name only where the writer didn't use the newer one.
        by_name.or_else(|| {
            targets.iter().find(|target| {
                target.aliases.iter().any(|alias| alias == name) && !target.field.as_deref().is_some_and(is_there)
            })
        })
    };
    let mut read: Vec<usize> = Vec::new();
    let fields: Vec<(NodeId, Option<usize>)> = fields
        .iter()
        .map(|(name, node)| {
            // Of several older names the first counts.
            let column = reader(name).map(|target| target.column).filter(|column| !read.contains(column));
            read.extend(column);
            (*node, column)
        })
        .collect();
    let missing = targets.iter().filter(|target| !read.contains(&target.column));
    let missing = missing.filter_map(|target| Some((target.column, target.default.clone()?))).collect();
    Shape::Fields { fields, missing }
}

impl FaultAt {
    fn nowhere(broken: Broken) -> Self {
        Self { fault: broken.into(), column: None }
    }

    /// The reason to give; the data are said to be of schema `id`.
    #[cold]
    pub fn in_words(self, id: u32, columns: &[Column]) -> String {
        match (self.fault, self.column.map(|column| &columns[column])) {
            (Fault::Wrong(wrong, found), Some(column)) => column.reason(wrong, &found),
            (Fault::Unfit(found), Some(column)) => format!("column {}: {found}", cut(column.name())),
            (Fault::Broken(broken), Some(column)) => {
                format!("not Avro of schema {id}: column {}: {broken}", cut(column.name()))
            }
            (Fault::Broken(broken), None) => format!("not Avro of schema {id}: {broken}"),
            (Fault::Wrong(_, found) | Fault::Unfit(found), None) => found,
        }
    }
}
