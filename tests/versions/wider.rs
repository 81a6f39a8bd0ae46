//! Counts as `cta-summary` does, and beside how many since it is there: a column more in its state, that is null in older ones.

use rillgate_sdk::prelude::*;

#[derive(Row)]
struct Station {
    station_id: i32,
}

#[derive(Row, Default)]
struct Entries {
    since: Option<i64>,
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
        entries.count += 1;
        entries.since = Some(entries.since.unwrap_or_default() + 1);
        Ok(())
    }

    fn merge(&self, entries: &mut Entries, later: Entries) {
        entries.count += later.count;
        entries.since = match (entries.since, later.since) {
            (None, None) => None,
            (one, other) => Some(one.unwrap_or_default() + other.unwrap_or_default()),
        };
    }

    fn finish(&self, station: Station, entries: Entries) -> Summary {
        Summary { station_id: station.station_id, count: entries.count }
    }
}

rillgate_sdk::aggregate!(TurnstilesSummary);
