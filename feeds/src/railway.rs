//! The railway system: four stations in ticks of five minutes, from 06:00 to 22:55 and round again.
//!
//! A tick is sent every 180 s and forgets the one before. Trains come off peak and leave at peak, none where there is
//! an incident; every arrival brings one ticket validation and one passenger flow record.

use std::collections::VecDeque;

use chrono::{NaiveDate, Timelike};
use serde::Serialize;

use crate::dice::Dice;
use crate::record::{Moment, Record};
use crate::{Options, clock};

/// The topics.
pub(crate) const TOPICS: [&str; 6] = [INCIDENTS, FAILURES, ARRIVALS, DEPARTURES, VALIDATIONS, FLOW];
const INCIDENTS: &str = "incidents";
const FAILURES: &str = "equipment_failures";
const ARRIVALS: &str = "train_arrivals";
const VALIDATIONS: &str = "ticket_validations";
const FLOW: &str = "passenger_flow";
const DEPARTURES: &str = "train_departures";

const STATIONS: [&str; 4] = ["Station A", "Station B", "Station C", "Station D"];

/// 06:00, 06:05 ... 22:55.
const TICKS_PER_DAY: u64 = 204;
const FIRST_MINUTE: i64 = 6 * 60;
const MINUTES_PER_TICK: i64 = 5;
const TICK_MS: u64 = 180_000;

/// The chance of each thing to happen, per tick and station.
const INCIDENT: f64 = 0.005;
const FAILURE: f64 = 0.01;
const ARRIVAL_AT_PEAK: f64 = 0.05;
const ARRIVAL_OFF_PEAK: f64 = 1.0;
const DEPARTURE_AT_PEAK: f64 = 1.0;
const DEPARTURE_OFF_PEAK: f64 = 0.02;

#[derive(Serialize)]
struct Incident<'a> {
    id: &'a str,
    r#type: &'a str,
    station: &'a str,
    location: &'a str,
    timestamp: &'a str,
    severity: &'a str,
    duration: f64,
}

#[derive(Serialize)]
struct EquipmentFailure<'a> {
    id: &'a str,
    equipment: &'a str,
    station: &'a str,
    location: &'a str,
    timestamp: &'a str,
    duration: f64,
}

/// An arrival or a departure.
#[derive(Serialize)]
struct Train<'a> {
    id: &'a str,
    station: &'a str,
    timestamp: &'a str,
    passengers: i64,
    dock_number: i64,
    wagon_count: i64,
    direction: &'a str,
}

#[derive(Serialize)]
struct TicketValidation<'a> {
    id: &'a str,
    train_id: &'a str,
    station: &'a str,
    timestamp: &'a str,
    validations: i64,
}

#[derive(Serialize)]
struct PassengerFlow<'a> {
    id: &'a str,
    train_id: &'a str,
    station: &'a str,
    timestamp: &'a str,
    waiting_time: f64,
    ticket_check_time: f64,
    reduced_flow_factor: f64,
}

/// Ids that are never given twice: a prefix and a counter, which grows past its three digits.
#[derive(Debug)]
struct Ids {
    prefix: &'static str,
    given: u64,
}

impl Ids {
    fn new(prefix: &'static str) -> Self {
        Ids { prefix, given: 0 }
    }

    fn next(&mut self) -> String {
        self.given += 1;
        format!("{}{:03}", self.prefix, self.given)
    }
}

/// The four stations and what they share: the clock, the dice and the ids.
#[derive(Debug)]
pub(crate) struct Railway {
    start: NaiveDate,
    ticks: u64,
    dice: Dice,
    incidents: Ids,
    failures: Ids,
    arrivals: Ids,
    departures: Ids,
    validations: Ids,
    flows: Ids,
}

/// What all records of one station have in common within a tick.
struct Scene<'a> {
    station: &'static str,
    timestamp: &'a str,
    moment: Moment,
    peak: bool,
    /// Whether the station has an incident.
    incident: bool,
}

impl Railway {
    pub(crate) fn new(options: &Options) -> Self {
        Railway {
            start: options.start,
            ticks: 0,
            dice: Dice::new(options.seed, 0),
            incidents: Ids::new("inc"),
            failures: Ids::new("eqf"),
            arrivals: Ids::new("arr"),
            departures: Ids::new("dep"),
            validations: Ids::new("tkv"),
            flows: Ids::new("psf"),
        }
    }

