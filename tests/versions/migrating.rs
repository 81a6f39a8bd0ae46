//! Counts as `cta-summary` and `wider` do, in dozens and the rest, and takes over the states of both.

use rillgate_sdk::prelude::*;

#[derive(Row)]
struct Station {
    station_id: i32,
}

#[derive(Row, Default)]
struct Entries {
    dozens: i64,
    rest: i32,
}

/// What came before.
#[derive(Row)]
struct Older {
    count: i64,
    /// Of `wider` only; nobody needs it any more.
    #[row(optional)]
    since: Option<i64>,
}

impl Entries {
    fn count(&self) -> i64 {
        self.dozens * 12 + i64::from(self.rest)
    }

    fn of(count: i64) -> Self {
        Self { dozens: count / 12, rest: (count % 12) as i32 }
    }
}

#[derive(Row)]
struct Summary {
    station_id: i32,
    count: i64,
}

#[derive(FromSettings)]
struct TurnstilesSummary;

impl Aggregate for TurnstilesSummary {
    type Row<'a> = ();
    type Group<'a> = Station;
    type State = Entries;
    type Output<'a> = Summary;

    fn update(&self, entries: &mut Entries, (): ()) -> Result<(), Reject> {
        *entries = Entries::of(entries.count() + 1);
        Ok(())
    }

    fn merge(&self, entries: &mut Entries, later: Entries) {
        *entries = Entries::of(entries.count() + later.count());
    }

    fn finish(&self, station: Station, entries: Entries) -> Summary {
        Summary { station_id: station.station_id, count: entries.count() }
    }
}

impl Migrate for TurnstilesSummary {
    type Older<'a> = Older;

    fn migrate(&self, older: Older) -> Result<Entries, Reject> {
        if older.since.is_some_and(|since| since > older.count) {
            reject!("more since than there are");
        }
        Ok(Entries::of(older.count))
    }
}

rillgate_sdk::aggregate!(migrating TurnstilesSummary);
