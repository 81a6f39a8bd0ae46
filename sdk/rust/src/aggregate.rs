//! Aggregates: rows are folded into one state for each group, and states become rows.

use crate::outputs::Many;
use crate::reject::Reject;
use crate::row::{FromRow, ToRow};
use crate::settings::FromSettings;

/// An aggregate. Made a plugin by [`aggregate!`](crate::aggregate!).
///
/// The type itself is the settings: it derives `FromSettings`, also where it takes none. It keeps nothing between calls; all that an
/// aggregate remembers is in its states, which the host owns: it stores them with each commit, shows them, and hands them back.
///
/// ```
/// use rillgate_sdk::prelude::*;
///
/// #[derive(Row)]
/// struct Arrival {
///     passengers: i64, // a null here rejects the row
/// }
///
/// #[derive(Row)]
/// struct Station<'a> {
///     station: Option<&'a str>, // the pipeline's key
///     window_start: Timestamp,
/// }
///
/// #[derive(Row, Default, Debug, PartialEq)]
/// struct Seen {
///     trains: i64,
///     most: i64,
/// }
///
/// #[derive(Row, Debug, PartialEq)]
/// struct Busy<'a> {
///     station: Option<&'a str>,
///     hour: Timestamp,
///     trains: i64,
///     most: i64,
/// }
///
/// #[derive(FromSettings)]
/// struct BusyStations;
///
/// impl Aggregate for BusyStations {
///     type Row<'a> = Arrival;
///     type Group<'a> = Station<'a>;
///     type State = Seen;
///     type Output<'a> = Busy<'a>;
///
///     fn update(&self, seen: &mut Seen, arrival: Arrival) -> Result<(), Reject> {
///         if arrival.passengers < 0 {
///             reject!("passengers {} is negative", arrival.passengers);
///         }
///         seen.trains += 1;
///         seen.most = seen.most.max(arrival.passengers);
///         Ok(())
///     }
///
///     fn merge(&self, seen: &mut Seen, other: Seen) {
///         seen.trains += other.trains;
///         seen.most = seen.most.max(other.most);
///     }
///
///     fn finish<'a>(&self, group: Station<'a>, seen: Seen) -> Busy<'a> {
///         Busy { station: group.station, hour: group.window_start, trains: seen.trains, most: seen.most }
///     }
/// }
///
/// rillgate_sdk::aggregate!(BusyStations);
///
/// # fn main() {
/// use rillgate_sdk::test::{AggregateTest, Grouped};
/// let arrival = |station, passengers| (Station { station, window_start: Timestamp(0) }, Arrival { passengers });
/// let arrivals = [arrival(Some("A"), 20), arrival(None, 5), arrival(Some("A"), 50), arrival(Some("A"), -1)];
/// let folded = AggregateTest::new(PLUGIN).run(Grouped::rows(arrivals));
/// let busy = |station, trains, most| Busy { station, hour: Timestamp(0), trains, most };
/// assert_eq!(folded.rows::<Busy>(), [busy(Some("A"), 2, 50), busy(None, 1, 5)]);
/// assert_eq!(folded.rejected(), [(3, "passengers -1 is negative")]);
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no aggregate",
    note = "implement `Aggregate` for a struct that derives `FromSettings`"
)]
pub trait Aggregate: FromSettings {
    /// What it takes of a row: a struct that derives `Row`, or `()` if it only counts rows.
    type Row<'a>: FromRow<'a>;
    /// What it takes of a group: the pipeline's key columns, and of a window `window_start` and `window_end`. A struct that derives
    /// `Row`, or `()`.
    type Group<'a>: FromRow<'a>;
    /// What it keeps for a group: a struct that derives `Row` and `Default` and borrows nothing. The default stands for no rows.
    type State: State;
    /// What comes out for a group: a struct that derives `Row`, or an `Option`, `Vec`, array or `Many` of them.
    type Output<'a>: Rows;

