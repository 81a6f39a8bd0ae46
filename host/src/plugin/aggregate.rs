//! One aggregate of one pipeline on one thread: folds rows into the states of their groups, and makes rows of states. The states are
//! the host's: they go in and come out as columns, and nothing of them stays here.

use std::sync::Arc;

use wasmtime::Store;
use wasmtime::component::{self, InstancePre};

use super::bindings::exports::rillgate::plugin::aggregate::{Guest, GuestIndices, Plan};
use super::bindings::exports::rillgate::plugin::state_migration;
use super::bindings::rillgate::plugin::common::Error;
use super::bindings::rillgate::plugin::table::{BatchParam, BatchResult, FieldParam};
use super::columns::lower;
use super::failed::{Call, Columns, FailedCall};
use super::instance::{BatchTime, Host};
use super::opened::{Exports, Offer, Opened, check_columns};
use super::returned::{Updated, batch, take_states, take_updated};
use super::tables::{Table, lower_schema, take_table};
use super::{ApplyError, Kind, Limits, Plugin, PluginError};
use crate::batch::{RecordBatch, SchemaRef};

/// An aggregate with its settings, its input, and the columns of its states and of what comes out.
///
/// It belongs to a thread, not to a task: nothing is kept in it between calls but what the plugin caches. After an error it can be used
/// again; nothing of the call that failed has gone anywhere, so the states are as they were.
pub struct Aggregate {
    opened: Opened<Exported>,
}

/// What an aggregate exports.
pub(super) struct Exported {
    aggregate: Guest,
    migration: Option<state_migration::Guest>,
}

/// Where it is in the component.
pub(super) struct Indices {
    aggregate: GuestIndices,
    migration: Option<state_migration::GuestIndices>,
}

/// The states and the output that an aggregate announced, as tables of these names.
#[derive(Debug, PartialEq)]
pub(super) struct Announced {
    state: Table,
    output: Table,
}

impl Exports for Exported {
    const KIND: Kind = Kind::Aggregate;
    type Indices = Indices;
    type Announced = Plan;
    type Plan = Announced;

    fn find(pre: &InstancePre<Host>, plugin: &Plugin) -> wasmtime::Result<Indices> {
        let migration = plugin.has_migration.then(|| state_migration::GuestIndices::new(pre)).transpose()?;
        Ok(Indices { aggregate: GuestIndices::new(pre)?, migration })
    }
    fn load(indices: &Indices, store: &mut Store<Host>, instance: &component::Instance) -> wasmtime::Result<Self> {
        let migration = indices.migration.as_ref().map(|indices| indices.load(&mut *store, instance)).transpose()?;
        Ok(Self { aggregate: indices.aggregate.load(store, instance)?, migration })
    }
    fn open(
        &self,
        store: &mut Store<Host>,
        input: &[FieldParam],
        groups: &[FieldParam],
        settings: &[(&str, &str)],
    ) -> wasmtime::Result<Result<Plan, Error>> {
        self.aggregate.call_open(store, input, groups, settings)
    }
    fn take(plan: Plan) -> Result<Announced, String> {
        Ok(Announced { state: take_table("state", plan.state)?, output: take_table("output", plan.output)? })
    }
}

impl Aggregate {
    /// Offers a plugin the columns of rows and groups and its settings, and takes note of the columns of its states and its output.
    ///
    /// `groups` are the key columns under their names, and for windows `window_start` and `window_end`.
    ///
    /// # Errors
    /// What the plugin doesn't accept, a plugin that isn't an aggregate or that fails in `open`, and columns that can't be.
    pub fn open(
        plugin: &Arc<Plugin>,
        limits: &Limits,
        settings: &[(String, String)],
        input: &SchemaRef,
        groups: &SchemaRef,
    ) -> Result<Self, PluginError> {
        let offer = Offer {
            limits: limits.clone(),
            settings: settings.to_vec(),
            input: Arc::clone(input),
            groups: Arc::clone(groups),
        };
        Ok(Self { opened: Opened::new(plugin, offer)? })
    }

    /// The columns of a state.
    pub fn state(&self) -> &SchemaRef {
        &self.opened.plan().state.schema
    }

    /// The columns that [`finish`](Self::finish) returns.
    pub fn output(&self) -> &SchemaRef {
        &self.opened.plan().output.schema
    }

    /// The plugin.
    pub fn plugin(&self) -> &Arc<Plugin> {
        self.opened.plugin()
    }

    /// Folds each row into the state of its group: row `i` of `rows` belongs to group `group_of_row[i]`, of `group_count`.
    ///
    /// `states` has the states of the first groups; those without come last and are new. The answer has a state for every group.
    ///
    /// # Errors
    /// When the call failed as a whole. Which row is to blame is found by trying them apart.
    pub fn update(
        &mut self,
        rows: &RecordBatch,
        group_of_row: &[u32],
        group_count: u32,
        states: &RecordBatch,
        now: BatchTime,
    ) -> Result<Updated, ApplyError> {
        check_columns(&self.opened.offer().input, rows)?;
        check_columns(self.state(), states)?;
        let known = states.num_rows();
        let in_range = group_of_row.iter().fold(true, |in_range, group| in_range & (*group < group_count));
        if group_of_row.len() != rows.num_rows() || !in_range || known > group_count as usize {
            return Err(ApplyError::Failed(format!(
                "{} rows with {} groups, of {group_count} with {known} states, make no call of `update`",
                rows.num_rows(),
                group_of_row.len()
            )));
        }
        if rows.num_rows() == 0 && known == group_count as usize {
            return Ok(Updated { states: states.clone(), rejected: Vec::new() });
        }
        let called = self.call_with(rows, states, now, |guest, store, rows, states| {
            guest.call_update(store, rows, group_of_row, group_count, states)
        });
        let updated = called.and_then(|updated| {
            take_updated(&self.opened.plan().state, rows.num_rows() as u32, group_count, updated, self.opened.secrets())
                .map_err(|wrong| self.opened.invalid(wrong))
        });
        self.opened.noted(updated, now, || Call::Update {
            rows: Columns(rows.clone()),
            group_of_row: group_of_row.to_vec(),
            group_count,
            states: Columns(states.clone()),
        })
    }

