//! The file of cases as it is written.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::sync::Arc;

use indexmap::IndexMap;
use serde::Deserialize;

use super::super::json::Row;
use crate::batch::{COLUMN_TYPES, Field, Schema, SchemaRef, data_type};
use crate::config::Properties;

/// Cases are written by hand.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Rows that go in, and what must come out.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    /// What it is about.
    pub(super) name: String,
    /// In place of those that the pipeline has.
    settings: Option<Properties>,
    /// Names and types of the columns of `input`, in place of those that the plugin gets in the pipeline.
    columns: Option<IndexMap<String, String>>,
    pub(super) input: Vec<Row>,
    /// By output; one that isn't named has no rows.
    #[serde(default)]
    pub(super) output: IndexMap<String, Vec<Row>>,
    #[serde(default)]
    pub(super) rejected: Vec<Expected>,
}

/// A row of the input that must be rejected.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expected {
    /// Its index in `input`.
    pub(super) row: u32,
    /// For this reason; `None`: for any.
    pub(super) reason: Option<String>,
}

impl Case {
    /// The settings, where the pipeline has these.
    pub(super) fn settings(&self, of_pipeline: &[(String, String)]) -> Vec<(String, String)> {
        match &self.settings {
            None => of_pipeline.to_vec(),
            Some(own) => own.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
        }
    }

    /// The columns of the input, where the pipeline has these.
    pub(super) fn columns(&self, of_pipeline: &SchemaRef) -> Result<SchemaRef, String> {
        let Some(own) = &self.columns else { return Ok(Arc::clone(of_pipeline)) };
        let field = |(name, given): (&String, &String)| {
            let of_type = given.strip_suffix(" not null");
            let data_type = data_type(of_type.unwrap_or(given)).ok_or_else(|| {
                let types = COLUMN_TYPES.join(", ");
                format!("`columns`: `{name}` is {given:?}, which is none of {types}, each with or without `not null`")
            })?;
            Ok(Field::new(name, data_type, of_type.is_none()))
        };
        Ok(Arc::new(Schema::new(own.iter().map(field).collect::<Result<Vec<_>, String>>()?)))
    }
}

/// The cases beside a plugin; none, if there is no such file.
pub(super) fn read(plugin: &Path) -> Result<Vec<Case>, String> {
    let path = super::path(plugin);
    let wrong = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(wrong(&error)),
    };
    let mut text = Vec::new();
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut text).map_err(|error| wrong(&error))?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(wrong(&format_args!("it has more than {} KiB", MAX_FILE_BYTES >> 10)));
    }
    serde_json::from_slice(&text).map_err(|error| wrong(&error))
}
