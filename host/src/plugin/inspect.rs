//! What can be told about a plugin without running it on data: for `rillgate plugin inspect`.

use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;

use super::load::Kind;
use super::{Aggregate, Plugin, Transform};
use crate::batch::{Schema, SchemaRef, type_name};

/// A plugin, described.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Inspection {
    /// The file that it was loaded from.
    pub path: PathBuf,
    /// Transform or aggregate.
    pub kind: Kind,
    /// SHA-256 of the file, in hexadecimal: the plugin's identity in dead letters and commits.
    pub digest: String,
    /// Size of the file in bytes.
    pub bytes: u64,
    /// Size of its compiled code and data in bytes.
    pub compiled_bytes: u64,
    /// What it exports.
    pub exports: Vec<String>,
    /// What it imports.
    pub imports: Vec<String>,
    /// The tables that it announces, if it was opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tables: Option<Vec<InspectedTable>>,
}

/// A table that a plugin announces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InspectedTable {
    /// `main` or the name of another output; of an aggregate `state` and `output`.
    pub name: String,
    /// Its columns.
    pub columns: Vec<InspectedColumn>,
}

/// A column of such a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InspectedColumn {
    /// Its name.
    pub name: String,
    /// Its type, as pipelines.toml has it.
    #[serde(rename = "type")]
    pub data_type: &'static str,
    /// Whether rows may lack a value.
    pub nullable: bool,
}

/// Describes a plugin. None of its code runs.
pub fn inspect(plugin: &Plugin) -> Inspection {
    let engine = plugin.engine.wasm();
    let component = plugin.component.component_type();
    let image = plugin.component.image_range();
    Inspection {
        path: plugin.path.clone(),
        kind: plugin.kind,
        digest: plugin.digest.clone(),
        bytes: plugin.bytes,
        compiled_bytes: (image.end as usize).saturating_sub(image.start as usize) as u64,
        exports: component.exports(engine).map(|(name, _)| name.to_owned()).collect(),
        imports: component.imports(engine).map(|(name, _)| name.to_owned()).collect(),
        tables: None,
    }
}

/// Describes a transform and the tables that it announced.
pub fn inspect_transform(transform: &Transform) -> Inspection {
    opened(transform.plugin(), transform.tables().iter().map(|table| (table.name.as_str(), &table.schema)))
}

/// Describes an aggregate and what it announced: the tables `state` and `output`.
pub fn inspect_aggregate(aggregate: &Aggregate) -> Inspection {
    opened(aggregate.plugin(), [("state", aggregate.state()), ("output", aggregate.output())].into_iter())
}

fn opened<'a>(plugin: &Plugin, tables: impl Iterator<Item = (&'a str, &'a SchemaRef)>) -> Inspection {
    let tables = tables.map(|(name, schema)| InspectedTable::new(name, schema)).collect();
    Inspection { tables: Some(tables), ..inspect(plugin) }
}

impl InspectedTable {
    fn new(name: &str, schema: &Schema) -> Self {
        let column = |field: &Arc<crate::batch::Field>| InspectedColumn {
            name: field.name().clone(),
            // Tables of plugins have only columns of types with names.
            data_type: type_name(field.data_type()).unwrap_or_default(),
            nullable: field.is_nullable(),
        };
        Self { name: name.to_owned(), columns: schema.fields().iter().map(column).collect() }
    }
}
