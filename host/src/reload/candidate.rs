//! Whether a version of a pipeline may take over from the one that is live.

use crate::batch::{Field, SchemaRef};
use crate::pipeline::Pipeline;
use crate::plugin::BatchTime;
use crate::supervisor::{Way, way};
use crate::window::{OnStateChange, StateChange, compatible};

use super::{golden, report, shadow};
use crate::batch::Rows;

/// What was found out about a candidate.
#[derive(Debug, Default)]
pub struct Examined {
    /// How it did beside what is live; `None`: it didn't come to that.
    pub shadow: Option<report::Report>,
    /// All that is against it, unless it is told to go live all the same.
    pub against: Vec<String>,
    /// All that is against it whatever anyone says.
    pub impossible: Vec<String>,
}

/// Looks at a candidate: what it gives, its own cases, and how it does on the newest batches. One that is gone back to (`goes_back`) may lack
/// what the version after it has added to states.
pub fn examine(live: &Pipeline, candidate: &Pipeline, recent: &[(Rows, BatchTime)], goes_back: bool) -> Examined {
    let mut examined = Examined::default();
    if let Way::Refused(reason) = way(live.options(), candidate.options()) {
        examined.impossible.push(reason);
    }
    examined.impossible.extend(state(live, candidate, goes_back));
    if !examined.impossible.is_empty() {
        return examined;
    }
    examined.against.extend(outputs(live, candidate));
    match golden::check(candidate, golden::TIME_LIMIT) {
        Ok(0) => {}
        Ok(count) => tracing::info!(pipeline = candidate.name(), count, "the plugins' own cases passed"),
        Err(failures) => examined.against.extend(failures.iter().map(ToString::to_string)),
    }
    if !examined.against.is_empty() {
        return examined;
    }
    let swap = &candidate.options().swap;
    let limits =
        report::Limits { max_changed: swap.max_changed, max_slower: swap.max_slower, max_rejected: swap.max_rejected };
    match shadow::run(live, candidate, recent, shadow::TIME_LIMIT) {
        Ok(report) => {
            tracing::info!(pipeline = candidate.name(), "beside the version that is live: {report}");
            examined.against.extend(report.verdict(&limits).err());
            examined.shadow = Some(report);
        }
        Err(reason) => examined.against.push(reason),
    }
    examined
}

/// What readers of the tables would stumble over: columns that go, change, or come and can't be null.
fn outputs(live: &Pipeline, candidate: &Pipeline) -> Vec<String> {
    let mut against = Vec::new();
    for table in live.tables().iter().filter(|table| table.target.is_some()) {
        let Some(next) = candidate.tables().iter().find(|next| next.output == table.output) else {
            against.push(format!("the output `{}` is gone", table.output));
            continue;
        };
        // Another table may have other columns.
        if next.target.as_ref().map(crate::encode::Target::name)
            == table.target.as_ref().map(crate::encode::Target::name)
        {
            against.extend(columns(&table.output, &table.schema, &next.schema));
        }
    }
    against
}

fn columns(output: &str, from: &SchemaRef, to: &SchemaRef) -> Vec<String> {
    let mut against = Vec::new();
    for field in from.fields() {
        match to.field_with_name(field.name()) {
            Err(_) => against.push(format!("the column `{}` of `{output}` is gone", field.name())),
            Ok(next) if next.data_type() != field.data_type() => against.push(format!(
                "the column `{}` of `{output}` was {} and would be {}",
                field.name(),
                field.data_type(),
                next.data_type()
            )),
            Ok(_) => {}
        }
    }
    let is_new = |field: &&std::sync::Arc<Field>| from.field_with_name(field.name()).is_err();
    for field in to.fields().iter().filter(is_new).filter(|field| !field.is_nullable()) {
        against.push(format!(
            "the column `{}` of `{output}` is new and never null, which the files that there are can't say",
            field.name()
        ));
    }
    against
}

