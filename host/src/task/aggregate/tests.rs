//! The clocks of groups: how event time goes on where nothing comes, and what time it is where groups are given out.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::Int64Type;
use tokio::runtime::Runtime;

use super::*;
use crate::batch::{Field, Schema, SchemaRef, data_type};
use crate::commit::Store;
use crate::plugin::tests::{aggregates::telling_time, batch};
use crate::task::OpenAggregate;
use crate::window::{Emit, OnStateChange, Window};

const SECOND_US: i64 = 1_000_000;
/// The offset after all that was taken.
const POSITION: i64 = 10;

/// Groups have any states: nobody looks at them.
struct Any;

impl Fold for Any {
    type Error = ();
    fn update(
        &mut self,
        _: &RecordBatch,
        _: &[u32],
        group_count: u32,
        _: &RecordBatch,
    ) -> Result<(RecordBatch, Vec<Rejection>), ()> {
        Ok((batch(group_count as usize), Vec::new()))
    }
    fn merge(&mut self, left: &RecordBatch, _: &RecordBatch) -> Result<RecordBatch, ()> {
        Ok(left.clone())
    }
    fn finish(&mut self, _: &RecordBatch, states: &RecordBatch) -> Result<RecordBatch, ()> {
        Ok(states.clone())
    }
}

fn input() -> SchemaRef {
    let text = Field::new("station", data_type("utf8").unwrap(), true);
    Arc::new(Schema::new(vec![text, Field::new("at", data_type("timestamp").unwrap(), false)]))
}

/// Windows of ten seconds, a watermark at the latest event time.
fn groups() -> Groups {
    let window = WindowOptions {
        key: vec!["station".to_owned()],
        time: Some("at".to_owned()),
        window: Some(Window::Tumbling { size_us: 10 * SECOND_US }),
        delay_us: 0,
        allowed_lateness_us: 0,
        emit: Emit::Close,
        dedup: Vec::new(),
    };
    let idle_after = Some(Duration::from_secs(1));
    let plan = AggregatePlan {
        window,
        rows: input(),
        state: batch(0).schema(),
        late: None,
        idle_after,
        exchange: None,
        open: OpenAggregate { has_migration: false, open: Arc::new(|| Ok(telling_time())) },
        on_state_change: OnStateChange::Fail,
        allow_dropped: false,
    };
    Groups::new(&plan, "p/t/0", None).unwrap()
}

impl Groups {
    /// Takes messages whose rows happened at these seconds.
    fn take(&mut self, seconds: &[i64]) {
        let stations: ArrayRef = Arc::new(StringArray::from_iter_values(seconds.iter().map(|_| "A")));
        let times = TimestampMicrosecondArray::from_iter_values(seconds.iter().map(|second| second * SECOND_US));
        let rows = RecordBatch::try_new(input(), vec![stations, Arc::new(times.with_timezone("UTC"))]).unwrap();
        assert!(self.aggregation.fold(&rows, &mut Any).is_ok());
        self.take_late();
    }

    /// As if the last message had come so long ago, and nobody had looked since; returns when that was.
    fn age(&mut self, seconds: u64) -> Instant {
        let now = Instant::now();
        self.idle.since = now.checked_sub(Duration::from_secs(seconds)).expect("a machine that has run for so long");
        self.idle.next = now;
        self.idle.since
    }

