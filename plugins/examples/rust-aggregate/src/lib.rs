//! Waits: the aggregate of the SDK's README.
//!
//! Columns in: waiting_time: float64 (minutes, may be null), and the key `station`: utf8, with a window. Columns out, a row for each
//! station and window: station, window_start, passengers: int64, mean and longest: float64, only where anybody waited. A wait that
//! can't be is rejected.

use rillgate_sdk::prelude::*;

#[derive(Row)]
struct Flow {
    waiting_time: Option<f64>,
}

#[derive(Row)]
struct Station<'a> {
    station: Option<&'a str>, // the pipeline's key; the window's columns come beside it
    window_start: Timestamp,
}

#[derive(Row, Default)]
struct Sums {
    passengers: i64,
    minutes: f64,
    longest: f64,
}

#[derive(Row, Debug, PartialEq)]
struct Waits<'a> {
    station: Option<&'a str>,
    window_start: Timestamp,
    passengers: i64,
    mean: f64,
    longest: f64,
}

#[derive(FromSettings)]
struct StationWaits;

impl Aggregate for StationWaits {
    type Row<'a> = Flow;
    type Group<'a> = Station<'a>;
    type State = Sums;
    type Output<'a> = Option<Waits<'a>>;

    fn update(&self, sums: &mut Sums, flow: Flow) -> Result<(), Reject> {
        let Some(minutes) = flow.waiting_time else { return Ok(()) };
        if minutes < 0.0 {
            reject!("waiting_time {minutes} is negative");
        }
        self.merge(sums, Sums { passengers: 1, minutes, longest: minutes });
        Ok(())
    }

    fn merge(&self, sums: &mut Sums, later: Sums) {
        sums.passengers += later.passengers;
        sums.minutes += later.minutes;
        sums.longest = sums.longest.max(later.longest);
    }

    fn finish<'a>(&self, group: Station<'a>, sums: Sums) -> Option<Waits<'a>> {
        let Station { station, window_start } = group;
        let mean = sums.minutes / sums.passengers as f64;
        let waits = Waits { station, window_start, passengers: sums.passengers, mean, longest: sums.longest };
        (sums.passengers > 0).then_some(waits)
    }
}

rillgate_sdk::aggregate!(StationWaits);

#[cfg(test)]
mod tests {
    use rillgate_sdk::test::{AggregateTest, Grouped};

    use super::*;

    #[test]
    fn waits_are_summed_up_by_station() {
        let flow = |station, waiting_time| {
            (Station { station: Some(station), window_start: Timestamp(0) }, Flow { waiting_time })
        };
        let flows = [flow("A", Some(2.0)), flow("B", None), flow("A", Some(7.0)), flow("A", Some(-1.0))];
        let folded = AggregateTest::new(PLUGIN).run(Grouped::rows(flows));
        let waits = |station, passengers, mean, longest| Waits {
            station: Some(station),
            window_start: Timestamp(0),
            passengers,
            mean,
            longest,
        };
        assert_eq!(folded.rows::<Waits>(), [waits("A", 2, 4.5, 7.0)]);
        assert_eq!(folded.rejected(), [(3, "waiting_time -1 is negative")]);
    }
}
