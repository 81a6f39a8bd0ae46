//! Aggregates that take over states of the version before: what they are offered, what is said of columns that don't fit, and tests that
//! find those that cheat.

use std::cell::Cell;

use rillgate_sdk::prelude::*;
use rillgate_sdk::test::{AggregateTest, Grouped, Input};
use rillgate_sdk::wit::Error;

#[derive(Row)]
struct Car {
    id: i64,
}

#[derive(Row)]
struct Trip {
    metres: i64,
}

/// Version 1 kept kilometres, version 2 had a note beside.
#[derive(Row, Clone, Copy)]
struct Older<'a> {
    kilometres: f64,
    #[row(optional)]
    note: Option<&'a str>,
}

#[derive(Row)]
struct First {
    kilometres: f64,
}

#[derive(Row, Default, Debug, PartialEq)]
struct Kept {
    metres: i64,
    notes: String,
}

#[derive(FromSettings)]
struct Distance {
    #[setting(default = String::from("none"))]
    unnoted: String,
}

/// An aggregate that adds metres up.
macro_rules! adds {
    ($name:ident) => {
        impl Aggregate for $name {
            type Row<'a> = Trip;
            type Group<'a> = ();
            type State = Kept;
            type Output<'a> = Trip;

            fn update(&self, kept: &mut Kept, trip: Trip) -> Result<(), Reject> {
                kept.metres += trip.metres;
                Ok(())
            }
            fn merge(&self, kept: &mut Kept, later: Kept) {
                kept.metres += later.metres;
                kept.notes += &later.notes;
            }
            fn finish(&self, (): (), kept: Kept) -> Trip {
                Trip { metres: kept.metres }
            }
        }
    };
}

adds!(Distance);

impl Migrate for Distance {
    type Older<'a> = Older<'a>;

    fn migrate(&self, older: Older<'_>) -> Result<Kept, Reject> {
        if older.kilometres < 0.0 {
            reject!("{} km are negative", older.kilometres);
        }
        let notes = older.note.unwrap_or(&self.unnoted).to_owned();
        Ok(Kept { metres: (older.kilometres * 1000.0).round() as i64, notes })
    }
}

mod single {
    use super::Distance;
    rillgate_sdk::aggregate!(migrating Distance);
}

fn test() -> AggregateTest {
    AggregateTest::new(single::PLUGIN)
}

fn like() -> Grouped {
    Grouped::rows([(Car { id: 1 }, Trip { metres: 1 })])
}

fn kept(metres: i64, notes: &str) -> Kept {
    Kept { metres, notes: notes.to_owned() }
}

#[test]
fn each_state_is_made_by_itself_with_the_settings_at_hand() {
    let older = || [Older { kilometres: 1.5, note: Some("a") }, Older { kilometres: 0.0004, note: None }];
    let migrated = test().setting("unnoted", "-").migrate(&like(), Input::rows(older()));
    assert_eq!(migrated.states::<Kept>(), [kept(1500, "a"), kept(0, "-")]);
    assert!(test().migrate(&like(), Input::rows(older().into_iter().take(0))).states::<Kept>().is_empty());
}

#[test]
fn several_older_versions_are_taken_over_where_columns_may_lack() {
    let migrated = test().migrate(&like(), Input::rows([First { kilometres: 2.0 }]));
    assert_eq!(migrated.states::<Kept>(), [kept(2000, "none")]);
}

#[test]
fn a_state_that_can_not_be_carried_over_says_why_and_none_is() {
    let older = Input::rows([First { kilometres: 2.0 }, First { kilometres: -2.0 }]);
    let error = test().try_migrate(&like(), &older).unwrap_err();
    assert_eq!(error, Error::Other("an older state: -2 km are negative".to_owned()));
    let null = Input::columns().column("kilometres", [Some(1.0), None]);
    assert!(test().try_migrate(&like(), &null).unwrap_err().to_string().contains("`kilometres` is null"));
}

#[test]
fn no_column_of_an_older_state_is_lost_or_made_up() {
    let refused = |older: Input| match test().try_migrate(&like(), &older) {
        Err(Error::UnsupportedSchema(why)) => why,
        other => panic!("{other:?}"),
    };
    let more = Input::rows([First { kilometres: 2.0 }]).column("trips", [3_i64]);
    assert_eq!(refused(more), "older states have a column `trips`, and `Older` no such field");
    let less = Input::columns().column("note", ["a"]);
    assert_eq!(refused(less), "older states have no column `kilometres`");
    let other = Input::columns().column("kilometres", ["a"]);
    assert_eq!(refused(other), "the column `kilometres` of older states is utf8, and `Older` takes float64");
}

#[derive(FromSettings)]
struct Counts;
adds!(Counts);
thread_local! {
    static CALLS: Cell<i64> = const { Cell::new(0) };
}
impl Migrate for Counts {
    type Older<'a> = First;
    fn migrate(&self, _: First) -> Result<Kept, Reject> {
        CALLS.set(CALLS.get() + 1);
        Ok(kept(CALLS.get(), ""))
    }
}

mod several {
    use super::{Counts, Distance};
    rillgate_sdk::aggregate!(migrating match kind { "distance" => Distance, "counts" => Counts });
}

#[test]
#[should_panic(expected = "A state must not know its neighbours")]
fn one_that_counts_the_states_that_it_makes_is_found() {
    let older = Input::rows([First { kilometres: 2.0 }, First { kilometres: 3.0 }]);
    AggregateTest::new(several::PLUGIN).setting("kind", "counts").migrate(&like(), older);
}

#[test]
fn one_of_several_is_chosen_by_a_setting() {
    let older = Input::rows([First { kilometres: 2.0 }]);
    let migrated = AggregateTest::new(several::PLUGIN).setting("kind", "distance").migrate(&like(), older);
    assert_eq!(migrated.states::<Kept>(), [kept(2000, "none")]);
}

mod plain {
    use super::Distance;
    rillgate_sdk::aggregate!(Distance);
}

#[test]
fn an_aggregate_that_was_not_said_to_migrate_does_not() {
    let older = Input::rows([First { kilometres: 2.0 }]);
    let error = AggregateTest::new(plain::PLUGIN).try_migrate(&like(), &older).unwrap_err();
    assert_eq!(error, Error::Other("this aggregate does not migrate states".to_owned()));
}
