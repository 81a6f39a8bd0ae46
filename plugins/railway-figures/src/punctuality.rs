//! How many trains that arrive are followed by one that departs from the same station, within 15 minutes of the station's clock.
//!
//! A train of the last minutes of an hour may be followed by one of the next hour. So windows overlap: each begins with its hour and
//! ends as many minutes after it as a departure may come later, and an arrival counts in the window that it is in the hour of. The
//! state has the seconds in which trains arrived and departed: rows may come in any order, and it is bounded by the seconds of a window.

use std::str::FromStr;

use rillgate_sdk::prelude::*;

use crate::{moments, other_topic};

#[derive(Row, Clone, Copy)]
pub struct Train<'a> {
    #[row(name = "_topic")]
    topic: &'a str,
    timestamp: Timestamp,
}

#[derive(Row, Clone, Copy)]
pub struct Window<'a> {
    station: Option<&'a str>,
    window_start: Timestamp,
    window_end: Timestamp,
}

/// See [`moments`].
#[derive(Row, Default)]
pub struct Trains {
    arrivals: Vec<u8>,
    departures: Vec<u8>,
}

#[derive(Row, Debug, PartialEq)]
pub struct Hour<'a> {
    station: Option<&'a str>,
    hour: Timestamp,
    arrivals: i64,
    punctual: i64,
    share_punctual: f64,
}

#[derive(FromSettings)]
pub struct Punctuality {
    /// How much later a departure may be. One in the same second follows, too: trains of one tick of the clock can't be told apart.
    #[setting(default = Minutes(15))]
    minutes: Minutes,
    #[setting(default = String::from("train_arrivals"))]
    arrivals: String,
    #[setting(default = String::from("train_departures"))]
    departures: String,
}

/// A number of minutes, at most a day.
pub struct Minutes(i64);

impl FromStr for Minutes {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            Ok(minutes @ 1..=1440) => Ok(Minutes(minutes)),
            _ => Err("must be a number of minutes from 1 to 1440"),
        }
    }
}

impl Aggregate for Punctuality {
    type Row<'a> = Train<'a>;
    type Group<'a> = Window<'a>;
    type State = Trains;
    type Output<'a> = Option<Hour<'a>>;

    fn update(&self, trains: &mut Trains, train: Train<'_>) -> Result<(), Reject> {
        let moments = match train.topic {
            topic if topic == self.arrivals => &mut trains.arrivals,
            topic if topic == self.departures => &mut trains.departures,
            topic => return Err(other_topic(topic)),
        };
        moments::add(moments, train.timestamp.seconds(), 1);
        Ok(())
    }

    fn merge(&self, trains: &mut Trains, later: Trains) {
        moments::merge(&mut trains.arrivals, &later.arrivals);
        moments::merge(&mut trains.departures, &later.departures);
    }

    /// Nothing where no train arrived.
    fn finish<'a>(&self, window: Window<'a>, trains: Trains) -> Option<Hour<'a>> {
        let limit = self.minutes.0 * 60;
        let end_of_hour = window.window_end.seconds() - limit;
        assert!(
            end_of_hour > window.window_start.seconds(),
            "a window is an hour and {} minutes: window = {{ hopping = \"75m\", slide = \"1h\" }}",
            self.minutes.0
        );
        let (mut arrivals, mut punctual) = (0, 0);
        for (second, count) in moments::iter(&trains.arrivals).take_while(|(second, _)| *second < end_of_hour) {
            let departure = moments::first_from(&trains.departures, second);
            arrivals += i64::from(count);
            punctual +=
                if departure.is_some_and(|departure| departure - second <= limit) { i64::from(count) } else { 0 };
        }
        let share_punctual = punctual as f64 / arrivals as f64;
        let hour = Hour { station: window.station, hour: window.window_start, arrivals, punctual, share_punctual };
        (arrivals > 0).then_some(hour)
    }
}

#[cfg(test)]
mod tests {
    use rillgate_sdk::test::{AggregateTest, Folded, Grouped};

    use super::*;
    use crate::PLUGIN;

    const HOUR: i64 = 3600;
    const LIMIT: i64 = 900;

