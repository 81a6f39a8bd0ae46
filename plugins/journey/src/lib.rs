//! The topics of a vehicle on a journey, as functions over rows; smart-city and smart-travel make plugins of them.
//!
//! Columns go out as they come in, under the names that the feed gives them, but for two things: `location`, which comes as
//! text, goes out as the columns `latitude` and `longitude`, and `id` and `timestamp` go out never null. A record
//! without them, or with a location that is none, is rejected; one without a location has neither coordinate.

mod location;
mod scene;
mod vehicle;

pub use scene::{Emergency, EmergencyIn, Snapshot, SnapshotIn, Weather, WeatherIn, emergency, snapshot, weather};
pub use vehicle::{Gps, Vehicle, VehicleIn, gps, vehicle};

use rillgate_sdk::prelude::*;

/// A rejection if the id says nothing; where it is null the SDK has rejected the row already.
fn check_id(id: &str) -> Result<(), Reject> {
    if id.is_empty() { Err(Reject::new("column `id` is empty")) } else { Ok(()) }
}
