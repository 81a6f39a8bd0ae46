//! Groups of another version of the plugin, taken up from files and from before an exchange.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray};

use super::super::{GROUPS, Groups, PluginFold, owner};
use super::*;
use crate::batch::{DataType, Field, Schema};
use crate::commit::{CommittedState, StateFile, StoredState};
use crate::plugin::tests::{batch, migrations::migrating};
use crate::state;
use crate::task::OpenAggregate;
use crate::window::{Combiner, Emit, WindowOptions};

const FOLDER: &str = "p/t/0";
/// What the plugin does in `migrate` where it says that it can't, and where it breaks.
const REFUSES: &str = "(return (call $error (i32.const 2)))";
const BREAKS: &str = "unreachable";

fn window() -> WindowOptions {
    WindowOptions {
        key: vec!["station".to_owned()],
        time: None,
        window: None,
        delay_us: 0,
        allowed_lateness_us: 0,
        emit: Emit::Change,
        dedup: Vec::new(),
    }
}

/// A plugin whose states have the columns `station`, `passengers` and `duration`, nullable; it returns older states as they are.
fn plan(has_migration: bool, in_migrate: &'static str, on_state_change: OnStateChange) -> AggregatePlan {
    AggregatePlan {
        window: window(),
        rows: batch(0).schema(),
        state: batch(0).schema(),
        late: None,
        idle_after: None,
        exchange: None,
        open: OpenAggregate { has_migration, open: Arc::new(move || Ok(migrating(in_migrate))) },
        on_state_change,
        allow_dropped: false,
    }
}

