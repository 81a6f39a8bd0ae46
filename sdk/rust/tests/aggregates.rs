//! Aggregates: what they may keep and return, what is said of columns that don't fit, and tests that find those that cheat.

use std::cell::Cell;

use rillgate_sdk::prelude::*;
use rillgate_sdk::test::{AggregateTest, Folded, Grouped, Input};
use rillgate_sdk::wit::{DataType, Error};
use rillgate_sdk::{AggregatePlugin, Rows};

#[derive(Row, Debug, Clone, Copy)]
struct Reading<'a> {
    value: f64,
    unit: Option<&'a str>,
}

#[derive(Row, Debug, Clone, Copy, PartialEq)]
struct Device<'a> {
    id: i64,
    place: Option<&'a str>,
}

/// A plugin of one aggregate.
macro_rules! plugin {
    ($($aggregate:tt)+) => {{
        rillgate_sdk::aggregate!($($aggregate)+);
        PLUGIN
    }};
}

fn readings() -> Grouped {
    let reading = |id, place, value, unit| (Device { id, place }, Reading { value, unit });
    Grouped::rows([
        reading(1, Some("roof"), 0.1, Some("°C")),
        reading(2, None, 4.0, None),
        reading(1, Some("roof"), 0.2, None),
        reading(1, None, 7.0, Some("")),
        reading(2, None, -1.0, Some("K")),
        reading(1, Some("roof"), 0.7, Some("K")),
    ])
}

fn run(plugin: AggregatePlugin) -> Folded {
    AggregateTest::new(plugin).run(readings())
}

/// What an owned state can hold.
#[derive(Row, Default, Debug, PartialEq)]
struct Kept {
    count: i64,
    sum: f64,
    units: String,
    last: Option<String>,
    bytes: Vec<u8>,
    any: bool,
    first_day: Option<Date>,
}

#[derive(FromSettings)]
struct Everything {
    #[setting(default = 0.0)]
    least: f64,
    #[setting(default = String::from("device"))]
    label: String,
}

#[derive(Row, Debug, PartialEq)]
struct Summary<'a> {
    label: &'a str,
    id: i64,
    place: Option<&'a str>,
    #[row(name = "unitsSeen")]
    units: String,
}

impl Aggregate for Everything {
    type Row<'a> = Reading<'a>;
    type Group<'a> = Device<'a>;
    type State = Kept;
    type Output<'a> = Option<Summary<'a>>;

    fn update(&self, kept: &mut Kept, row: Reading<'_>) -> Result<(), Reject> {
        if row.value < self.least {
            reject!("value {} is less than {}", row.value, self.least);
        }
        let day = (row.value * 10.0) as i32;
        self.merge(
            kept,
            Kept {
                count: 1,
                sum: row.value,
                units: row.unit.unwrap_or_default().to_owned(),
                last: row.unit.map(str::to_owned),
                bytes: vec![day as u8],
                any: row.unit.is_some(),
                first_day: Some(Date(day)),
            },
        );
        Ok(())
    }

    fn merge(&self, kept: &mut Kept, later: Kept) {
        kept.count += later.count;
        kept.sum += later.sum;
        kept.units += &later.units;
        kept.last = later.last.or(kept.last.take());
        kept.bytes.extend(later.bytes);
        kept.any |= later.any;
        kept.first_day = kept.first_day.or(later.first_day);
    }

    fn finish<'a>(&'a self, group: Device<'a>, kept: Kept) -> Option<Summary<'a>> {
        kept.any.then_some(Summary { label: &self.label, id: group.id, place: group.place, units: kept.units })
    }
}

#[test]
fn states_are_owned_and_outputs_borrow_from_groups_and_settings() {
    let folded = AggregateTest::new(plugin!(Everything)).setting("label", "sensor").run(readings());
    let summary = |id, place, units: &str| Summary { label: "sensor", id, place, units: units.to_owned() };
    assert_eq!(folded.rows::<Summary>(), [summary(1, Some("roof"), "°CK"), summary(1, None, "")]);
    assert_eq!(folded.rejected(), [(4, "value -1 is less than 0")]);
    let states = folded.states::<Kept>();
    assert_eq!(states.len(), 3);
    let roof = Kept {
        count: 3,
        sum: 0.1 + 0.2 + 0.7,
        units: "°CK".to_owned(),
        last: Some("K".to_owned()),
        bytes: vec![1, 2, 7],
        any: true,
        first_day: Some(Date(1)),
    };
    assert_eq!(states[0], roof);
    assert_eq!((states[1].count, states[1].last.as_deref()), (1, None));
    let names: Vec<_> = folded.plan().output.iter().map(|field| (field.name.as_str(), field.nullable)).collect();
    assert_eq!(names, [("label", false), ("id", false), ("place", true), ("unitsSeen", false)]);
    assert_eq!(folded.plan().state[4].data_type, DataType::Binary);
}

