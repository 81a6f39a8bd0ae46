//! Versions with real plugins, on probation and not.

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use indexmap::IndexMap;

use std::time::Duration;

use super::*;
use crate::decode::DecodeOptions;
use crate::encode::DeadLetterFormat;
use crate::metrics::TaskMetrics;
use crate::plugin::tests::aggregates::keeping;
use crate::plugin::tests::{Keep, batch, guest, identity};
use crate::plugin::{Limits, Step};
use crate::task::aggregate::Groups;
use crate::task::{AggregatePlan, OpenAggregate, Trigger};
use crate::window::{Emit, OnStateChange, WindowOptions};

const LIMITS: ProbationLimits = ProbationLimits { max_slower: 3.0, max_rejected: 0.01, until_committed: false };

/// A version of the pipeline `p` with these plugins.
pub(crate) fn of(open: OpenPlugins) -> Version {
    let plan = Plan {
        pipeline: "p".to_owned(),
        decode: DecodeOptions::Json {},
        columns: IndexMap::new(),
        registry: None,
        tables: vec![],
        aggregate: None,
        dead_letters: DeadLetterFormat::Json,
        trigger: Trigger { every: Duration::MAX, bytes: u64::MAX, rows: u64::MAX },
        batch_rows: 1,
        plugins: vec![],
        config: String::new(),
    };
    Version::new(Arc::new(plan), open, Arc::new(Recent::new(0)))
}

/// The version on probation, with limits that it keeps.
pub(crate) fn on_probation(version: Version, back: &Arc<Version>) -> Version {
    version.on_probation(back, LIMITS, &Arc::default())
}

/// Code that traps where a row has this number of passengers.
fn trap_on(passengers: i64) -> String {
    format!(
        "(local $row i32)
         (block $done (loop $next
           (br_if $done (i32.eq (local.get $row) (local.get $rows)))
           (if (i64.eq (i64.const {passengers}) (i64.load (i32.add
             (i32.load offset=36 (local.get $columns)) (i32.mul (local.get $row) (i32.const 8))))) (then unreachable))
           (local.set $row (i32.add (local.get $row) (i32.const 1)))
           (br $next)))"
    )
}

/// A version whose plugin traps on a batch that has this number of passengers in it.
fn breaking_on(passengers: i64) -> Version {
    let in_apply = trap_on(passengers);
    let step = Step { plugin: guest(&identity("", &in_apply, "")), limits: Limits::default(), settings: vec![] };
    let open = move || {
        let chain = Chain::open(std::slice::from_ref(&step), &batch(0).schema())?;
        Ok(Plugins { chain, aggregate: None })
    };
    of(Arc::new(open))
}

/// What becomes of ten messages: rows that come out, and messages that are dead.
fn ten(version: &Version) -> Result<(usize, Vec<u32>), Stopped> {
    let rows = Rows { batch: batch(10), origin: (0..10).collect() };
    let (mut plugins, mut dead) = ((version.open)().unwrap(), Vec::new());
    let tables = version.apply(&mut plugins.chain, &rows, BatchTime::default(), &mut |_, _| Ok(()), &mut dead);
    let rows = tables?[0].iter().map(RecordBatch::num_rows).sum();
    Ok((rows, dead.into_iter().map(|dead| dead.message).collect()))
}

#[test]
fn a_message_that_breaks_both_versions_is_bad_and_one_that_breaks_the_new_one_alone_is_not() {
    let before = Arc::new(breaking_on(3));
    assert_eq!(ten(&before).unwrap(), (9, vec![3]), "it isn't on probation");

    let same = Arc::new(on_probation(breaking_on(3), &before));
    assert_eq!(ten(&same).unwrap(), (9, vec![3]));
    assert_eq!(same.failure(), None);

    let worse = on_probation(breaking_on(5), &before);
    let worse_than_good = on_probation(breaking_on(5), &Arc::new(breaking_on(-1)));
    assert_eq!(ten(&worse).unwrap(), (9, vec![5]), "the version before breaks on the same batch");
    assert!(matches!(ten(&worse_than_good), Err(Stopped::GoesBack(reason)) if reason.contains("unreachable")));
    assert!(worse_than_good.failure().is_some());

    // What goes live while another is on probation goes back to where that would.
    let next = on_probation(breaking_on(5), &same);
    assert!(Arc::ptr_eq(&next.back().unwrap(), &same.back().unwrap()));
    assert!(Arc::ptr_eq(&next.back().unwrap().stats, &before.stats));
    same.settle();
    assert!(same.back().is_none());
    assert!(Arc::ptr_eq(&on_probation(breaking_on(5), &same).back().unwrap().stats, &same.stats));
}

