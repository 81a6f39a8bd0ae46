//! The smart-travel system: a fleet of vehicles from London to Birmingham, each back in London on arrival.

use std::collections::VecDeque;

use crate::vehicle::{self, Vehicle};
use crate::{Options, Record};

const CAMERA: &str = "camera_data";
/// The topics, in the order in which a vehicle writes to them.
pub(crate) const TOPICS: [&str; 5] = [vehicle::VEHICLE, vehicle::GPS, CAMERA, vehicle::WEATHER, vehicle::EMERGENCY];

#[derive(Debug)]
pub(crate) struct SmartTravel {
    fleet: Vec<Vehicle>,
}

impl SmartTravel {
    pub(crate) fn new(options: &Options) -> Self {
        SmartTravel { fleet: (1..=options.vehicles).map(|number| Vehicle::new(options, number, CAMERA)).collect() }
    }

    /// One step of the vehicle whose turn it is, the first of them on a tie; false for a fleet of none.
    pub(crate) fn step(&mut self, records: &mut VecDeque<Record>) -> bool {
        let Some(vehicle) = self.fleet.iter_mut().min_by_key(|vehicle| vehicle.next_time()) else {
            return false;
        };
        if vehicle.has_arrived() {
            vehicle.start_again();
        }
        vehicle.step(records);
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::testing::{first_of_each_topic, json};
    use crate::{System, feed, feed_with};

    #[test]
    fn first_records_are_what_they_always_were() {
        assert_eq!(
            first_of_each_topic(feed(System::SmartTravel, 42), &TOPICS),
            [
                r#"vehicle_data 8eba6a5b-c258-4744-ac3a-d566c6fa8bd7 {"id":"8eba6a5b-c258-4744-ac3a-d566c6fa8bd7","deviceId":"vehicle-003","timestamp":"2026-01-01T06:00:30","location":[51.51723704105002,-0.14466824137915543],"speed":14.467,"direction":"North-East","make":"Nissan","model":"Leaf","year":2024,"fuelType":"Electric"}"#,
                r#"gps_data bc4cea69-2102-4aa5-be70-7c1b40c2564e {"id":"bc4cea69-2102-4aa5-be70-7c1b40c2564e","deviceId":"vehicle-003","timestamp":"2026-01-01T06:00:30","speed":25.505,"direction":"North-East","vehicle_type":"private"}"#,
                r#"camera_data 10441e67-00d9-4da9-82f0-c5e35d462c9d {"id":"10441e67-00d9-4da9-82f0-c5e35d462c9d","deviceId":"vehicle-003","cameraId":"camera-003","location":[51.51723704105002,-0.14466824137915543],"timestamp":"2026-01-01T06:00:30","snapshot":"EumMNfQ9NPT3Ax1BZbIuIRZ44/s514K/ofH305WKgwcMK2jDTEL/bWmYKO4BYyjm"}"#,
                r#"weather_data 34e99f50-5ec2-41f1-aa8b-222fc7dda285 {"id":"34e99f50-5ec2-41f1-aa8b-222fc7dda285","deviceId":"vehicle-003","location":[51.51723704105002,-0.14466824137915543],"timestamp":"2026-01-01T06:00:30","temperature":14.704,"weatherCondition":"Snow","precipitation":13.989,"windSpeed":77.464,"humidity":76,"airQualityIndex":458.915}"#,
                r#"emergency_data eff00c4f-78e7-418b-a480-2552c11bc882 {"id":"eff00c4f-78e7-418b-a480-2552c11bc882","deviceId":"vehicle-003","incidentId":"1082e3de-4b37-42bf-abe5-e874a0067bfd","type":"Medical","location":[51.51723704105002,-0.14466824137915543],"timestamp":"2026-01-01T06:00:30","status":"Active","description":"Ambulance called to the hard shoulder"}"#,
            ]
        );
    }

    /// The latitudes of each vehicle, in order.
    fn latitudes(records: impl Iterator<Item = Record>) -> HashMap<String, Vec<f64>> {
        let mut latitudes: HashMap<String, Vec<f64>> = HashMap::new();
        for record in records.filter(|record| record.topic == vehicle::VEHICLE) {
            let value = json(&record);
            let vehicle = value["deviceId"].as_str().unwrap().to_owned();
            latitudes.entry(vehicle).or_default().push(value["location"][0].as_f64().unwrap());
        }
        latitudes
    }

    #[test]
    fn each_vehicle_starts_again_after_a_hundred_steps() {
        let latitudes = latitudes(feed(System::SmartTravel, 42).take(15_000));
        assert_eq!(latitudes.len(), 10);
        for (vehicle, latitudes) in latitudes {
            assert!(latitudes.len() > 200, "{vehicle} has done {} steps", latitudes.len());
            for (step, latitude) in latitudes.iter().enumerate() {
                let expected = 51.5074 + 0.9788 * (step % 100 + 1) as f64 / 100.0;
                assert!((latitude - expected).abs() < 0.000_100_1, "{vehicle}, step {step}: {latitude}");
            }
        }
    }

    #[test]
    fn a_vehicle_does_the_same_whoever_else_is_on_the_road() {
        let alone = Options { vehicles: 1, ..Options::seeded(42) };
        let fleet = feed(System::SmartTravel, 42).filter(|record| json(record)["deviceId"] == "vehicle-001");
        assert!(fleet.take(1000).eq(feed_with(System::SmartTravel, &alone).take(1000)));
        let none = Options { vehicles: 0, ..alone };
        assert_eq!(feed_with(System::SmartTravel, &none).count(), 0);
    }

    #[test]
    fn it_is_the_smart_city_with_a_camera_of_another_name() {
        let alone = Options { vehicles: 1, ..Options::seeded(42) };
        let travel = feed_with(System::SmartTravel, &alone).take(500);
        let city = feed(System::SmartCity, 42).map(|record| match record.topic {
            "traffic_data" => Record { topic: CAMERA, ..record },
            _ => record,
        });
        assert!(travel.eq(city));
    }
}
