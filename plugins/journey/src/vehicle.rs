//! The vehicle itself: what it is and where, how fast it goes.

// Fields are the feed's and the table's own names.
#![allow(non_snake_case)]

use rillgate_sdk::prelude::*;

use crate::{check_id, location};

/// A record of `vehicle_data`.
#[derive(Row)]
pub struct VehicleIn<'a> {
    id: &'a str,
    deviceId: Option<&'a str>,
    timestamp: Timestamp,
    location: Option<&'a str>,
    speed: Option<f64>,
    direction: Option<&'a str>,
    make: Option<&'a str>,
    model: Option<&'a str>,
    year: Option<i64>,
    fuelType: Option<&'a str>,
}

/// A row of `vehicle_data`.
#[derive(Row, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Vehicle<'a> {
    pub id: &'a str,
    pub deviceId: Option<&'a str>,
    pub timestamp: Timestamp,
    /// degrees
    pub latitude: Option<f64>,
    /// degrees
    pub longitude: Option<f64>,
    pub speed: Option<f64>,
    pub direction: Option<&'a str>,
    pub make: Option<&'a str>,
    pub model: Option<&'a str>,
    pub year: Option<i64>,
    pub fuelType: Option<&'a str>,
}

/// `vehicle_data`
pub fn vehicle(row: VehicleIn<'_>) -> Result<Vehicle<'_>, Reject> {
    check_id(row.id)?;
    let (latitude, longitude) = location::parse(row.location)?;
    let VehicleIn { id, deviceId, timestamp, location: _, speed, direction, make, model, year, fuelType } = row;
    Ok(Vehicle { id, deviceId, timestamp, latitude, longitude, speed, direction, make, model, year, fuelType })
}

/// A record and a row of `gps_data`.
#[derive(Row, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Gps<'a> {
    pub id: &'a str,
    pub deviceId: Option<&'a str>,
    pub timestamp: Timestamp,
    pub speed: Option<f64>,
    pub direction: Option<&'a str>,
    pub vehicle_type: Option<&'a str>,
}

/// `gps_data`
pub fn gps(row: Gps<'_>) -> Result<Gps<'_>, Reject> {
    check_id(row.id)?;
    Ok(row)
}
