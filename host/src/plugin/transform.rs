//! One transform of one pipeline on one thread: opened once, then applied to batch after batch.

use std::sync::Arc;

use super::bindings::TransformPluginPre;
use super::bindings::rillgate::plugin::common::Error;
use super::columns::lower;
use super::instance::{BatchTime, Host, Instance};
use super::log;
use super::returned::{Applied, take};
use super::tables::{Table, describe, lower_schema, take_tables};
use super::{ApplyError, Kind, Limits, Plugin, PluginError, native};
use crate::batch::{RecordBatch, SchemaRef};

/// Shorter values of settings are too common to be taken out of messages.
const SECRET_BYTES: usize = 6;
/// Said for a plugin that fails and doesn't say why.
const NO_REASON: &str = "an error without a reason";

/// A transform with its settings, its input and the tables that it writes.
///
/// It belongs to a thread, not to a task: nothing is kept in it between calls but what the plugin caches.
pub struct Transform {
    plugin: Arc<Plugin>,
    pre: TransformPluginPre<Host>,
    limits: Limits,
    settings: Vec<(String, String)>,
    input: SchemaRef,
    tables: Vec<Table>,
    /// `None` after it failed or grew: the next batch gets a fresh one.
    instance: Option<Instance>,
    /// Called instead, in a benchmark.
    native: Option<native::Apply>,
}

impl Transform {
    /// Offers a plugin the columns of its input and its settings, and takes note of the tables that it will write.
    ///
    /// # Errors
    /// What the plugin doesn't accept, a plugin that isn't a transform or that fails in `open`, and tables that can't be.
    pub fn open(
        plugin: &Arc<Plugin>,
        limits: &Limits,
        settings: &[(String, String)],
        input: &SchemaRef,
    ) -> Result<Self, PluginError> {
        let path = || plugin.path.clone();
        if plugin.kind != Kind::Transform {
            let reason = "it is an aggregate, and is asked for as a transform".to_owned();
            return Err(PluginError::Unloadable { path: path(), reason });
        }
        let pre = TransformPluginPre::new(plugin.pre.clone())
            .map_err(|error| PluginError::Unloadable { path: path(), reason: format!("{error:#}") })?;
        let mut transform = Self {
            plugin: Arc::clone(plugin),
            pre,
            limits: limits.clone(),
            settings: settings.to_vec(),
            input: Arc::clone(input),
            tables: Vec::new(),
            instance: None,
            native: None,
        };
        let (instance, tables) = transform.instantiate()?;
        transform.instance = Some(instance);
        if let [table] = tables.as_slice() {
            transform.native = native::opened(input, settings, &table.schema);
        }
        transform.tables = tables;
        Ok(transform)
    }

    /// The tables that the plugin writes, in the order of [`Applied::batches`]. One is `main`.
    pub fn tables(&self) -> &[Table] {
        &self.tables
    }

    /// The plugin.
    pub fn plugin(&self) -> &Arc<Plugin> {
        &self.plugin
    }

    /// Gives the plugin a batch of the columns it was opened with.
    ///
    /// # Errors
    /// When the call failed as a whole, and nothing came out. The transform can be used again.
    pub fn apply(&mut self, batch: &RecordBatch, now: BatchTime) -> Result<Applied, ApplyError> {
        let rows = batch.num_rows();
        if rows == 0 {
            let batches = self.tables.iter().map(|table| RecordBatch::new_empty(Arc::clone(&table.schema)));
            return Ok(Applied { batches: batches.collect(), rejected: Vec::new() });
        }
        self.check_input(batch)?;
        if let Some(native) = &mut self.native {
            return Ok(native(batch));
        }
        let mut instance = match self.instance.take() {
            Some(instance) => instance,
            None => self.reopen()?,
        };
        // After an error from here on the instance is dropped, but for those that it returned by itself.
        let output = lower(batch, |batch| instance.apply(batch, now)).map_err(ApplyError::Failed)??;
        if instance.has_grown() {
            tracing::debug!(plugin = %self.plugin.path.display(), "replacing an instance that uses over half of its memory");
        } else {
            self.instance = Some(instance);
        }
        let output = output.map_err(|error| ApplyError::Failed(words(error)))?;
        take(&self.tables, rows as u32, output).map_err(|wrong| {
            // What returns nonsense may be in a state to do so again.
            self.instance = None;
            ApplyError::Invalid(wrong)
        })
    }