/// Both sides of an exchange are told one after the other that it is over, and workers go on meanwhile.
#[test]
fn both_sides_of_an_exchange_prove_themselves_or_fail_together() {
    let before = Arc::new(breaking_on(-1));
    let sides = || {
        let trial = Arc::default();
        [(); 2].map(|()| breaking_on(-1).on_probation(&before, LIMITS, &trial))
    };
    let [first, second] = sides();
    assert!(first.settle());
    assert_eq!(second.fail("too late".to_owned()), None);
    for side in [&first, &second] {
        assert!((side.failure(), side.back().is_none(), side.settle()) == (None, true, true), "{side:?}");
    }

    let [first, second] = sides();
    assert_eq!(second.fail("in time".to_owned()).as_deref(), Some("in time"));
    assert_eq!(first.fail("later".to_owned()).as_deref(), Some("in time"));
    for side in [&first, &second] {
        assert!((side.failure(), side.settle(), side.back().is_some()) == (Some("in time"), false, true), "{side:?}");
    }
}

#[test]
fn a_probation_begins_with_the_first_row() {
    let before = Arc::new(breaking_on(-1));
    let version = on_probation(breaking_on(-1), &before);
    let none = Rows { batch: batch(0), origin: vec![] };
    let mut plugins = (version.open)().unwrap();
    version.apply(&mut plugins.chain, &none, BatchTime::default(), &mut |_, _| Ok(()), &mut Vec::new()).unwrap();
    assert!(!version.has_lasted(Duration::ZERO));
    ten(&version).unwrap();
    assert!(version.has_lasted(Duration::ZERO) && !version.has_lasted(Duration::from_secs(3600)));
    assert!(!before.has_lasted(Duration::ZERO), "it isn't on probation");
}

/// The same of its aggregate.
fn folding(breaks_on: i64) -> Version {
    let open = move || {
        let in_update = trap_on(breaks_on);
        keeping(Keep { in_update: &in_update, ..Keep::default() })
    };
    let schema = batch(0).schema();
    let key = vec!["station".to_owned()];
    let window = WindowOptions {
        key,
        time: None,
        window: None,
        delay_us: 0,
        allowed_lateness_us: 0,
        emit: Emit::Change,
        dedup: vec![],
    };
    let aggregate = AggregatePlan {
        window,
        rows: schema.clone(),
        state: schema.clone(),
        late: None,
        idle_after: None,
        exchange: None,
        open: OpenAggregate { has_migration: false, open: Arc::new(open) },
        on_state_change: OnStateChange::Fail,
        allow_dropped: false,
    };
    let mut version = of(Arc::new(move || Ok(Plugins { chain: Chain::open(&[], &schema)?, aggregate: Some(open()?) })));
    version.plan = Arc::new(Plan { aggregate: Some(aggregate), ..(*version.plan).clone() });
    version
}

/// Ten messages into groups, of which something after the transforms refuses these; returns those that are dead.
fn ten_folded(version: &Version, refused: &[i64]) -> Result<Vec<u32>, Stopped> {
    let rows = Rows { batch: batch(10), origin: (0..10).collect() };
    let mut groups = Groups::new(version.plan.aggregate.as_ref().unwrap(), "p/t/0", None).unwrap();
    let Plugins { mut chain, aggregate } = (version.open)().unwrap();
    let (mut aggregate, mut dead) = (aggregate.unwrap(), Vec::new());
    let (now, metrics) = (BatchTime::default(), TaskMetrics::new("p", "t", 0));
    let mut take = |_, batch: &RecordBatch| {
        if batch.column(1).as_primitive::<Int64Type>().values().iter().any(|passengers| refused.contains(passengers)) {
            return Err(Refusal::Row { stage: "sink", reason: "it is too long".to_owned(), plugin: None });
        }
        groups.fold(batch, &mut aggregate, now, &metrics)
    };
    version.apply(&mut chain, &rows, now, &mut take, &mut dead)?;
    Ok(dead.into_iter().map(|dead| dead.message).collect())
}

#[test]
fn a_message_that_breaks_the_aggregates_of_both_versions_is_bad() {
    let before = Arc::new(folding(0));
    assert_eq!(ten_folded(&before, &[]).unwrap(), [0], "it isn't on probation");
    let same = on_probation(folding(0), &before);
    assert_eq!(ten_folded(&same, &[]).unwrap(), [0]);
    assert_eq!(same.failure(), None);
    let worse = on_probation(folding(0), &Arc::new(folding(-1)));
    assert!(matches!(ten_folded(&worse, &[]), Err(Stopped::GoesBack(reason)) if reason.contains("unreachable")));
}

/// Nothing breaks on the whole batch, which is refused before it is folded, and 5 does when 9 is looked for.
#[test]
fn a_message_that_breaks_the_new_version_alone_is_none_of_those_that_are_refused() {
    let before = Arc::new(folding(-1));
    assert_eq!(ten_folded(&on_probation(folding(-1), &before), &[9]).unwrap(), [9]);
    let worse = on_probation(folding(5), &before);
    assert!(matches!(ten_folded(&worse, &[9]), Err(Stopped::GoesBack(reason)) if reason.contains("unreachable")));
    let same = on_probation(folding(5), &Arc::new(folding(5)));
    assert_eq!(ten_folded(&same, &[9]).unwrap(), [5, 9]);
}