    /// Asks the broker and hears its answer. Returns whether groups are complete, and when it was asked at the latest.
    fn ask(&mut self, resources: &Resources) -> (bool, Instant) {
        let (complete, look) = self.look_idle(POSITION, resources);
        let asked_by = Instant::now();
        assert!(!complete && self.idle.asked.is_some() && look.is_some(), "it is asked first");
        let bound = asked_by + Duration::from_secs(30);
        loop {
            let (complete, look) = self.look_idle(POSITION, resources);
            assert!(look.is_some() && Instant::now() < bound, "no answer");
            if self.idle.asked.is_none() {
                return (complete, asked_by);
            }
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }

    fn watermark(&self) -> i64 {
        self.aggregation.watermark_us().unwrap()
    }
}

/// A broker by whom the partition ends there.
fn ends_at(end: Option<i64>) -> (Runtime, Resources) {
    let runtime = Runtime::new().unwrap();
    let resources = Resources {
        store: Store::in_memory(),
        runtime: runtime.handle().clone(),
        acknowledge: Arc::new(|_, _| {}),
        progress: Arc::default(),
        last_batch: Arc::default(),
        targets: None,
        end_offset: Arc::new(move || end),
    };
    (runtime, resources)
}

#[test]
fn event_time_goes_on_as_fast_as_the_clock_where_nothing_more_is_there() {
    let (mut groups, (_runtime, resources)) = (groups(), ends_at(Some(POSITION)));
    assert_eq!(groups.look_idle(POSITION, &resources), (false, None), "no time is known before the first row");
    groups.take(&[0, 5]);
    let since = groups.age(4);
    let (complete, asked_by) = groups.ask(&resources);
    assert!(!complete);
    let most = 5 * SECOND_US + micros(asked_by - since);
    assert!((9 * SECOND_US..=most).contains(&groups.watermark()), "{} of {most}", groups.watermark());
    let since = groups.age(7);
    let (complete, asked_by) = groups.ask(&resources);
    assert!(complete, "the window until 10 s is over");
    let most = 5 * SECOND_US + micros(asked_by - since);
    assert!((12 * SECOND_US..=most).contains(&groups.watermark()), "{} of {most}", groups.watermark());
}

#[test]
fn event_time_stands_where_more_is_there_or_the_broker_does_not_say() {
    for end in [Some(POSITION + 1), None] {
        let (mut groups, (_runtime, resources)) = (groups(), ends_at(end));
        groups.take(&[5]);
        groups.age(7);
        assert!(!groups.ask(&resources).0);
        assert_eq!(groups.watermark(), 5 * SECOND_US, "{end:?}");
    }
}

#[test]
fn messages_begin_the_idle_time_anew() {
    let (mut groups, (_runtime, resources)) = (groups(), ends_at(Some(POSITION)));
    groups.take(&[5]);
    groups.age(7);
    let before = Instant::now();
    groups.take(&[20]);
    let (complete, look) = groups.look_idle(POSITION, &resources);
    assert!(!complete && groups.idle.asked.is_none());
    assert!(look.unwrap() >= before + Duration::from_secs(1), "not before it is idle again");
    groups.age(7);
    assert!(groups.ask(&resources).0);
    assert!(groups.watermark() >= 27 * SECOND_US, "from where the last message left it: {}", groups.watermark());
}

/// What was asked before a message came says nothing of the time after it.
#[test]
fn an_answer_that_a_message_overtakes_is_not_waited_for() {
    let (mut groups, (_runtime, resources)) = (groups(), ends_at(Some(POSITION)));
    groups.take(&[5]);
    groups.age(7);
    groups.look_idle(POSITION, &resources);
    assert!(groups.idle.asked.is_some());
    groups.take(&[6]);
    let before = Instant::now();
    let (complete, look) = groups.look_idle(POSITION, &resources);
    assert!(!complete && look.unwrap() >= before, "due when it is idle again, not while the old answer is out");
    assert!(groups.idle.asked.is_none());
    assert_eq!(groups.watermark(), 6 * SECOND_US);
}

/// Whenever an epoch ends, and whoever ends it, plugins see the same time.
#[test]
fn plugins_give_out_groups_at_the_watermark() {
    let (mut groups, mut plugin) = (groups(), telling_time());
    groups.take(&[5, 25]);
    let (rows, _) = groups.end_epoch(&mut plugin).unwrap();
    let time = rows[0].column(1).as_primitive::<Int64Type>().value(0);
    assert_eq!((rows.len(), rows[0].num_rows(), time), (1, 1, 25_000_000_000));
}

/// It would be the same the next time, and for ever.
#[test]
fn a_state_that_no_file_can_hold_is_named_and_not_tried_again() {
    let (runtime, resources) = ends_at(None);
    let options = crate::commit::LogOptions::new(Duration::from_secs(3600), true);
    let claimed = TaskLog::claim(resources.store, "p/t/0".to_owned(), "a".to_owned(), options, |_| async { Ok(0) });
    let mut log = runtime.block_on(claimed).unwrap();
    // Parquet has no columns of structs without fields.
    let nothing: ArrayRef = Arc::new(arrow::array::StructArray::new_empty_fields(1, None));
    let file = RecordBatch::try_from_iter([("value.nothing", nothing)]).unwrap();
    let deltas = Deltas { groups: Some(Delta { kept: 0, file: Some(file) }), ..Deltas::default() };
    let deltas = StateDeltas { deltas, owner: "me".to_owned(), exchange: None };
    let error = runtime.block_on(deltas.keep(&mut log)).unwrap_err();
    assert!(!error.may_pass(), "{error}");
    assert!(error.to_string().starts_with("state groups of p/t/0 can't be written: "), "{error}");
}