    /// Puts a train into every window that it belongs to, as the host does with windows of an hour and 15 minutes.
    fn windows(topic: &'static str, second: i64) -> impl Iterator<Item = (Window<'static>, Train<'static>)> {
        let hour = second.div_euclid(HOUR);
        let begins =
            [hour - 1, hour].into_iter().map(|hour| hour * HOUR).filter(move |begin| second < begin + HOUR + LIMIT);
        begins.map(move |begin| {
            let window = Window {
                station: Some("Station A"),
                window_start: Timestamp::from_seconds(begin),
                window_end: Timestamp::from_seconds(begin + HOUR + LIMIT),
            };
            (window, Train { topic, timestamp: Timestamp::from_seconds(second) })
        })
    }

    fn run(trains: &[(&'static str, i64)]) -> Folded {
        let rows = trains.iter().flat_map(|(topic, second)| windows(topic, *second));
        AggregateTest::new(PLUGIN).setting("figures", "punctuality").run(Grouped::rows(rows))
    }

    /// The hour from which it is, how many arrived and how many were punctual.
    fn hours(folded: &Folded) -> Vec<(i64, i64, i64)> {
        let mut hours: Vec<_> = folded
            .rows::<Hour>()
            .iter()
            .map(|hour| (hour.hour.seconds() / HOUR, hour.arrivals, hour.punctual))
            .collect();
        hours.sort_unstable();
        hours
    }

    const A: &str = "train_arrivals";
    const D: &str = "train_departures";

    #[test]
    fn a_departure_within_fifteen_minutes_makes_an_arrival_punctual() {
        let at = |seconds| 10 * HOUR + seconds;
        assert_eq!(hours(&run(&[(A, at(0)), (D, at(LIMIT))])), [(10, 1, 1)]);
        assert_eq!(hours(&run(&[(A, at(0)), (D, at(LIMIT + 1))])), [(10, 1, 0)]);
        assert_eq!(hours(&run(&[(A, at(60)), (D, at(59))])), [(10, 1, 0)]);
        assert_eq!(hours(&run(&[(A, at(60)), (D, at(60))])), [(10, 1, 1)]);
        assert_eq!(hours(&run(&[(D, at(300)), (A, at(0)), (A, at(0)), (A, at(301))])), [(10, 3, 2)]);
    }

    #[test]
    fn an_arrival_at_the_end_of_an_hour_waits_for_the_next() {
        let next = 11 * HOUR;
        // The arrival of 10:50 is followed at 11:04; that of 11:00 isn't one of the hour before.
        let folded = run(&[(A, next - 600), (A, next), (D, next + 240), (A, next + 3599), (D, next + 3599 + LIMIT)]);
        assert_eq!(hours(&folded), [(10, 1, 1), (11, 2, 2)]);
        assert_eq!(hours(&run(&[(A, next - 661), (D, next + 240)])), [(10, 1, 0)]);
    }

    #[test]
    fn shares_are_those_of_a_plain_count_over_a_day_of_trains() {
        // Trains that look random, some of them at once, out of order.
        let mut number = 7_u64;
        let mut draw = |below: u64| {
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (number >> 33) % below
        };
        let trains: Vec<(&str, i64)> =
            (0..150).map(|_| (if draw(2) == 0 { A } else { D }, (draw(5 * 3600 / 60) * 60) as i64)).collect();
        let of = |topic: &'static str| trains.iter().filter(move |train| train.0 == topic).map(|train| train.1);
        let mut expected = Vec::new();
        for hour in 0..5 {
            let arrivals: Vec<i64> = of(A).filter(|second| second / HOUR == hour).collect();
            let punctual =
                arrivals.iter().filter(|arrival| of(D).any(|other| (0..=LIMIT).contains(&(other - **arrival))));
            expected.push((hour, arrivals.len() as i64, punctual.count() as i64));
        }
        let folded = run(&trains);
        assert_eq!(hours(&folded), expected);
        assert!(expected.iter().any(|(_, arrivals, punctual)| 0 < *punctual && punctual < arrivals), "{expected:?}");
        let row = &folded.rows::<Hour>()[0];
        assert_eq!(row.share_punctual, row.punctual as f64 / row.arrivals as f64);
    }

    #[test]
    fn settings_and_windows_that_make_no_sense_are_refused() {
        let words = |minutes: &str| {
            let test = AggregateTest::new(PLUGIN).setting("figures", "punctuality").setting("minutes", minutes);
            let run = std::panic::catch_unwind(move || test.run(Grouped::rows(windows(A, 0))));
            *run.unwrap_err().downcast::<String>().unwrap()
        };
        assert!(words("0").contains("setting `minutes`: must be a number of minutes from 1 to 1440"));
        assert!(words("75").contains("a window is an hour and 75 minutes"));
    }
}
