//! What transforms and aggregates have in common: a plugin that was offered its columns and its settings, and the instance that is in
//! use. After a failure, or when it has grown, there is a fresh one, which must announce what the first did.

use std::sync::Arc;

use wasmtime::Store;
use wasmtime::component::{self, InstancePre};

use super::bindings::rillgate::plugin::common::Error;
use super::bindings::rillgate::plugin::table::FieldParam;
use super::failed::{Call, Columns, FailedCall, KeptLimits, Smallest};
use super::instance::{BatchTime, Host, Instance};
use super::log;
use super::secrets::Secrets;
use super::tables::{describe, lower_schema};
use super::{ApplyError, Kind, Limits, Plugin, PluginError};
use crate::batch::{Field, RecordBatch, SchemaRef};

/// Said for a plugin that fails and doesn't say why.
const NO_REASON: &str = "an error without a reason";

/// What the plugins of a kind export.
pub(super) trait Exports: Sized {
    /// The kind that exports it.
    const KIND: Kind;
    /// Where the functions are in a component.
    type Indices;
    /// What `open` returns, and the same checked and taken over.
    type Announced;
    type Plan: PartialEq;

    fn find(pre: &InstancePre<Host>, plugin: &Plugin) -> wasmtime::Result<Self::Indices>;
    fn load(indices: &Self::Indices, store: &mut Store<Host>, instance: &component::Instance)
    -> wasmtime::Result<Self>;
    fn open(
        &self,
        store: &mut Store<Host>,
        input: &[FieldParam],
        groups: &[FieldParam],
        settings: &[(&str, &str)],
    ) -> wasmtime::Result<Result<Self::Announced, Error>>;
    /// `Err` says what is wrong with it.
    fn take(announced: Self::Announced) -> Result<Self::Plan, String>;
}

/// What a plugin is offered.
pub(super) struct Offer {
    pub(super) limits: Limits,
    pub(super) settings: Vec<(String, String)>,
    pub(super) input: SchemaRef,
    /// The columns of groups; none for a transform.
    pub(super) groups: SchemaRef,
}

/// A plugin that took an offer.
pub(super) struct Opened<G: Exports> {
    recipe: Recipe<G>,
    plan: G::Plan,
    /// `None` after it failed or grew: the next call gets a fresh one.
    instance: Option<Instance<G>>,
    /// Instances that were replaced because they had grown.
    grown: u64,
    failed: Smallest,
}

/// What instances are made of.
struct Recipe<G: Exports> {
    plugin: Arc<Plugin>,
    indices: G::Indices,
    offer: Offer,
    secrets: Secrets,
}

impl<G: Exports> Opened<G> {
    pub(super) fn new(plugin: &Arc<Plugin>, offer: Offer) -> Result<Self, PluginError> {
        let unloadable = |reason| PluginError::Unloadable { path: plugin.path.clone(), reason };
        if plugin.kind != G::KIND {
            return Err(unloadable(format!("it is {}, and is asked for as {}", plugin.kind, G::KIND)));
        }
        let indices = G::find(&plugin.pre, plugin).map_err(|error| unloadable(format!("{error:#}")))?;
        let secrets = Secrets::new(&offer.settings);
        let recipe = Recipe { plugin: Arc::clone(plugin), indices, offer, secrets };
        let (instance, plan) = recipe.instantiate()?;
        Ok(Self { recipe, plan, instance: Some(instance), grown: 0, failed: Smallest::default() })
    }

    /// What the plugin announced.
    pub(super) fn plan(&self) -> &G::Plan {
        &self.plan
    }

    pub(super) fn plugin(&self) -> &Arc<Plugin> {
        &self.recipe.plugin
    }

    /// How many instances were replaced because they had grown.
    pub(super) fn grown(&self) -> u64 {
        self.grown
    }

    /// The columns of rows and of groups that it was offered.
    pub(super) fn offer(&self) -> &Offer {
        &self.recipe.offer
    }

    /// What is taken out of the plugin's words.
    pub(super) fn secrets(&self) -> &Secrets {
        &self.recipe.secrets
    }

    /// Calls a function of the plugin.
    pub(super) fn call<R>(
        &mut self,
        now: BatchTime,
        call: impl FnOnce(&G, &mut Store<Host>) -> wasmtime::Result<Result<R, Error>>,
    ) -> Result<R, ApplyError> {
        let mut instance = match self.instance.take() {
            Some(instance) => instance,
            None => self.reopen()?,
        };
        // After an error the instance is dropped, but for those that it returned by itself.
        let answer = instance.call(now, call)?;
        if instance.has_grown() {
            let path = self.recipe.plugin.path.display();
            self.grown += 1;
            tracing::debug!(plugin = %path, "replacing an instance that uses over half of its memory");
        } else {
            self.instance = Some(instance);
        }
        answer.map_err(|error| ApplyError::Failed(self.recipe.redact(&words(error))))
    }

    /// Takes note of a call if it failed.
    pub(super) fn noted<R>(
        &mut self,
        result: Result<R, ApplyError>,
        now: BatchTime,
        call: impl FnOnce() -> Call,
    ) -> Result<R, ApplyError> {
        result.inspect_err(|error| self.failed.note(call(), now, error))
    }

