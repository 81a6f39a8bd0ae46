//! States that another version of the plugin left, where a task takes them up: from files, and from before an exchange.
//!
//! A restart with another plugin and a swap while running come this way alike.

#[cfg(test)]
mod tests;

use arrow::error::ArrowError;

use super::{AggregatePlan, TaskError};
use crate::batch::{RecordBatch, SchemaRef};
use crate::plugin::{Aggregate, ApplyError, BatchTime};
use crate::window::{Aggregation, Carrier, Migrate, NotCarried, OnStateChange, Restored};

/// Gives an aggregation what was written; or a new one that, but for the groups, where these can't be carried over and that is wanted.
///
/// # Errors
/// States that can't be carried over, and a plugin that fails at it: what was written stays as it is.
pub(super) fn restore(
    aggregation: &mut Aggregation,
    new: impl Fn() -> Result<Aggregation, TaskError>,
    restored: &Restored,
    plan: &AggregatePlan,
    folder: &str,
) -> Result<(), TaskError> {
    let mut opened: Option<Aggregate> = None;
    // By event time, as where groups are given out: the same whenever it is done again.
    let at = restored.watermark_us.unwrap_or_default();
    let now = BatchTime { timestamp_ms: at.div_euclid(1000), seed: at as u64 };
    let mut migrate = |older: &SchemaRef, states: &RecordBatch| -> Result<RecordBatch, ApplyError> {
        let plugin = match &mut opened {
            Some(plugin) => plugin,
            None => opened.insert((plan.open.open)().map_err(|error| ApplyError::Reopen(error.to_string()))?),
        };
        plugin.migrate(older, states, now)
    };
    let migrate: Option<Migrate<ApplyError>> = if plan.open.has_migration { Some(&mut migrate) } else { None };
    let mut carrier = Carrier { migrate, allow_dropped: plan.allow_dropped, carried: 0 };
    let why = match aggregation.restore(restored, &mut carrier) {
        Ok(()) => {
            if carrier.carried > 0 {
                tracing::info!(task = folder, states = carrier.carried, "states of another version were carried over");
            }
            return Ok(());
        }
        Err(NotCarried::Refused(why)) => why,
        Err(NotCarried::Failed(ApplyError::Failed(why))) => format!("`migrate` says: {why}"),
        // It broke: that says nothing of the states.
        Err(NotCarried::Failed(error)) => {
            return Err(TaskError::Fatal(format!(
                "{folder}: `migrate` failed on states that another version of the plugin left: {error}. They are as they were: mend the \
                 plugin, or put the one before it back"
            )));
        }
    };
    if plan.on_state_change == OnStateChange::Fail {
        return Err(TaskError::Fatal(format!(
            "{folder}: the states of another version of the plugin can't be carried over to this one: {why}. They are as they were: export \
             `migrate` from the plugin, put the one before it back, or say on_state_change = \"reset\" in `aggregate` to begin all groups \
             anew with nothing"
        )));
    }
    *aggregation = new()?;
    let odd = |error: ArrowError| TaskError::Fatal(format!("{folder}: {error}"));
    let groups = aggregation.restore_without_groups(restored).map_err(odd)?;
    tracing::warn!(
        task = folder,
        groups,
        why,
        "groups begin anew with nothing: their states can't be carried over, and on_state_change = \"reset\""
    );
    Ok(())
}

/// States from before an exchange in the columns `schema`, of [`Combiner::schema`](crate::window::Combiner::schema).
///
/// # Errors
/// States that can't be carried over: why, and what to do. They are never dropped, since no one knows which version will come next.
pub(super) fn partial(
    states: &RecordBatch,
    schema: &SchemaRef,
    plan: &AggregatePlan,
    plugin: &mut Aggregate,
    now: BatchTime,
) -> Result<RecordBatch, String> {
    let mut migrate = |older: &SchemaRef, states: &RecordBatch| plugin.migrate(older, states, now);
    let migrate: Option<Migrate<ApplyError>> = if plan.open.has_migration { Some(&mut migrate) } else { None };
    let mut carrier = Carrier { migrate, allow_dropped: plan.allow_dropped, carried: 0 };
    carrier.carry_partial(states, schema).map_err(|not_carried| {
        let why = match not_carried {
            NotCarried::Refused(why) => why,
            NotCarried::Failed(error) => format!("`migrate`: {error}"),
        };
        format!(
            "states that came through the exchange are of another version of the plugin and can't be carried over to this one: {why}. Export \
             `migrate` from the plugin, put the other one back until the pipeline has caught up, or give the pipeline another name to begin \
             anew"
        )
    })
}