    /// One tick of all stations.
    pub(crate) fn tick(&mut self, records: &mut VecDeque<Record>) {
        let (day, tick) = ((self.ticks / TICKS_PER_DAY) as i64, (self.ticks % TICKS_PER_DAY) as i64);
        let minutes = day * 24 * 60 + FIRST_MINUTE + tick * MINUTES_PER_TICK;
        let time = clock::minutes_into(self.start, minutes);
        let moment = Moment { time, due_ms: self.ticks * TICK_MS };
        self.ticks += 1;

        let timestamp = clock::iso(time);
        for station in STATIONS {
            let incident = self.dice.chance(INCIDENT);
            let scene = Scene { station, timestamp: &timestamp, moment, peak: is_peak(time.hour()), incident };
            self.station(&scene, records);
        }
    }

    fn station(&mut self, scene: &Scene, records: &mut VecDeque<Record>) {
        if scene.incident {
            records.push_back(self.incident(scene));
        }
        if self.dice.chance(FAILURE) {
            records.push_back(self.failure(scene));
        }
        let (arrival, departure) = match scene.peak {
            _ if scene.incident => (0.0, 0.0),
            true => (ARRIVAL_AT_PEAK, DEPARTURE_AT_PEAK),
            false => (ARRIVAL_OFF_PEAK, DEPARTURE_OFF_PEAK),
        };
        if self.dice.chance(arrival) {
            let id = self.arrivals.next();
            let (passengers, record) = self.train(ARRIVALS, &id, scene);
            records.push_back(record);
            records.push_back(self.validation(&id, passengers, scene));
            records.push_back(self.flow(&id, scene));
        }
        if self.dice.chance(departure) {
            let id = self.departures.next();
            records.push_back(self.train(DEPARTURES, &id, scene).1);
        }
    }

    fn incident(&mut self, scene: &Scene) -> Record {
        let id = self.incidents.next();
        let value = Incident {
            id: &id,
            r#type: self.dice.pick(&["suspect package", "Technique"]),
            station: scene.station,
            location: &self.location(),
            timestamp: scene.timestamp,
            severity: self.dice.pick(&["Minor", "Major"]),
            duration: self.dice.exponential(60.0),
        };
        Record::json(INCIDENTS, &id, &value, scene.moment)
    }

    fn failure(&mut self, scene: &Scene) -> Record {
        let id = self.failures.next();
        let value = EquipmentFailure {
            id: &id,
            equipment: self.dice.pick(&["validator", "escalator", "notice board"]),
            station: scene.station,
            location: &self.location(),
            timestamp: scene.timestamp,
            duration: self.dice.exponential(30.0),
        };
        Record::json(FAILURES, &id, &value, scene.moment)
    }

    /// A train, and how many passengers it has.
    fn train(&mut self, topic: &'static str, id: &str, scene: &Scene) -> (i64, Record) {
        let value = Train {
            id,
            station: scene.station,
            timestamp: scene.timestamp,
            passengers: self.dice.poisson(if scene.peak { 50.0 } else { 20.0 }),
            dock_number: self.dice.whole(1..=5),
            wagon_count: self.dice.whole(4..=10),
            direction: self.dice.pick(&["North", "South", "East", "West"]),
        };
        (value.passengers, Record::json(topic, id, &value, scene.moment))
    }

    fn validation(&mut self, train_id: &str, passengers: i64, scene: &Scene) -> Record {
        let id = self.validations.next();
        let value = TicketValidation {
            id: &id,
            train_id,
            station: scene.station,
            timestamp: scene.timestamp,
            validations: self.dice.poisson(0.9 * passengers as f64),
        };
        Record::json(VALIDATIONS, &id, &value, scene.moment)
    }

    fn flow(&mut self, train_id: &str, scene: &Scene) -> Record {
        let id = self.flows.next();
        let value = PassengerFlow {
            id: &id,
            train_id,
            station: scene.station,
            timestamp: scene.timestamp,
            waiting_time: self.dice.exponential(5.0),
            ticket_check_time: self.dice.real(1.0..=3.0),
            // The system's rule. As no train comes in during an incident, and only trains bring passengers, it is 1.0
            // for as long as both rules stand.
            reduced_flow_factor: if scene.incident { 0.5 } else { 1.0 },
        };
        Record::json(FLOW, &id, &value, scene.moment)
    }

    fn location(&mut self) -> String {
        format!("Dock {}, {}", self.dice.whole(1..=5), self.dice.pick(&["Corridor", "Platform"]))
    }
}

/// 07:00 to 09:59 and 17:00 to 19:59.
fn is_peak(hour: u32) -> bool {
    matches!(hour, 7..=9 | 17..=19)
}

#[cfg(test)]
mod tests;