    /// Folds a row into the state of its group. A rejection leaves the state as it was, and makes the row's record a dead letter.
    fn update(&self, state: &mut Self::State, row: Self::Row<'_>) -> Result<(), Reject>;

    /// Adds the rows that are in `later` to those in `state`, as `update` would have, one by one.
    fn merge(&self, state: &mut Self::State, later: Self::State);

    /// What comes out for a group that is complete or has changed. No row is to blame for what fails here: a panic stops the pipeline.
    fn finish<'a>(&'a self, group: Self::Group<'a>, state: Self::State) -> Self::Output<'a>;
}

/// An aggregate whose state has other columns than in the version before it, in other ways than more nullable ones (an `Option` in the
/// state that the older one lacks needs nothing). Made a plugin by `aggregate!(migrating ...)`.
///
/// The host calls it where it takes up states of the older version: after a restart with the new plugin, and when it is swapped. A state
/// that an even older version kept is offered as it is; `#[row(optional)]` in `Older` has columns that not all of them had.
///
/// ```
/// use rillgate_sdk::prelude::*;
/// # #[derive(Row)]
/// # struct Arrival { passengers: i64 }
/// # #[derive(FromSettings)]
/// # struct BusyStations;
/// # #[derive(Row, Debug, PartialEq)]
/// # struct Busy { mean: f64 }
///
/// /// Version 1 kept the sum in thousands.
/// #[derive(Row)]
/// struct Older {
///     trains: i64,
///     thousands: f64,
/// }
///
/// #[derive(Row, Default, Debug, PartialEq)]
/// struct Seen {
///     trains: i64,
///     passengers: i64,
/// }
///
/// # impl Aggregate for BusyStations {
/// #     type Row<'a> = Arrival;
/// #     type Group<'a> = ();
/// #     type State = Seen;
/// #     type Output<'a> = Busy;
/// #     fn update(&self, seen: &mut Seen, arrival: Arrival) -> Result<(), Reject> {
/// #         self.merge(seen, Seen { trains: 1, passengers: arrival.passengers });
/// #         Ok(())
/// #     }
/// #     fn merge(&self, seen: &mut Seen, later: Seen) {
/// #         seen.trains += later.trains;
/// #         seen.passengers += later.passengers;
/// #     }
/// #     fn finish<'a>(&self, (): (), seen: Seen) -> Busy {
/// #         Busy { mean: seen.passengers as f64 / seen.trains as f64 }
/// #     }
/// # }
/// impl Migrate for BusyStations {
///     type Older<'a> = Older;
///
///     fn migrate(&self, older: Older) -> Result<Seen, Reject> {
///         Ok(Seen { trains: older.trains, passengers: (older.thousands * 1000.0).round() as i64 })
///     }
/// }
///
/// rillgate_sdk::aggregate!(migrating BusyStations);
///
/// # fn main() {
/// use rillgate_sdk::test::{AggregateTest, Grouped, Input};
/// # #[derive(Row)]
/// # struct Station { id: i64 }
/// # let like = Grouped::rows([(Station { id: 1 }, Arrival { passengers: 1 })]);
/// // `like`: rows and groups as the pipeline has them.
/// let migrated = AggregateTest::new(PLUGIN).migrate(&like, Input::rows([Older { trains: 2, thousands: 1.5 }]));
/// assert_eq!(migrated.states::<Seen>(), [Seen { trains: 2, passengers: 1500 }]);
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not migrate states",
    note = "implement `Migrate` for it, or write `aggregate!({Self})` without `migrating`"
)]
pub trait Migrate: Aggregate {
    /// What the version before kept: a struct that derives `Row` and has a field for each of its columns.
    type Older<'a>: FromRow<'a>;

    /// The state of a group as this version keeps it. A rejection says that it can't be carried over: none is then, and the version before
    /// stays.
    fn migrate(&self, older: Self::Older<'_>) -> Result<Self::State, Reject>;
}

/// The state of a group: what derives `Row` and `Default` and borrows nothing.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no state of an aggregate",
    note = "a state derives `Row` and `Default` and borrows nothing: its texts are `String`, its bytes `Vec<u8>`"
)]
pub trait State: Default + ToRow + for<'a> FromRow<'a> + 'static {}

impl<S: Default + ToRow + for<'a> FromRow<'a> + 'static> State for S {}

/// What an aggregate returns for a group: any number of rows of one kind.
#[diagnostic::on_unimplemented(
    message = "an aggregate can't return `{Self}`",
    note = "it returns a struct that derives `Row`, or an `Option`, `Vec`, array or `Many(iterator)` of them"
)]
pub trait Rows {
    /// The kind of rows.
    type Row: ToRow;
    /// Passes on each row.
    fn each(self, push: impl FnMut(Self::Row));
}

impl<R: ToRow> Rows for R {
    type Row = R;
    #[inline]
    fn each(self, mut push: impl FnMut(R)) {
        push(self);
    }
}

impl<R: ToRow> Rows for Option<R> {
    type Row = R;
    #[inline]
    fn each(self, push: impl FnMut(R)) {
        self.into_iter().for_each(push);
    }
}

impl<I: IntoIterator<Item: ToRow>> Rows for Many<I> {
    type Row = I::Item;
    #[inline]
    fn each(self, push: impl FnMut(I::Item)) {
        self.0.into_iter().for_each(push);
    }
}

impl<R: ToRow> Rows for Vec<R> {
    type Row = R;
    #[inline]
    fn each(self, push: impl FnMut(R)) {
        self.into_iter().for_each(push);
    }
}

impl<R: ToRow, const N: usize> Rows for [R; N] {
    type Row = R;
    #[inline]
    fn each(self, push: impl FnMut(R)) {
        self.into_iter().for_each(push);
    }
}
