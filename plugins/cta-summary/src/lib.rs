//! Chicago transit: how many passengers have gone through the turnstiles of each station, a running count.
//!
//! The key is `station_id`: int32, not nullable. Of a row nothing is needed but that it is there. Columns out: station_id: int32,
//! count: int64. It is made to go without a window, each change to a compacted topic keyed by `station_id`; with a window it counts
//! what falls into that.

use rillgate_sdk::prelude::*;

#[derive(Row)]
struct Station {
    station_id: i32,
}

#[derive(Row, Default)]
struct Entries {
    count: i64,
}

#[derive(Row, Debug, PartialEq)]
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
        Ok(())
    }

    fn merge(&self, entries: &mut Entries, later: Entries) {
        entries.count += later.count;
    }

    fn finish(&self, station: Station, entries: Entries) -> Summary {
        Summary { station_id: station.station_id, count: entries.count }
    }
}

rillgate_sdk::aggregate!(TurnstilesSummary);

#[cfg(test)]
mod tests {
    use rillgate_sdk::test::{AggregateTest, Grouped, Input};

    use super::*;

    #[derive(Row)]
    struct Turnstile<'a> {
        station_id: i32,
        station_name: &'a str,
        line: Option<&'a str>,
    }

    #[test]
    fn entries_are_counted_by_station() {
        let entry = |station_id| (Station { station_id }, Turnstile { station_id, station_name: "Austin", line: None });
        let folded = AggregateTest::new(PLUGIN).run(Grouped::rows([40_010, 40_020, 40_010, 40_010].map(entry)));
        let summary = |station_id, count| Summary { station_id, count };
        assert_eq!(folded.rows::<Summary>(), [summary(40_010, 3), summary(40_020, 1)]);
    }

    #[test]
    fn the_key_is_an_int32_that_is_never_null() {
        let rows = Input::columns().column("station_id", [1_i32]);
        let refused = |groups| AggregateTest::new(PLUGIN).open(&rows, &groups).unwrap_err().to_string();
        let named = Input::columns().column("station_name", ["Austin"]);
        assert!(refused(named).contains("groups have no column `station_id`, put it into the key"));
        assert!(refused(Input::columns().column("station_id", [Some(1_i32)])).contains("may be null"));
        assert!(refused(Input::columns().column("station_id", ["1"])).contains("is utf8, and the plugin takes int32"));
    }
}