/// An aggregate that counts, with pieces to be put in.
macro_rules! count {
    ($name:ident, $row:ty, $output:ty, $update:expr, $merge:expr, $finish:expr) => {
        #[derive(FromSettings)]
        struct $name;
        impl Aggregate for $name {
            type Row<'a> = $row;
            type Group<'a> = Device<'a>;
            type State = Count;
            type Output<'a> = $output;
            fn update(&self, count: &mut Count, row: $row) -> Result<(), Reject> {
                $update(count, row)
            }
            fn merge(&self, count: &mut Count, later: Count) {
                $merge(count, later)
            }
            fn finish<'a>(&self, group: Device<'a>, count: Count) -> $output {
                $finish(group, count)
            }
        }
    };
}

#[derive(Row, Default, Debug, PartialEq, Clone, Copy)]
struct Count {
    count: i64,
}

fn one(count: &mut Count, (): ()) -> Result<(), Reject> {
    count.count += 1;
    Ok(())
}

fn add(count: &mut Count, later: Count) {
    count.count += later.count;
}

fn itself(_: Device<'_>, count: Count) -> Count {
    count
}

fn counts(folded: &Folded) -> Vec<i64> {
    folded.rows::<Count>().iter().map(|count| count.count).collect()
}

count!(Counts, (), Count, one, add, itself);
count!(Several, (), Vec<Count>, one, add, |_, count: Count| vec![count; count.count as usize]);
count!(Pairs, (), [Count; 2], one, add, |group: Device, count: Count| [count, Count { count: group.id }]);
count!(Rest, (), Many<std::iter::Map<std::ops::Range<i64>, fn(i64) -> Count>>, one, add, |_, count: Count| Many(
    (0..count.count).map((|count| Count { count }) as fn(i64) -> Count)
));

#[test]
fn any_number_of_rows_comes_out_for_a_group() {
    assert_eq!(counts(&run(plugin!(Counts))), [3, 2, 1]);
    assert_eq!(counts(&run(plugin!(Several))), [3, 3, 3, 2, 2, 1]);
    assert_eq!(counts(&run(plugin!(Pairs))), [3, 1, 2, 2, 1, 1]);
    assert_eq!(counts(&run(plugin!(Rest))), [0, 1, 2, 0, 1, 0]);
    let mut passed = Vec::new();
    Some(Count { count: 7 }).each(|count: Count| passed.push(count.count));
    assert_eq!(passed, [7]);
}

#[test]
fn one_plugin_serves_several_figures() {
    let plugin = plugin!(match figure {
        "counts" => Counts,
        "pairs" => Pairs,
    });
    assert_eq!(counts(&AggregateTest::new(plugin).setting("figure", "pairs").run(readings())).len(), 6);
    let input = Input::columns().column("x", [1_i32]);
    let refused = |test: AggregateTest| test.open(&input, &input).unwrap_err().to_string();
    let unknown = refused(AggregateTest::new(plugin).setting("figure", "none"));
    assert!(unknown.contains("setting `figure`: must be one of `counts`, `pairs`"), "{unknown}");
    let surplus = refused(AggregateTest::new(plugin!(Nothing)).setting("figure", "counts"));
    assert!(surplus.contains("setting `figure`: is unknown; the plugin takes none"), "{surplus}");
}

#[derive(FromSettings)]
struct Nothing;

impl Aggregate for Nothing {
    type Row<'a> = ();
    type Group<'a> = ();
    type State = Count;
    type Output<'a> = Count;
    fn update(&self, count: &mut Count, (): ()) -> Result<(), Reject> {
        one(count, ())
    }
    fn merge(&self, count: &mut Count, later: Count) {
        add(count, later);
    }
    fn finish(&self, (): (), count: Count) -> Count {
        count
    }
}

