//! Smart city: a vehicle that drives through it. Five topics, from JSON as the feed sends it to typed tables.
//!
//! The setting `topic` says which one. Columns in, all nullable; a timestamp is ISO-8601 or milliseconds, as the pipeline's
//! `decode` reads it, and a location the text `[latitude, longitude]`:
//!
//! | topic | columns in |
//! |---|---|
//! | `vehicle_data` | id, deviceId: utf8; timestamp: timestamp; location: utf8; speed: float64; direction, make, model: utf8; year: int64; fuelType: utf8 |
//! | `gps_data` | id, deviceId: utf8; timestamp: timestamp; speed: float64; direction, vehicle_type: utf8 |
//! | `traffic_data` | id, deviceId, cameraId, location: utf8; timestamp: timestamp; snapshot: utf8 |
//! | `weather_data` | id, deviceId, location: utf8; timestamp: timestamp; temperature: float64; weatherCondition: utf8; precipitation, windSpeed: float64; humidity: int64; airQualityIndex: float64 |
//! | `emergency_data` | id, deviceId, incidentId, type, location: utf8; timestamp: timestamp; status, description: utf8 |
//!
//! Columns out: the same, with `latitude` and `longitude`, both float64, in the place of `location`. A record without an id
//! or a timestamp, or with a location that is none, is rejected.

rillgate_sdk::transform!(match topic {
    "vehicle_data" => journey::vehicle,
    "gps_data" => journey::gps,
    "traffic_data" => journey::snapshot,
    "weather_data" => journey::weather,
    "emergency_data" => journey::emergency,
});

#[cfg(test)]
mod tests {
    use rillgate_sdk::test::{Input, Test};
    use rillgate_sdk::wit::Error;

    use super::*;

    /// What the topics do is tested where they are written; here, that each is there under its name.
    #[test]
    fn the_topics_are_there() {
        for topic in ["vehicle_data", "gps_data", "traffic_data", "weather_data", "emergency_data"] {
            let opened = Test::new(PLUGIN).setting("topic", topic).open(&Input::columns());
            assert!(matches!(opened, Err(Error::UnsupportedSchema(_))), "{topic}: {opened:?}");
        }
        let opened = Test::new(PLUGIN).setting("topic", "train_arrivals").open(&Input::columns());
        assert!(matches!(opened, Err(Error::InvalidSetting(_))), "{opened:?}");
    }
}
