//! A vehicle on its way from London to Birmingham, as smart-city and smart-travel have it.
//!
//! The way is 100 equal steps. After each one the vehicle sends what it and its surroundings are like: five records
//! with the same time, a random id each.

use std::collections::VecDeque;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::NaiveDateTime;
use serde::Serialize;

use crate::dice::Dice;
use crate::record::{Moment, Record};
use crate::{Options, clock};

pub(crate) const VEHICLE: &str = "vehicle_data";
pub(crate) const GPS: &str = "gps_data";
pub(crate) const WEATHER: &str = "weather_data";
pub(crate) const EMERGENCY: &str = "emergency_data";

/// Latitude and longitude, in degrees.
type Location = [f64; 2];
const LONDON: Location = [51.5074, -0.1278];
const BIRMINGHAM: Location = [52.4862, -1.8094];
const STEPS: u32 = 100;
/// By how many degrees each coordinate may be off the line at each step.
const NOISE: f64 = 0.0001;
/// What the system calls the direction of this journey.
const DIRECTION: &str = "North-East";
/// Vehicles set out at 06:00.
const FIRST_MINUTE: i64 = 6 * 60;

/// Make, model, fuel and use of the vehicles that there are.
const MODELS: [[&str; 4]; 5] = [
    ["BMW", "330e", "Hybrid", "private"],
    ["Nissan", "Leaf", "Electric", "private"],
    ["Vauxhall", "Astra", "Petrol", "private"],
    ["Toyota", "Corolla", "Hybrid", "taxi"],
    ["Ford", "Transit", "Diesel", "delivery"],
];

/// Emergencies and how they are described.
const EMERGENCIES: [[&str; 2]; 5] = [
    ["Accident", "Collision, one lane closed"],
    ["Fire", "Smoke seen from the carriageway"],
    ["Medical", "Ambulance called to the hard shoulder"],
    ["Police", "Police at the roadside"],
    ["None", "Nothing to report"],
];

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct VehicleData<'a> {
    id: &'a str,
    device_id: &'a str,
    timestamp: &'a str,
    location: Location,
    speed: f64,
    direction: &'a str,
    make: &'a str,
    model: &'a str,
    year: i64,
    fuel_type: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GpsData<'a> {
    id: &'a str,
    device_id: &'a str,
    timestamp: &'a str,
    speed: f64,
    direction: &'a str,
    /// The one name in snake case.
    #[serde(rename = "vehicle_type")]
    vehicle_type: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CameraData<'a> {
    id: &'a str,
    device_id: &'a str,
    camera_id: &'a str,
    location: Location,
    timestamp: &'a str,
    snapshot: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WeatherData<'a> {
    id: &'a str,
    device_id: &'a str,
    location: Location,
    timestamp: &'a str,
    temperature: f64,
    weather_condition: &'a str,
    precipitation: f64,
    wind_speed: f64,
    humidity: i64,
    air_quality_index: f64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EmergencyData<'a> {
    id: &'a str,
    device_id: &'a str,
    incident_id: String,
    r#type: &'a str,
    location: Location,
    timestamp: &'a str,
    status: &'a str,
    description: &'a str,
}

/// A vehicle, with dice of its own: what it does depends on the seed and its number, not on who else is on the road.
#[derive(Debug)]
pub(crate) struct Vehicle {
    /// Where the pictures of its camera go: `traffic_data` or `camera_data`.
    camera_topic: &'static str,
    dice: Dice,
    device_id: String,
    camera_id: String,
    make: &'static str,
    model: &'static str,
    fuel_type: &'static str,
    vehicle_type: &'static str,
    year: i64,
    set_out: NaiveDateTime,
    /// When it has done the step that comes next.
    next: NaiveDateTime,
    /// How many steps it has done of this journey.
    steps: u32,
}

impl Vehicle {
    /// Vehicle `number` (from 1) in London at 06:00 of the first day.
    pub(crate) fn new(options: &Options, number: u32, camera_topic: &'static str) -> Self {
        let mut dice = Dice::new(options.seed, u64::from(number));
        let [make, model, fuel_type, vehicle_type] = dice.pick(&MODELS);
        let year = dice.whole(2016..=2025);
        let set_out = clock::minutes_into(options.start, FIRST_MINUTE);
        let next = clock::seconds_after(set_out, dice.whole(30..=60));
        Vehicle {
            camera_topic,
            dice,
            device_id: format!("vehicle-{number:03}"),
            camera_id: format!("camera-{number:03}"),
            make,
            model,
            fuel_type,
            vehicle_type,
            year,
            set_out,
            next,
            steps: 0,
        }
    }