#[derive(Row)]
struct Window<'a> {
    place: &'a str,
    id: i64,
    floor: i32,
    window_start: Timestamp,
    #[row(optional)]
    window_end: Option<Timestamp>,
}

#[derive(FromSettings)]
struct Windowed;

impl Aggregate for Windowed {
    type Row<'a> = Reading<'a>;
    type Group<'a> = Window<'a>;
    type State = Count;
    type Output<'a> = Count;
    fn update(&self, count: &mut Count, _: Reading<'_>) -> Result<(), Reject> {
        one(count, ())
    }
    fn merge(&self, count: &mut Count, later: Count) {
        add(count, later);
    }
    fn finish(&self, _: Window<'_>, count: Count) -> Count {
        count
    }
}

#[test]
fn all_that_is_wrong_with_rows_and_groups_is_said_at_once() {
    let input = Input::columns().column("value", [1_i64]);
    let groups = Input::columns().column("place", [Some("roof")]).column("id", ["1"]);
    let expected = "column `value` is int64, declare it as float64: value = \"float64\"; \
                    column `unit` is missing, declare it: unit = \"utf8\"; \
                    the key's column `place` may be null, and the plugin takes none: declare it as not nullable; \
                    the key's column `id` is utf8, and the plugin takes int64; \
                    groups have no column `floor`, put it into the key; \
                    groups have no column `window_start`, give the pipeline a window";
    let opened = AggregateTest::new(plugin!(Windowed)).open(&input, &groups);
    assert_eq!(opened, Err(Error::UnsupportedSchema(expected.to_owned())));
}

#[test]
fn a_null_in_a_row_rejects_it_and_counts_nothing() {
    #[derive(Row)]
    struct Loose {
        value: Option<f64>,
        unit: Option<String>,
    }
    let window = || Window { place: "roof", id: 1, floor: 2, window_start: Timestamp(0), window_end: None };
    let row = |value| (window(), Loose { value, unit: None });
    let folded = AggregateTest::new(plugin!(Windowed)).run(Grouped::rows([row(Some(1.0)), row(None)]));
    assert_eq!(counts(&folded), [1]);
    assert_eq!(folded.rejected(), [(1, "column `value` is null")]);
}

thread_local! {
    static SEEN: Cell<i64> = const { Cell::new(0) };
}

/// The number of calls so far: what no aggregate may know.
fn seen() -> i64 {
    SEEN.set(SEEN.get() + 1);
    SEEN.get()
}

count!(
    Remembers,
    (),
    Count,
    |count: &mut Count, ()| {
        count.count += seen();
        Ok(())
    },
    add,
    itself
);
count!(Forgets, (), Count, one, |_: &mut Count, _| (), itself);
count!(
    Starts,
    (),
    Count,
    |count: &mut Count, ()| {
        count.count = 1.max(count.count * 2);
        Ok(())
    },
    add,
    itself
);
count!(Neighbours, (), Count, one, add, |_, _| Count { count: seen() });
#[derive(Row)]
struct Number {
    value: f64,
}

count!(
    Spoils,
    Number,
    Count,
    |count: &mut Count, row: Number| {
        count.count += 1;
        if row.value < 0.0 { Err(Reject::new("negative")) } else { Ok(()) }
    },
    add,
    itself
);

#[test]
#[should_panic(expected = "A state must not depend on how rows are cut into batches")]
fn an_aggregate_that_remembers_is_found() {
    run(plugin!(Remembers));
}

#[test]
#[should_panic(expected = "merged with the others")]
fn an_aggregate_that_merges_wrong_is_found() {
    run(plugin!(Forgets));
}

#[test]
#[should_panic(expected = "merged with the others")]
fn an_aggregate_whose_merge_is_not_its_update_is_found() {
    run(plugin!(Starts));
}

#[test]
#[should_panic(expected = "A rejected row must not change a state")]
fn an_aggregate_that_counts_what_it_rejects_is_found() {
    run(plugin!(Spoils));
}

#[test]
#[should_panic(expected = "A group must not know its neighbours")]
fn an_aggregate_whose_groups_know_each_other_is_found() {
    run(plugin!(Neighbours));
}

#[test]
#[should_panic(expected = "the aggregate does not open: Error::UnsupportedSchema")]
fn an_aggregate_that_does_not_open_says_why() {
    AggregateTest::new(plugin!(Windowed)).run(readings());
}
