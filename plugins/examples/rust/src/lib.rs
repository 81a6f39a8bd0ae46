//! Long waits: the example of the SDK's README.
//!
//! Columns in: id, station: utf8; waiting_time: float64 (minutes), all nullable. Columns out: the same, none of them null, and only
//! of passengers who waited for `minimum` minutes or more (setting, default 10). A wait that can't be is rejected.

use rillgate_sdk::prelude::*;

#[derive(Row)]
struct Flow<'a> {
    id: &'a str, // a null here rejects the row
    station: Option<&'a str>,
    waiting_time: Option<f64>,
}

#[derive(Row, Debug, PartialEq)]
struct LongWait<'a> {
    id: &'a str,
    station: &'a str,
    waiting_time: f64,
}

#[derive(FromSettings)]
struct Settings {
    #[setting(default = 10.0)]
    minimum: f64,
}

fn long_waits<'a>(flow: Flow<'a>, settings: &Settings) -> Result<Option<LongWait<'a>>, Reject> {
    let (Some(station), Some(waiting_time)) = (flow.station, flow.waiting_time) else { return Ok(None) };
    if waiting_time < 0.0 {
        reject!("waiting_time {waiting_time} is negative");
    }
    Ok((waiting_time >= settings.minimum).then_some(LongWait { id: flow.id, station, waiting_time }))
}

rillgate_sdk::transform!(long_waits);

#[cfg(test)]
mod tests {
    use rillgate_sdk::test::{Input, Test};

    use super::*;

    #[test]
    fn long_waits_stay_and_impossible_ones_are_rejected() {
        let flow = |id, waiting_time| Flow { id, station: Some("Station A"), waiting_time };
        let flows = [flow("a", Some(2.5)), flow("b", Some(7.0)), flow("c", None), flow("d", Some(-1.0))];
        let tested = Test::new(PLUGIN).setting("minimum", 5).run(Input::rows(flows));
        assert_eq!(tested.rows::<LongWait>(), [LongWait { id: "b", station: "Station A", waiting_time: 7.0 }]);
        assert_eq!(tested.rejected(), [(3, "waiting_time -1 is negative")]);
    }
}