    /// The smallest call that has failed since this was last asked.
    pub(super) fn take_failed(&mut self) -> Option<FailedCall> {
        let (call, now, reason) = self.failed.take()?;
        let Recipe { plugin, offer, .. } = &self.recipe;
        Some(FailedCall {
            plugin: plugin.path.clone(),
            digest: plugin.digest.clone(),
            reason,
            settings: offer.settings.iter().map(|(name, _)| name.clone()).collect(),
            limits: KeptLimits::new(&offer.limits),
            timestamp_ms: now.timestamp_ms,
            seed: now.seed,
            input: Columns::none(&offer.input),
            groups: Columns::none(&offer.groups),
            call,
        })
    }

    /// What is wrong with an answer. What returns nonsense may be in a state to do so again: the instance is not used any more.
    pub(super) fn invalid(&mut self, wrong: String) -> ApplyError {
        self.instance = None;
        ApplyError::Invalid(wrong)
    }

    /// A fresh instance that announces what the first did.
    fn reopen(&self) -> Result<Instance<G>, ApplyError> {
        let (instance, plan) = self.recipe.instantiate().map_err(|error| ApplyError::Reopen(error.to_string()))?;
        match plan == self.plan {
            true => Ok(instance),
            false => Err(ApplyError::Reopen(format!(
                "{} announces other tables than when it was first opened, for the same input and settings",
                self.recipe.plugin.path.display()
            ))),
        }
    }
}

impl<G: Exports> Recipe<G> {
    fn instantiate(&self) -> Result<(Instance<G>, G::Plan), PluginError> {
        let Offer { limits, settings, input, groups } = &self.offer;
        let path = || self.plugin.path.clone();
        let failed = |reason: String| PluginError::Open { path: path(), reason };
        let input_fields = lower_schema(input).map_err(failed)?;
        let group_fields = lower_schema(groups).map_err(failed)?;
        let settings: Vec<_> = settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let mut instance = Instance::new(&self.plugin, limits, &self.secrets, |store, instance| {
            G::load(&self.indices, store, instance)
        })
        .map_err(|error| failed(error.to_string()))?;
        // At time 0 with random numbers from 0, so that its answer is always the same.
        let announced = instance
            .call(BatchTime::default(), |guest, store| guest.open(store, &input_fields, &group_fields, &settings))
            .map_err(|error| failed(error.to_string()))?;
        let announced = announced.map_err(|error| match error {
            Error::InvalidSetting(reason) => {
                let names: Vec<_> = settings.iter().map(|(name, _)| *name).collect();
                let names = if names.is_empty() { String::new() } else { format!(" ({})", names.join(", ")) };
                PluginError::InvalidSetting { path: path(), reason: self.redact(&reason), names }
            }
            Error::UnsupportedSchema(reason) => {
                let columns = match groups.fields().is_empty() {
                    true => describe(input),
                    false => format!("{}, and groups of {}", describe(input), describe(groups)),
                };
                PluginError::UnsupportedSchema { path: path(), reason: self.redact(&reason), columns }
            }
            Error::Other(reason) => failed(self.redact(&reason)),
        })?;
        let plan = G::take(announced)
            .map_err(|reason| PluginError::InvalidTables { path: path(), reason: self.redact(&reason) })?;
        Ok((instance, plan))
    }

    /// A plugin's words, as they are shown.
    fn redact(&self, words: &str) -> String {
        log::reason(words, &self.secrets, NO_REASON)
    }
}

/// Whether a batch has the columns that the plugin was told of in `open`, by which it indexes them.
pub(super) fn check_columns(expected: &SchemaRef, batch: &RecordBatch) -> Result<(), ApplyError> {
    let schema = batch.schema_ref();
    let same = |(a, b): (&Arc<Field>, &Arc<Field>)| a.data_type() == b.data_type() && a.name() == b.name();
    let (given, opened) = (schema.fields(), expected.fields());
    match Arc::ptr_eq(schema, expected) || given.len() == opened.len() && given.iter().zip(opened).all(same) {
        true => Ok(()),
        false => Err(ApplyError::Failed(format!(
            "the plugin was opened for the columns {} and given {}",
            describe(expected),
            describe(schema)
        ))),
    }
}

/// An error that a call after `open` returned.
fn words(error: Error) -> String {
    match error {
        Error::Other(words) => words,
        Error::InvalidSetting(words) => format!("invalid setting: {words}"),
        Error::UnsupportedSchema(words) => format!("unsupported schema: {words}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::bindings::exports::rillgate::plugin::transform::Guest;
    use super::super::tests::{batch, guest, identity, limits, now};
    use super::*;

    #[test]
    fn an_instance_that_announces_other_tables_than_the_first_is_not_used() {
        let (limits, input) = (limits(), batch(1).schema());
        let offer = Offer { limits, settings: vec![], input, groups: Arc::new(crate::batch::Schema::empty()) };
        let mut opened = Opened::<Guest>::new(&guest(&identity("", "", "")), offer).unwrap();
        assert_eq!(opened.call(now(), |_, _| Ok(Ok(1))), Ok(1));
        // As if the first had announced less.
        opened.plan.clear();
        opened.instance = None;
        let error = opened.call(now(), |_, _| Ok(Ok(1))).unwrap_err();
        assert!(matches!(&error, ApplyError::Reopen(_)));
        assert!(error.to_string().contains("announces other tables than when it was first opened"), "{error}");
    }
}
