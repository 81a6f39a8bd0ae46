//! The cta system: Chicago's transit, three lines with ten trains each, turnstiles, the weather, and the table of stations.
//!
//! Every five seconds the clock of the simulation moves five minutes. In each such step every train that runs goes one station
//! on, people go through the turnstiles, and on the hour the weather is looked at. The table of stations comes first and
//! once, as a database connector sends it. What is Avro there is JSON here, with its schemas beside it.

mod stations;
mod train;

use std::collections::VecDeque;

use chrono::{NaiveDateTime, Timelike};
use serde::Serialize;

use crate::dice::Dice;
use crate::record::{AvroSchemas, Moment, Record};
use crate::{Options, clock};

use stations::{Line, Station};
use train::Train;

/// The topics.
pub(crate) const TOPICS: [&str; 4] = [ARRIVALS, TURNSTILES, WEATHER, STATIONS];
const ARRIVALS: &str = "org.chicago.cta.station.arrivals";
const TURNSTILES: &str = "org.chicago.cta.turnstiles";
const WEATHER: &str = "weather";
const STATIONS: &str = "org.chicago.cta.stations";

const STEP_MS: u64 = 5000;
const MINUTES_PER_STEP: i64 = 5;
/// The day begins at 06:00.
const FIRST_MINUTE: i64 = 6 * 60;
const TRAINS_PER_LINE: usize = 10;

const STATION_KEY: &str = r#"{"type":"record","name":"StationKey","namespace":"org.chicago.cta","fields":[{"name":"station_id","type":"int"}]}"#;
const ARRIVAL_SCHEMAS: AvroSchemas = AvroSchemas {
    key: STATION_KEY,
    value: r#"{"type":"record","name":"Arrival","namespace":"org.chicago.cta","fields":[{"name":"station_id","type":"int"},{"name":"train_id","type":"string"},{"name":"direction","type":"string"},{"name":"line","type":"string"},{"name":"train_status","type":"string"},{"name":"prev_station_id","type":["null","int"],"default":null},{"name":"prev_direction","type":["null","string"],"default":null}]}"#,
};
const TURNSTILE_SCHEMAS: AvroSchemas = AvroSchemas {
    key: STATION_KEY,
    value: r#"{"type":"record","name":"Turnstile","namespace":"org.chicago.cta","fields":[{"name":"station_id","type":"int"},{"name":"station_name","type":"string"},{"name":"line","type":"string"}]}"#,
};
const WEATHER_SCHEMAS: AvroSchemas = AvroSchemas {
    key: r#"{"type":"record","name":"WeatherKey","namespace":"org.chicago.cta","fields":[{"name":"city","type":"string"}]}"#,
    value: r#"{"type":"record","name":"Weather","namespace":"org.chicago.cta","fields":[{"name":"temperature","type":"double"},{"name":"status","type":"string"}]}"#,
};

#[derive(Serialize)]
struct StationKey {
    station_id: i32,
}

#[derive(Serialize)]
struct Arrival<'a> {
    station_id: i32,
    train_id: &'a str,
    direction: &'a str,
    line: Line,
    train_status: &'a str,
    prev_station_id: Option<i32>,
    prev_direction: Option<&'a str>,
}

/// One person goes in.
#[derive(Serialize)]
struct Turnstile<'a> {
    station_id: i32,
    station_name: &'a str,
    line: Line,
}

#[derive(Serialize)]
struct WeatherKey {
    city: &'static str,
}

#[derive(Serialize)]
struct Weather {
    temperature: f64,
    status: &'static str,
}

/// The stations, the trains, and what they share.
#[derive(Debug)]
pub(crate) struct Cta {
    start: NaiveDateTime,
    steps: u64,
    dice: Dice,
    stations: Vec<Station>,
    /// The three lines: their stations in order, as indices of `stations`, and their trains.
    lines: [(Line, Vec<usize>, Vec<Train>); 3],
    /// Degrees Fahrenheit.
    temperature: f64,
}

impl Cta {
    pub(crate) fn new(options: &Options) -> Self {
        let stations = stations::all();
        let lines = [Line::Red, Line::Blue, Line::Green].map(|line| {
            let mut on_line: Vec<usize> = (0..stations.len()).filter(|index| stations[*index].line == line).collect();
            on_line.sort_by_key(|index| stations[*index].order);
            let trains = (0..TRAINS_PER_LINE).map(|number| Train::new(line, number, TRAINS_PER_LINE, on_line.len()));
            let trains = trains.collect();
            (line, on_line, trains)
        });
        Cta {
            start: clock::minutes_into(options.start, FIRST_MINUTE),
            steps: 0,
            dice: Dice::new(options.seed, 0),
            stations,
            lines,
            temperature: 40.0,
        }
    }

    /// One step of everything.
    pub(crate) fn step(&mut self, records: &mut VecDeque<Record>) {
        let time = clock::seconds_after(self.start, self.steps as i64 * MINUTES_PER_STEP * 60);
        let moment = Moment { time, due_ms: self.steps * STEP_MS };
        if self.steps == 0 {
            records.extend(self.stations.iter().map(|station| {
                let stop_id = station.stop_id.to_string();
                Record::json(STATIONS, &stop_id, &station.row(), moment)
            }));
        }
        self.steps += 1;
        if time.minute() == 0 {
            records.push_back(self.weather(moment));
        }
        self.trains(moment, records);
        self.turnstiles(moment, records);
    }

    fn trains(&mut self, moment: Moment, records: &mut VecDeque<Record>) {
        for (line, on_line, trains) in &mut self.lines {
            for train in trains {
                if !train.step(on_line.len(), &mut self.dice) {
                    continue;
                }
                let station_id = |at: usize| self.stations[on_line[at]].station_id;
                let key = StationKey { station_id: station_id(train.at) };
                let value = Arrival {
                    station_id: key.station_id,
                    train_id: &train.id,
                    direction: train.direction.name(),
                    line: *line,
                    train_status: train.status.name(),
                    prev_station_id: train.before.map(|(at, _)| station_id(at)),
                    prev_direction: train.before.map(|(_, direction)| direction.name()),
                };
                records.push_back(Record::avro(ARRIVALS, ARRIVAL_SCHEMAS, &key, &value, moment));
            }
        }
    }

    fn turnstiles(&mut self, moment: Moment, records: &mut VecDeque<Record>) {
        let mean = match moment.time.hour() {
            7..=9 | 16..=18 => 1.0,
            0..=4 => 0.05,
            _ => 0.4,
        };
        for Station { station_id, name, line, .. } in &self.stations {
            for _ in 0..self.dice.poisson(mean) {
                let key = StationKey { station_id: *station_id };
                let value = Turnstile { station_id: *station_id, station_name: name, line: *line };
                records.push_back(Record::avro(TURNSTILES, TURNSTILE_SCHEMAS, &key, &value, moment));
            }
        }
    }

    fn weather(&mut self, moment: Moment) -> Record {
        let changed = self.temperature + self.dice.real(-4.0..=4.0);
        // To thousandths again, as the sum is not.
        self.temperature = (changed.clamp(-20.0, 100.0) * 1000.0).round() / 1000.0;
        let status = self.dice.pick(&["sunny", "partly_cloudy", "cloudy", "windy", "precipitation"]);
        let value = Weather { temperature: self.temperature, status };
        Record::avro(WEATHER, WEATHER_SCHEMAS, &WeatherKey { city: "Chicago" }, &value, moment)
    }
}

#[cfg(test)]
mod tests;