/// Why what is remembered of groups can't be carried over, if it can't.
fn state(live: &Pipeline, candidate: &Pipeline, goes_back: bool) -> Option<String> {
    let (from, to) = (live.aggregate()?, candidate.aggregate()?);
    let options = candidate.options().aggregate.as_ref()?;
    if options.on_state_change == OnStateChange::Reset {
        return None;
    }
    match compatible(&from.state, &to.state, to.step.plugin.has_migration) {
        StateChange::Same | StateChange::Widened | StateChange::Migrated => None,
        StateChange::Narrowed if goes_back => None,
        StateChange::Narrowed => Some(
            "columns of its states are gone, or must have values now: export `state-migration`, or say on_state_change = \"reset\""
                .to_owned(),
        ),
        StateChange::Refused(reason) => {
            Some(format!("of its states, {reason}: export `state-migration`, or say on_state_change = \"reset\""))
        }
    }
}

/// Why a version does not go back by itself once it has committed, if it doesn't: what it remembers of groups is of no use to the one before it.
pub(super) fn no_way_back(live: &Pipeline, next: &Pipeline) -> Option<String> {
    let reason = of_no_use(&next.aggregate()?.state, &live.aggregate()?.state)?;
    Some(format!("it does not go back by itself, since of its states, {reason}"))
}

fn of_no_use(from: &SchemaRef, to: &SchemaRef) -> Option<String> {
    let is_empty = |field: &&std::sync::Arc<Field>| {
        !field.is_nullable() && from.field_with_name(field.name()).is_ok_and(Field::is_nullable)
    };
    if let Some(field) = to.fields().iter().find(is_empty) {
        return Some(format!("column `{}` may be null", field.name()));
    }
    match compatible(from, to, false) {
        StateChange::Refused(reason) => Some(reason),
        StateChange::Same | StateChange::Widened | StateChange::Migrated | StateChange::Narrowed => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::batch::{DataType, Schema};

    #[test]
    fn what_the_version_before_can_not_read_has_no_way_back() {
        let schema = |columns: &[(&str, DataType, bool)]| -> SchemaRef {
            let field = |(name, of, nullable): &(&str, DataType, bool)| Field::new(*name, of.clone(), *nullable);
            Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()))
        };
        let before = schema(&[("count", DataType::Int64, false), ("last", DataType::Utf8, true)]);
        let wider = schema(&[
            ("count", DataType::Int64, false),
            ("last", DataType::Utf8, true),
            ("first", DataType::Utf8, true),
        ]);
        for good in [&before, &wider, &schema(&[("count", DataType::Int64, false)])] {
            assert_eq!(of_no_use(good, &before), None, "{good:?}");
        }
        let nullable = schema(&[("count", DataType::Int64, true), ("last", DataType::Utf8, true)]);
        assert_eq!(of_no_use(&nullable, &before).unwrap(), "column `count` may be null");
        let others = schema(&[("dozens", DataType::Int64, false), ("rest", DataType::Int64, false)]);
        assert!(of_no_use(&others, &before).is_some());
    }

    #[test]
    fn columns_may_come_if_they_can_be_null_and_none_may_go_or_change() {
        let schema = |columns: &[(&str, DataType, bool)]| -> SchemaRef {
            let field = |(name, of, nullable): &(&str, DataType, bool)| Field::new(*name, of.clone(), *nullable);
            Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()))
        };
        let from = schema(&[("a", DataType::Int64, false), ("b", DataType::Utf8, true)]);
        for good in [
            from.clone(),
            schema(&[("b", DataType::Utf8, true), ("c", DataType::Int64, true), ("a", DataType::Int64, false)]),
        ] {
            assert_eq!(columns("main", &from, &good), Vec::<String>::new());
        }
        let bad = schema(&[("a", DataType::Utf8, false), ("c", DataType::Int64, false)]);
        assert_eq!(
            columns("main", &from, &bad),
            [
                "the column `a` of `main` was Int64 and would be Utf8",
                "the column `b` of `main` is gone",
                "the column `c` of `main` is new and never null, which the files that there are can't say"
            ]
        );
    }
}
