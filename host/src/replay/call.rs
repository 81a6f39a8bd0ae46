//! One call that a plugin failed in, made again: of the same version or another.

use std::sync::Arc;

use crate::batch::{RecordBatch, Rejection, SchemaRef};
use crate::plugin::{Aggregate, ApplyError, BatchTime, Call, Columns, FailedCall, Plugin, PluginError, Transform};
use crate::window::{Carrier, Migrate, NotCarried};

/// What came of a call.
#[derive(Debug, PartialEq)]
pub struct Answer {
    /// Rows by the name of their table: of an aggregate `state` or `output`.
    pub tables: Vec<(String, RecordBatch)>,
    /// Rows that were rejected.
    pub rejected: Vec<Rejection>,
}

impl Answer {
    fn of(table: &str, rows: RecordBatch) -> Self {
        Self { tables: vec![(table.to_owned(), rows)], rejected: Vec::new() }
    }
}

/// Makes a call again: with the same columns, limits, clock and random numbers. States of another version are carried over first, as in a
/// host. The inner error is what the call fails with.
///
/// # Errors
/// A plugin that can't be opened for what the other was opened for.
pub fn call_again(
    failed: &FailedCall,
    plugin: &Arc<Plugin>,
    settings: &[(String, String)],
) -> Result<Result<Answer, String>, PluginError> {
    let (limits, now) = (failed.limits.limits(), failed.now());
    let (input, groups) = (failed.input.0.schema(), failed.groups.0.schema());
    let open = || Aggregate::open(plugin, &limits, settings, &input, &groups);
    Ok(match &failed.call {
        Call::Apply { rows: Columns(rows) } => {
            let mut transform = Transform::open(plugin, &limits, settings, &input)?;
            let names: Vec<String> = transform.tables().iter().map(|table| table.name.clone()).collect();
            transform.apply(rows, now).map_err(words).map(|applied| {
                let tables = names.into_iter().zip(applied.batches).collect();
                Answer { tables, rejected: applied.rejected }
            })
        }
        Call::Update { rows: Columns(rows), group_of_row, group_count, states } => {
            let mut aggregate = open()?;
            carried(&mut aggregate, states, now).and_then(|states| {
                let updated = aggregate.update(rows, group_of_row, *group_count, &states, now).map_err(words)?;
                Ok(Answer { rejected: updated.rejected, ..Answer::of("state", updated.states) })
            })
        }
        Call::Merge { left, right } => {
            let mut aggregate = open()?;
            carried(&mut aggregate, left, now).and_then(|left| {
                let right = carried(&mut aggregate, right, now)?;
                Ok(Answer::of("state", aggregate.merge(&left, &right, now).map_err(words)?))
            })
        }
        Call::Finish { of: Columns(groups), states } => {
            let mut aggregate = open()?;
            carried(&mut aggregate, states, now)
                .and_then(|states| Ok(Answer::of("output", aggregate.finish(groups, &states, now).map_err(words)?)))
        }
        Call::Migrate { states: Columns(states) } => {
            let migrated = open()?.migrate(states.schema_ref(), states, now);
            migrated.map(|states| Answer::of("state", states)).map_err(words)
        }
    })
}

fn words(error: ApplyError) -> String {
    error.to_string()
}

/// States in the columns of the plugin that is asked now.
fn carried(aggregate: &mut Aggregate, Columns(states): &Columns, now: BatchTime) -> Result<RecordBatch, String> {
    let (schema, has_migration) = (aggregate.state().clone(), aggregate.has_migration());
    let mut migrate = |older: &SchemaRef, states: &RecordBatch| aggregate.migrate(older, states, now);
    let migrate: Option<Migrate<ApplyError>> = if has_migration { Some(&mut migrate) } else { None };
    let mut carrier = Carrier { migrate, allow_dropped: false, carried: 0 };
    carrier.carry(states, &schema).map_err(|not_carried| match not_carried {
        NotCarried::Refused(why) => format!("the states can't be carried over: {why}"),
        NotCarried::Failed(error) => words(error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::tests::failed::{of_a_transform, of_an_aggregate};

    #[test]
    fn a_call_fails_again_as_it_did_and_passes_with_another_plugin() {
        let (failed, plugin, mended, row) = of_a_transform();
        assert_eq!(call_again(&failed, &plugin, &[]).unwrap(), Err(failed.reason.clone()));
        assert_eq!(call_again(&failed, &mended, &[]).unwrap(), Ok(Answer::of("main", row)));
        let (called, traps, passes, right) = of_an_aggregate();
        for failed in &called {
            assert_eq!(call_again(failed, &traps, &[]).unwrap(), Err(failed.reason.clone()));
            let table = if failed.call.function() == "finish" { "output" } else { "state" };
            assert_eq!(call_again(failed, &passes, &[]).unwrap(), Ok(Answer::of(table, right.clone())));
        }
        assert!(call_again(&failed, &traps, &[]).is_err(), "a plugin of another kind");
    }
}