    /// The plugin indexes its columns by what it was told in `open`.
    fn check_input(&self, batch: &RecordBatch) -> Result<(), ApplyError> {
        let schema = batch.schema_ref();
        let same = |(a, b): (&Arc<_>, &Arc<crate::batch::Field>)| -> bool {
            let a: &crate::batch::Field = a;
            a.data_type() == b.data_type() && a.name() == b.name()
        };
        let (given, opened) = (schema.fields(), self.input.fields());
        match Arc::ptr_eq(schema, &self.input) || given.len() == opened.len() && given.iter().zip(opened).all(same) {
            true => Ok(()),
            false => Err(ApplyError::Failed(format!(
                "the plugin was opened for the columns {} and given {}",
                describe(&self.input),
                describe(schema)
            ))),
        }
    }

    /// A fresh instance that announces what the first did.
    fn reopen(&self) -> Result<Instance, ApplyError> {
        let (instance, tables) = self.instantiate().map_err(|error| ApplyError::Reopen(error.to_string()))?;
        match tables == self.tables {
            true => Ok(instance),
            false => Err(ApplyError::Reopen(format!(
                "{} announces other tables than when it was first opened, for the same input and settings",
                self.plugin.path.display()
            ))),
        }
    }

    fn instantiate(&self) -> Result<(Instance, Vec<Table>), PluginError> {
        let path = || self.plugin.path.clone();
        let failed = |reason: String| PluginError::Open { path: path(), reason };
        let fields = lower_schema(&self.input).map_err(failed)?;
        let settings: Vec<_> = self.settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let mut instance = Instance::new(&self.plugin, &self.pre, &self.limits)
            .map_err(|error| failed(self.redact(error.to_string())))?;
        let announced = instance.open(&fields, &settings).map_err(|error| failed(self.redact(error.to_string())))?;
        let announced = announced.map_err(|error| match error {
            Error::InvalidSetting(reason) => {
                let names: Vec<_> = settings.iter().map(|(name, _)| *name).collect();
                let names = if names.is_empty() { String::new() } else { format!(" ({})", names.join(", ")) };
                PluginError::InvalidSetting { path: path(), reason: self.redact(reason), names }
            }
            Error::UnsupportedSchema(reason) => PluginError::UnsupportedSchema {
                path: path(),
                reason: self.redact(reason),
                columns: describe(&self.input),
            },
            Error::Other(reason) => failed(self.redact(reason)),
        })?;
        let tables = take_tables(announced).map_err(|reason| PluginError::InvalidTables { path: path(), reason })?;
        Ok((instance, tables))
    }

    /// A plugin's words about its settings without their values, which may be secrets. The names are enough.
    fn redact(&self, words: String) -> String {
        let values = self.settings.iter().map(|(_, value)| value).filter(|value| value.len() >= SECRET_BYTES);
        log::reason(&values.fold(words, |words, value| words.replace(value.as_str(), "***")), NO_REASON)
    }
}

/// An error that `apply` returned.
fn words(error: Error) -> String {
    let words = match error {
        Error::Other(words) => words,
        Error::InvalidSetting(words) => format!("invalid setting: {words}"),
        Error::UnsupportedSchema(words) => format!("unsupported schema: {words}"),
    };
    log::reason(&words, NO_REASON)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{batch, guest, identity, limits, now, open};
    use super::*;

    #[test]
    fn an_instance_that_announces_other_tables_than_the_first_is_not_used() {
        let mut transform = open(&guest(&identity("", "", "")), &limits()).unwrap();
        // As if the first had announced less.
        transform.tables.clear();
        transform.instance = None;
        let error = transform.apply(&batch(9), now()).unwrap_err();
        assert!(matches!(&error, ApplyError::Reopen(_)));
        assert!(error.to_string().contains("announces other tables than when it was first opened"), "{error}");
    }
}