    /// When it has done the step that comes next.
    pub(crate) fn next_time(&self) -> NaiveDateTime {
        self.next
    }

    /// Whether it has reached Birmingham.
    pub(crate) fn has_arrived(&self) -> bool {
        self.steps >= STEPS
    }

    /// Puts it back to London. Its clock goes on.
    pub(crate) fn start_again(&mut self) {
        self.steps = 0;
    }

    /// Does one step and adds the five records of it.
    pub(crate) fn step(&mut self, records: &mut VecDeque<Record>) {
        self.steps += 1;
        let way = f64::from(self.steps) / f64::from(STEPS);
        let location = [0, 1].map(|axis| {
            let straight = LONDON[axis] + (BIRMINGHAM[axis] - LONDON[axis]) * way;
            straight + self.dice.noise(NOISE)
        });
        let due_ms = (clock::epoch_ms(self.next) - clock::epoch_ms(self.set_out)).unsigned_abs();
        let moment = Moment { time: self.next, due_ms };
        let timestamp = clock::iso(self.next);

        records.push_back(self.vehicle_data(location, &timestamp, moment));
        records.push_back(self.gps_data(&timestamp, moment));
        records.push_back(self.camera_data(location, &timestamp, moment));
        records.push_back(self.weather_data(location, &timestamp, moment));
        records.push_back(self.emergency_data(location, &timestamp, moment));

        self.next = clock::seconds_after(self.next, self.dice.whole(30..=60));
    }

    fn vehicle_data(&mut self, location: Location, timestamp: &str, moment: Moment) -> Record {
        let id = self.dice.uuid().to_string();
        let value = VehicleData {
            id: &id,
            device_id: &self.device_id,
            timestamp,
            location,
            speed: self.dice.real(10.0..=40.0),
            direction: DIRECTION,
            make: self.make,
            model: self.model,
            year: self.year,
            fuel_type: self.fuel_type,
        };
        Record::json(VEHICLE, &id, &value, moment)
    }

    fn gps_data(&mut self, timestamp: &str, moment: Moment) -> Record {
        let id = self.dice.uuid().to_string();
        let value = GpsData {
            id: &id,
            device_id: &self.device_id,
            timestamp,
            speed: self.dice.real(0.0..=40.0),
            direction: DIRECTION,
            vehicle_type: self.vehicle_type,
        };
        Record::json(GPS, &id, &value, moment)
    }

    fn camera_data(&mut self, location: Location, timestamp: &str, moment: Moment) -> Record {
        let id = self.dice.uuid().to_string();
        let value = CameraData {
            id: &id,
            device_id: &self.device_id,
            camera_id: &self.camera_id,
            location,
            timestamp,
            snapshot: STANDARD.encode(self.dice.bytes::<48>()),
        };
        Record::json(self.camera_topic, &id, &value, moment)
    }

    fn weather_data(&mut self, location: Location, timestamp: &str, moment: Moment) -> Record {
        let id = self.dice.uuid().to_string();
        let value = WeatherData {
            id: &id,
            device_id: &self.device_id,
            location,
            timestamp,
            temperature: self.dice.real(-5.0..=26.0),
            weather_condition: self.dice.pick(&["Sunny", "Cloud", "Rain", "Snow"]),
            precipitation: self.dice.real(0.0..=25.0),
            wind_speed: self.dice.real(0.0..=100.0),
            humidity: self.dice.whole(0..=100),
            air_quality_index: self.dice.real(0.0..=500.0),
        };
        Record::json(WEATHER, &id, &value, moment)
    }

    fn emergency_data(&mut self, location: Location, timestamp: &str, moment: Moment) -> Record {
        let id = self.dice.uuid().to_string();
        let [r#type, description] = self.dice.pick(&EMERGENCIES);
        let value = EmergencyData {
            id: &id,
            device_id: &self.device_id,
            incident_id: self.dice.uuid().to_string(),
            r#type,
            location,
            timestamp,
            status: self.dice.pick(&["Active", "Resolved"]),
            description,
        };
        Record::json(EMERGENCY, &id, &value, moment)
    }
}
