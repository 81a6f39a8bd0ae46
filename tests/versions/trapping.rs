//! Counts as `cta-summary` does, in a column of another name, and breaks where it is to take over the states of that.

use rillgate_sdk::prelude::*;

#[derive(Row)]
struct Station {
    station_id: i32,
}

#[derive(Row, Default)]
struct Entries {
    counted: i64,
}

#[derive(Row)]
struct Older {
    count: i64,
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
        entries.counted += 1;
        Ok(())
    }

    fn merge(&self, entries: &mut Entries, later: Entries) {
        entries.counted += later.counted;
    }

    fn finish(&self, station: Station, entries: Entries) -> Summary {
        Summary { station_id: station.station_id, count: entries.counted }
    }
}

impl Migrate for TurnstilesSummary {
    type Older<'a> = Older;

    fn migrate(&self, older: Older) -> Result<Entries, Reject> {
        panic!("{} is too many", older.count)
    }
}

rillgate_sdk::aggregate!(migrating TurnstilesSummary);
