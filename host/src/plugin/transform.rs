//! One transform of one pipeline on one thread: opened once, then applied to batch after batch.

use std::sync::Arc;

use wasmtime::Store;
use wasmtime::component::{self, InstancePre};

use super::bindings::exports::rillgate::plugin::transform::{Guest, GuestIndices, OutputTable};
use super::bindings::rillgate::plugin::common::Error;
use super::bindings::rillgate::plugin::table::FieldParam;
use super::columns::lower;
use super::failed::{Call, Columns, FailedCall};
use super::instance::{BatchTime, Host};
use super::opened::{Exports, Offer, Opened, check_columns};
use super::returned::{Applied, take};
use super::tables::{Table, take_tables};
use super::{ApplyError, Kind, Limits, Plugin, PluginError, native};
use crate::batch::{RecordBatch, Schema, SchemaRef};

/// A transform with its settings, its input and the tables that it writes.
///
/// It belongs to a thread, not to a task: nothing is kept in it between calls but what the plugin caches.
pub struct Transform {
    opened: Opened<Guest>,
    /// Called instead, in a benchmark.
    native: Option<native::Apply>,
}

impl Exports for Guest {
    const KIND: Kind = Kind::Transform;
    type Indices = GuestIndices;
    type Announced = Vec<OutputTable>;
    type Plan = Vec<Table>;

    fn find(pre: &InstancePre<Host>, _plugin: &Plugin) -> wasmtime::Result<GuestIndices> {
        GuestIndices::new(pre)
    }
    fn load(indices: &GuestIndices, store: &mut Store<Host>, instance: &component::Instance) -> wasmtime::Result<Self> {
        indices.load(store, instance)
    }
    fn open(
        &self,
        store: &mut Store<Host>,
        input: &[FieldParam],
        _groups: &[FieldParam],
        settings: &[(&str, &str)],
    ) -> wasmtime::Result<Result<Vec<OutputTable>, Error>> {
        self.call_open(store, input, settings)
    }
    fn take(announced: Vec<OutputTable>) -> Result<Vec<Table>, String> {
        take_tables(announced)
    }
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
        let offer = Offer {
            limits: limits.clone(),
            settings: settings.to_vec(),
            input: Arc::clone(input),
            groups: Arc::new(Schema::empty()),
        };
        let opened: Opened<Guest> = Opened::new(plugin, offer)?;
        let native = match opened.plan().as_slice() {
            [table] => native::opened(input, settings, &table.schema),
            _ => None,
        };
        Ok(Self { opened, native })
    }

    /// The tables that the plugin writes, in the order of [`Applied::batches`]. One is `main`.
    pub fn tables(&self) -> &[Table] {
        self.opened.plan()
    }

    /// How many instances had to be replaced because their memory had grown.
    pub fn grown(&self) -> u64 {
        self.opened.grown()
    }

    /// The plugin.
    pub fn plugin(&self) -> &Arc<Plugin> {
        self.opened.plugin()
    }

    /// Gives the plugin a batch of the columns it was opened with.
    ///
    /// # Errors
    /// When the call failed as a whole, and nothing came out. The transform can be used again.
    pub fn apply(&mut self, batch: &RecordBatch, now: BatchTime) -> Result<Applied, ApplyError> {
        if batch.num_rows() == 0 {
            let batches = self.tables().iter().map(|table| RecordBatch::new_empty(Arc::clone(&table.schema)));
            return Ok(Applied { batches: batches.collect(), rejected: Vec::new() });
        }
        check_columns(&self.opened.offer().input, batch)?;
        if let Some(native) = &mut self.native {
            return Ok(native(batch));
        }
        let applied = self.call(batch, now);
        self.opened.noted(applied, now, || Call::Apply { rows: Columns(batch.clone()) })
    }

    fn call(&mut self, batch: &RecordBatch, now: BatchTime) -> Result<Applied, ApplyError> {
        let opened = &mut self.opened;
        let output = lower(batch, |batch| opened.call(now, |guest, store| guest.call_apply(store, batch)))
            .map_err(ApplyError::Failed)??;
        take(self.opened.plan(), batch.num_rows() as u32, output, self.opened.secrets())
            .map_err(|wrong| self.opened.invalid(wrong))
    }

    /// The smallest call that has failed since this was last asked.
    pub(super) fn take_failed(&mut self) -> Option<FailedCall> {
        self.opened.take_failed()
    }
}
