//! The smart-city system: one vehicle from London to Birmingham, over on arrival.

use std::collections::VecDeque;

use crate::vehicle::{self, Vehicle};
use crate::{Options, Record};

const TRAFFIC: &str = "traffic_data";
/// The topics, in the order in which the vehicle writes to them.
pub(crate) const TOPICS: [&str; 5] = [vehicle::VEHICLE, vehicle::GPS, TRAFFIC, vehicle::WEATHER, vehicle::EMERGENCY];

#[derive(Debug)]
pub(crate) struct SmartCity {
    vehicle: Vehicle,
}

impl SmartCity {
    pub(crate) fn new(options: &Options) -> Self {
        SmartCity { vehicle: Vehicle::new(options, 1, TRAFFIC) }
    }

    /// One step of the vehicle; false when it has arrived.
    pub(crate) fn step(&mut self, records: &mut VecDeque<Record>) -> bool {
        if self.vehicle.has_arrived() {
            return false;
        }
        self.vehicle.step(records);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Is, check_fields, first_of_each_topic, json};
    use crate::{System, feed};

    #[test]
    fn first_records_are_what_they_always_were() {
        assert_eq!(
            first_of_each_topic(feed(System::SmartCity, 42), &TOPICS),
            [
                r#"vehicle_data 14071449-8c1c-4103-9287-0136861104d5 {"id":"14071449-8c1c-4103-9287-0136861104d5","deviceId":"vehicle-001","timestamp":"2026-01-01T06:00:49","location":[51.51714939726163,-0.14466413239994508],"speed":25.903,"direction":"North-East","make":"Ford","model":"Transit","year":2017,"fuelType":"Diesel"}"#,
                r#"gps_data 8bcae8aa-a30f-469a-8333-fe04e41563f7 {"id":"8bcae8aa-a30f-469a-8333-fe04e41563f7","deviceId":"vehicle-001","timestamp":"2026-01-01T06:00:49","speed":16.993,"direction":"North-East","vehicle_type":"delivery"}"#,
                r#"traffic_data 0937a2ed-3bd2-472b-9135-085a2e09b68c {"id":"0937a2ed-3bd2-472b-9135-085a2e09b68c","deviceId":"vehicle-001","cameraId":"camera-001","location":[51.51714939726163,-0.14466413239994508],"timestamp":"2026-01-01T06:00:49","snapshot":"OMaRe0z0kHdMb2OjFPil8MFcdZMO/hQ3h9Fwns9VwkxIPC2gT6ovXaM4of/JW6zq"}"#,
                r#"weather_data 60fb826c-217c-477a-b63c-d78ad2d4752a {"id":"60fb826c-217c-477a-b63c-d78ad2d4752a","deviceId":"vehicle-001","location":[51.51714939726163,-0.14466413239994508],"timestamp":"2026-01-01T06:00:49","temperature":-1.143,"weatherCondition":"Cloud","precipitation":8.218,"windSpeed":5.476,"humidity":8,"airQualityIndex":125.615}"#,
                r#"emergency_data 7f52f0b1-3b8c-4f00-b60a-64e169385246 {"id":"7f52f0b1-3b8c-4f00-b60a-64e169385246","deviceId":"vehicle-001","incidentId":"19c96a4c-a483-4584-8302-b352d0be7aec","type":"Fire","location":[51.51714939726163,-0.14466413239994508],"timestamp":"2026-01-01T06:00:49","status":"Resolved","description":"Smoke seen from the carriageway"}"#,
            ]
        );
    }

    #[test]
    fn fields_are_the_systems_own() {
        let (id, device) = (("id", Is::Uuid), ("deviceId", Is::Text("vehicle-001")));
        let (timestamp, location) = (("timestamp", Is::Time), ("location", Is::Location));
        let direction = ("direction", Is::OneOf(&["North-East"]));
        for record in feed(System::SmartCity, 42) {
            match record.topic {
                "vehicle_data" => check_fields(
                    &record,
                    &[
                        id,
                        device,
                        timestamp,
                        location,
                        ("speed", Is::Real(10.0, 40.0)),
                        direction,
                        ("make", Is::Text("")),
                        ("model", Is::Text("")),
                        ("year", Is::Whole(2016, 2025)),
                        ("fuelType", Is::OneOf(&["Hybrid", "Electric", "Petrol", "Diesel"])),
                    ],
                ),
                "gps_data" => check_fields(
                    &record,
                    &[
                        id,
                        device,
                        timestamp,
                        ("speed", Is::Real(0.0, 40.0)),
                        direction,
                        ("vehicle_type", Is::OneOf(&["private", "taxi", "delivery"])),
                    ],
                ),
                "traffic_data" => check_fields(
                    &record,
                    &[
                        id,
                        device,
                        ("cameraId", Is::Text("camera-001")),
                        location,
                        timestamp,
                        ("snapshot", Is::Text("")),
                    ],
                ),
                "weather_data" => check_fields(
                    &record,
                    &[
                        id,
                        device,
                        location,
                        timestamp,
                        ("temperature", Is::Real(-5.0, 26.0)),
                        ("weatherCondition", Is::OneOf(&["Sunny", "Cloud", "Rain", "Snow"])),
                        ("precipitation", Is::Real(0.0, 25.0)),
                        ("windSpeed", Is::Real(0.0, 100.0)),
                        ("humidity", Is::Whole(0, 100)),
                        ("airQualityIndex", Is::Real(0.0, 500.0)),
                    ],
                ),
                "emergency_data" => check_fields(
                    &record,
                    &[
                        id,
                        device,
                        ("incidentId", Is::Uuid),
                        ("type", Is::OneOf(&["Accident", "Fire", "Medical", "Police", "None"])),
                        location,
                        timestamp,
                        ("status", Is::OneOf(&["Active", "Resolved"])),
                        ("description", Is::Text("")),
                    ],
                ),
                other => panic!("{other}"),
            }
        }
    }

    #[test]
    fn snapshots_are_base64_of_their_own() {
        use base64::Engine as _;
        let snapshots: std::collections::HashSet<Vec<u8>> = feed(System::SmartCity, 42)
            .filter(|record| record.topic == TRAFFIC)
            .map(|record| json(&record)["snapshot"].as_str().unwrap().to_owned())
            .map(|text| base64::engine::general_purpose::STANDARD.decode(text).unwrap())
            .collect();
        assert_eq!(snapshots.len(), 100);
    }

    #[test]
    fn the_journey_takes_a_hundred_steps_and_ends_in_birmingham() {
        let records: Vec<Record> = feed(System::SmartCity, 42).collect();
        assert_eq!(records.len(), 500);
        let mut before = 0;
        for (step, records) in records.chunks(5).enumerate() {
            assert!(records.iter().map(|record| record.topic).eq(TOPICS), "one record of each");
            let way = (step + 1) as f64 / 100.0;
            let (latitude, longitude) = (51.5074 + 0.9788 * way, -0.1278 - 1.6816 * way);
            let location = &json(&records[0])["location"];
            assert!((location[0].as_f64().unwrap() - latitude).abs() < 0.000_100_1, "step {step}: {location}");
            assert!((location[1].as_f64().unwrap() - longitude).abs() < 0.000_100_1, "step {step}: {location}");

            let now = records[0].due_ms;
            assert!(records.iter().all(|record| record.due_ms == now), "one time for all of them");
            assert!((30_000..=60_000).contains(&(now - before)), "step {step} took {} ms", now - before);
            before = now;
        }
        let start = records[0].event_time_ms - records[0].due_ms as i64;
        assert_eq!(start, 1_767_247_200_000, "it sets out at 2026-01-01T06:00:00");
    }
}