/// The columns of [`batch`] under other names, and how many of them.
fn older(names: &[&str]) -> SchemaRef {
    let schema = batch(0).schema();
    let fields = names.iter().zip(schema.fields()).map(|(name, field)| field.as_ref().clone().with_name(*name));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// A state of five groups in these columns, as a task has left it.
fn stored(schema: &SchemaRef) -> StoredState {
    let mut aggregation = Aggregation::new(&window(), &batch(0).schema(), schema).unwrap();
    let states = RecordBatch::try_new(schema.clone(), batch(5).columns()[..schema.fields().len()].to_vec()).unwrap();
    struct Given(RecordBatch);
    impl crate::window::Fold for Given {
        type Error = ();
        fn update(
            &mut self,
            _: &RecordBatch,
            _: &[u32],
            _: u32,
            _: &RecordBatch,
        ) -> Result<(RecordBatch, Vec<crate::batch::Rejection>), ()> {
            Ok((self.0.clone(), Vec::new()))
        }
        fn merge(&mut self, _: &RecordBatch, _: &RecordBatch) -> Result<RecordBatch, ()> {
            Err(())
        }
        fn finish(&mut self, _: &RecordBatch, _: &RecordBatch) -> Result<RecordBatch, ()> {
            Err(())
        }
    }
    aggregation.fold(&batch(5), &mut Given(states)).unwrap();
    let file = aggregation.cut().unwrap().groups.unwrap().file.unwrap();
    let content = state::encode(&file, &owner(FOLDER, &window())).unwrap();
    let named = StateFile { table: GROUPS.to_owned(), path: "state/a-0".to_owned(), ..StateFile::default() };
    let committed = CommittedState { files: vec![named], ..CommittedState::default() };
    StoredState { committed, files: vec![content] }
}

fn restored(plan: &AggregatePlan, schema: &SchemaRef) -> Result<usize, String> {
    let groups = Groups::new(plan, FOLDER, Some(stored(schema)));
    groups.map(|groups| groups.size().0).map_err(|error| error.to_string())
}

#[test]
fn columns_that_came_are_null_and_no_plugin_is_asked() {
    let plan = plan(true, BREAKS, OnStateChange::Fail);
    assert_eq!(restored(&plan, &batch(0).schema()), Ok(5));
    assert_eq!(restored(&plan, &older(&["station", "passengers"])), Ok(5));
}

#[test]
fn what_can_not_be_carried_over_is_refused_with_the_ways_out() {
    let said = restored(&plan(false, "", OnStateChange::Fail), &older(&["station", "people"])).unwrap_err();
    for words in
        [FOLDER, "column `passengers` is new, and not nullable", "export `migrate`", "\"reset\"", "put the one before"]
    {
        assert!(said.contains(words), "{words} in {said}");
    }
}

#[test]
fn a_plugin_that_migrates_is_asked_and_may_refuse_or_break() {
    let other = older(&["name", "people", "duration"]);
    assert_eq!(restored(&plan(true, "", OnStateChange::Fail), &other), Ok(5));
    let refused = restored(&plan(true, REFUSES, OnStateChange::Fail), &other).unwrap_err();
    assert!(refused.contains("`migrate` says: a reason") && refused.contains("\"reset\""), "{refused}");
    for on_state_change in [OnStateChange::Fail, OnStateChange::Reset] {
        let broke = restored(&plan(true, BREAKS, on_state_change), &other).unwrap_err();
        assert!(broke.contains("`migrate` failed") && broke.contains("unreachable"), "{broke}");
    }
}

#[test]
fn groups_begin_anew_only_where_that_is_wanted() {
    let other = older(&["name", "people", "duration"]);
    assert_eq!(restored(&plan(false, "", OnStateChange::Reset), &other), Ok(0));
    assert_eq!(restored(&plan(true, REFUSES, OnStateChange::Reset), &other), Ok(0));
    assert_eq!(restored(&plan(true, "", OnStateChange::Reset), &other), Ok(5), "what can be carried over is");
}

#[test]
fn the_way_back_drops_what_only_the_version_after_kept() {
    let mut fields: Vec<Field> = batch(0).schema().fields().iter().map(|field| field.as_ref().clone()).collect();
    fields.pop();
    let back = Arc::new(Schema::new(fields));
    let mut plan = AggregatePlan { state: back, ..plan(false, "", OnStateChange::Fail) };
    let refused = restored(&plan, &batch(0).schema()).unwrap_err();
    assert!(refused.contains("column `duration` is gone"), "{refused}");
    plan.allow_dropped = true;
    assert_eq!(restored(&plan, &batch(0).schema()), Ok(5));
}

#[test]
fn states_from_before_an_exchange_go_over_by_their_own_columns_and_are_never_dropped() {
    let rows = batch(0).schema();
    let now = BatchTime::default();
    let combined = |schema: &SchemaRef| {
        let combiner = Combiner::new(&window(), &rows, schema).unwrap();
        let columns: Vec<ArrayRef> = [
            vec![Arc::new(StringArray::from(vec!["A", "B"])) as ArrayRef, Arc::new(Int64Array::from(vec![1, 1]))],
            batch(2).columns()[..schema.fields().len()].to_vec(),
        ]
        .concat();
        RecordBatch::try_new(combiner.schema().clone(), columns).unwrap()
    };
    let schema = combined(&rows).schema();
    let partial = |plan: &AggregatePlan, in_migrate, from: &SchemaRef| {
        partial(&combined(from), &schema, plan, &mut migrating(in_migrate), now)
    };
    let fails = plan(false, "", OnStateChange::Reset);
    let same = partial(&fails, BREAKS, &rows).unwrap();
    assert_eq!(same, combined(&rows));
    let wider = partial(&fails, BREAKS, &older(&["station", "passengers"])).unwrap();
    assert_eq!((wider.column(3), wider.column(4).null_count()), (same.column(3), 2));
    let other = older(&["name", "people", "duration"]);
    let said = partial(&fails, "", &other).unwrap_err();
    assert!(said.contains("came through the exchange") && said.contains("`station` is new"), "{said}");
    let migrates = plan(true, "", OnStateChange::Fail);
    assert_eq!(partial(&migrates, "", &other).unwrap(), same);
    assert!(partial(&migrates, REFUSES, &other).unwrap_err().contains("`migrate`: a reason"));
    // And they can be merged then.
    let mut aggregation = Aggregation::new(&window(), &rows, &rows).unwrap();
    let mut plugin = migrating("");
    let late = aggregation.merge(&wider, &mut PluginFold { plugin: &mut plugin, now });
    assert!(matches!(late, Ok(0)));
    assert_eq!(schema.field(0).data_type(), &DataType::Utf8);
}