    /// Joins states of the same groups, row by row: those of the rows of `left`, and those of the rows of `right` after them.
    ///
    /// # Errors
    /// When the call failed. No row is to blame.
    pub fn merge(
        &mut self,
        left: &RecordBatch,
        right: &RecordBatch,
        now: BatchTime,
    ) -> Result<RecordBatch, ApplyError> {
        check_columns(self.state(), left)?;
        check_columns(self.state(), right)?;
        let groups = same_rows("merge", left, right)?;
        if groups == 0 {
            return Ok(RecordBatch::new_empty(Arc::clone(self.state())));
        }
        let called = self.call_with(left, right, now, |guest, store, left, right| guest.call_merge(store, left, right));
        let merged = called.and_then(|merged| self.states(groups, merged));
        self.opened.noted(merged, now, || Call::Merge { left: Columns(left.clone()), right: Columns(right.clone()) })
    }

    /// Output rows for groups and their states, row by row. Any number may come out.
    ///
    /// # Errors
    /// When the call failed. No row is to blame.
    pub fn finish(
        &mut self,
        groups: &RecordBatch,
        states: &RecordBatch,
        now: BatchTime,
    ) -> Result<RecordBatch, ApplyError> {
        check_columns(&self.opened.offer().groups, groups)?;
        check_columns(self.state(), states)?;
        if same_rows("finish", groups, states)? == 0 {
            return Ok(RecordBatch::new_empty(Arc::clone(self.output())));
        }
        let called = self
            .call_with(groups, states, now, |guest, store, groups, states| guest.call_finish(store, groups, states));
        let finished = called.and_then(|finished| {
            batch(&self.opened.plan().output, finished).map_err(|wrong| self.opened.invalid(wrong))
        });
        self.opened
            .noted(finished, now, || Call::Finish { of: Columns(groups.clone()), states: Columns(states.clone()) })
    }

    /// Whether it takes over states of other columns than its own.
    pub fn has_migration(&self) -> bool {
        self.plugin().has_migration
    }

    /// States that another version kept in the columns `older`, in those of [`state`](Self::state), row by row.
    ///
    /// # Errors
    /// [`ApplyError::Failed`] where the plugin says that they can't be carried over; any other when it broke. No row is to blame.
    pub fn migrate(
        &mut self,
        older: &SchemaRef,
        states: &RecordBatch,
        now: BatchTime,
    ) -> Result<RecordBatch, ApplyError> {
        check_columns(older, states)?;
        let groups = same_rows("migrate", states, states)?;
        if groups == 0 {
            return Ok(RecordBatch::new_empty(Arc::clone(self.state())));
        }
        let fields = lower_schema(older).map_err(ApplyError::Failed)?;
        let opened = &mut self.opened;
        let migrated = lower(states, |states| {
            opened.call(now, |guest, store| match &guest.migration {
                Some(migration) => migration.call_migrate(store, &fields, states),
                None => Ok(Err(Error::Other("it exports no `migrate`".to_owned()))),
            })
        });
        let called = migrated.map_err(ApplyError::Failed).and_then(|called| called);
        let migrated = called.and_then(|migrated| self.states(groups, migrated));
        self.opened.noted(migrated, now, || Call::Migrate { states: Columns(states.clone()) })
    }

    /// The smallest call that has failed since this was last asked.
    pub(super) fn take_failed(&mut self) -> Option<FailedCall> {
        self.opened.take_failed()
    }

    fn states(&mut self, groups: u32, returned: BatchResult) -> Result<RecordBatch, ApplyError> {
        take_states(&self.opened.plan().state, groups, returned).map_err(|wrong| self.opened.invalid(wrong))
    }

    /// Calls a function that takes two batches.
    fn call_with<R>(
        &mut self,
        first: &RecordBatch,
        second: &RecordBatch,
        now: BatchTime,
        call: impl FnOnce(&Guest, &mut Store<Host>, BatchParam, BatchParam) -> wasmtime::Result<Result<R, Error>>,
    ) -> Result<R, ApplyError> {
        let opened = &mut self.opened;
        let lowered = lower(first, |first| {
            lower(second, |second| opened.call(now, |guest, store| call(&guest.aggregate, store, first, second)))
        });
        lowered.and_then(|lowered| lowered).map_err(ApplyError::Failed)?
    }
}

/// How many rows both have.
fn same_rows(function: &str, first: &RecordBatch, second: &RecordBatch) -> Result<u32, ApplyError> {
    let (rows, others) = (first.num_rows(), second.num_rows());
    match u32::try_from(rows) {
        Ok(count) if rows == others => Ok(count),
        _ => Err(ApplyError::Failed(format!("{rows} rows beside {others} make no call of `{function}`"))),
    }
}
