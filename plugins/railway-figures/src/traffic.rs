//! Trains, passengers and tickets.

use rillgate_sdk::prelude::*;

use crate::other_topic;

#[derive(Row, Clone, Copy)]
pub struct Record<'a> {
    #[row(name = "_topic")]
    topic: &'a str,
    #[row(optional)]
    passengers: Option<i64>,
    #[row(optional)]
    validations: Option<i64>,
}

#[derive(Row, Clone, Copy)]
pub struct Station<'a> {
    station: Option<&'a str>,
    window_start: Timestamp,
}

#[derive(Row, Default)]
pub struct Counts {
    arrivals: i64,
    departures: i64,
    passengers_arrived: i64,
    passengers_departed: i64,
    validations: i64,
}

#[derive(Row, Debug, PartialEq)]
pub struct Hour<'a> {
    station: Option<&'a str>,
    hour: Timestamp,
    arrivals: i64,
    departures: i64,
    /// Of trains in both directions.
    passengers: i64,
    passengers_arrived: i64,
    passengers_departed: i64,
    validations: i64,
    /// 1 - validations / passengers of the trains that arrived, whose tickets are validated; below 0 where more tickets were
    /// validated than passengers came. Null where none came.
    share_rejected: Option<f64>,
}

/// The names of the topics.
#[derive(FromSettings)]
pub struct Traffic {
    #[setting(default = String::from("train_arrivals"))]
    arrivals: String,
    #[setting(default = String::from("train_departures"))]
    departures: String,
    #[setting(default = String::from("ticket_validations"))]
    validations: String,
}

impl Aggregate for Traffic {
    type Row<'a> = Record<'a>;
    type Group<'a> = Station<'a>;
    type State = Counts;
    type Output<'a> = Hour<'a>;

    fn update(&self, counts: &mut Counts, record: Record<'_>) -> Result<(), Reject> {
        let passengers = not_negative("passengers", record.passengers)?;
        let validations = not_negative("validations", record.validations)?;
        let counted = match record.topic {
            topic if topic == self.arrivals => {
                Counts { arrivals: 1, passengers_arrived: passengers, ..Counts::default() }
            }
            topic if topic == self.departures => {
                Counts { departures: 1, passengers_departed: passengers, ..Counts::default() }
            }
            topic if topic == self.validations => Counts { validations, ..Counts::default() },
            topic => return Err(other_topic(topic)),
        };
        self.merge(counts, counted);
        Ok(())
    }

    fn merge(&self, counts: &mut Counts, later: Counts) {
        // None is negative: it doesn't matter in which order they come to the most that an int64 holds.
        counts.arrivals = counts.arrivals.saturating_add(later.arrivals);
        counts.departures = counts.departures.saturating_add(later.departures);
        counts.passengers_arrived = counts.passengers_arrived.saturating_add(later.passengers_arrived);
        counts.passengers_departed = counts.passengers_departed.saturating_add(later.passengers_departed);
        counts.validations = counts.validations.saturating_add(later.validations);
    }

    fn finish<'a>(&self, group: Station<'a>, counts: Counts) -> Hour<'a> {
        let Counts { arrivals, departures, passengers_arrived, passengers_departed, validations } = counts;
        let came = passengers_arrived > 0;
        Hour {
            station: group.station,
            hour: group.window_start,
            arrivals,
            departures,
            passengers: passengers_arrived.saturating_add(passengers_departed),
            passengers_arrived,
            passengers_departed,
            validations,
            share_rejected: came.then(|| 1.0 - validations as f64 / passengers_arrived as f64),
        }
    }
}

/// A number that may be missing, and then counts as none.
fn not_negative(column: &str, number: Option<i64>) -> Result<i64, Reject> {
    match number.unwrap_or_default() {
        number @ 0.. => Ok(number),
        number => Err(Reject::new(format!("{column} {number} is negative"))),
    }
}

#[cfg(test)]
mod tests {
    use rillgate_sdk::test::{AggregateTest, Grouped};

    use super::*;
    use crate::PLUGIN;

    const STATIONS: [Station; 2] = [
        Station { station: Some("Station A"), window_start: Timestamp(0) },
        Station { station: Some("Station B"), window_start: Timestamp(0) },
    ];

    fn train(topic: &str, passengers: i64) -> Record<'_> {
        Record { topic, passengers: Some(passengers), validations: None }
    }

    fn tickets(validations: i64) -> Record<'static> {
        Record { topic: "ticket_validations", passengers: None, validations: Some(validations) }
    }

    fn traffic() -> AggregateTest {
        AggregateTest::new(PLUGIN).setting("figures", "traffic")
    }

    #[test]
    fn trains_passengers_and_tickets_are_counted() {
        let [a, b] = STATIONS;
        let folded = traffic().run(Grouped::rows([
            (a, train("train_arrivals", 30)),
            (a, tickets(27)),
            (b, train("train_departures", 40)),
            (a, train("train_arrivals", 50)),
            (a, train("train_departures", 20)),
            (a, tickets(45)),
            (b, Record { topic: "train_arrivals", passengers: None, validations: None }),
        ]));
        let hour = Timestamp(0);
        let expected_a = Hour {
            station: Some("Station A"),
            hour,
            arrivals: 2,
            departures: 1,
            passengers: 100,
            passengers_arrived: 80,
            passengers_departed: 20,
            validations: 72,
            share_rejected: Some(1.0 - 72.0 / 80.0),
        };
        let expected_b = Hour {
            station: Some("Station B"),
            hour,
            arrivals: 1,
            departures: 1,
            passengers: 40,
            passengers_arrived: 0,
            passengers_departed: 40,
            validations: 0,
            share_rejected: None,
        };
        assert_eq!(folded.rows::<Hour>(), [expected_a, expected_b]);
    }

    #[test]
    fn what_can_not_be_counted_is_rejected() {
        let rows = [train("train_arrivals", -1), tickets(-2), train("incidents", 1), train("train_arrivals", 5)];
        let folded = traffic().run(Grouped::rows(rows.map(|row| (STATIONS[0], row))));
        assert_eq!(folded.rows::<Hour>()[0].passengers, 5);
        let expected = [
            (0, "passengers -1 is negative"),
            (1, "validations -2 is negative"),
            (2, "topic `incidents` is none of those that these figures are made of"),
        ];
        assert_eq!(folded.rejected(), expected);
    }

    #[test]
    fn topics_may_have_other_names() {
        let row = (STATIONS[0], train("station-1.arrivals", 5));
        let folded = traffic().setting("arrivals", "station-1.arrivals").run(Grouped::rows([row]));
        assert_eq!(folded.rows::<Hour>()[0].arrivals, 1);
    }
}
