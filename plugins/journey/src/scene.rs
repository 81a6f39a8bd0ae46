//! What is around the vehicle: what a camera sees, the weather, emergencies.

// Fields are the feed's and the table's own names.
#![allow(non_snake_case)]

use rillgate_sdk::prelude::*;

use crate::{check_id, location};

/// A record of `traffic_data` or `camera_data`.
#[derive(Row)]
pub struct SnapshotIn<'a> {
    id: &'a str,
    deviceId: Option<&'a str>,
    cameraId: Option<&'a str>,
    location: Option<&'a str>,
    timestamp: Timestamp,
    snapshot: Option<&'a str>,
}

/// A row of `traffic_data` or `camera_data`.
#[derive(Row, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Snapshot<'a> {
    pub id: &'a str,
    pub deviceId: Option<&'a str>,
    pub cameraId: Option<&'a str>,
    /// degrees
    pub latitude: Option<f64>,
    /// degrees
    pub longitude: Option<f64>,
    pub timestamp: Timestamp,
    /// the picture, in base64
    pub snapshot: Option<&'a str>,
}

/// `traffic_data`, `camera_data`
pub fn snapshot(row: SnapshotIn<'_>) -> Result<Snapshot<'_>, Reject> {
    check_id(row.id)?;
    let (latitude, longitude) = location::parse(row.location)?;
    let SnapshotIn { id, deviceId, cameraId, location: _, timestamp, snapshot } = row;
    Ok(Snapshot { id, deviceId, cameraId, latitude, longitude, timestamp, snapshot })
}

/// A record of `weather_data`.
#[derive(Row)]
pub struct WeatherIn<'a> {
    id: &'a str,
    deviceId: Option<&'a str>,
    location: Option<&'a str>,
    timestamp: Timestamp,
    temperature: Option<f64>,
    weatherCondition: Option<&'a str>,
    precipitation: Option<f64>,
    windSpeed: Option<f64>,
    humidity: Option<i64>,
    airQualityIndex: Option<f64>,
}

/// A row of `weather_data`.
#[derive(Row, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Weather<'a> {
    pub id: &'a str,
    pub deviceId: Option<&'a str>,
    /// degrees
    pub latitude: Option<f64>,
    /// degrees
    pub longitude: Option<f64>,
    pub timestamp: Timestamp,
    pub temperature: Option<f64>,
    /// `Sunny`, `Cloud`, `Rain` or `Snow`
    pub weatherCondition: Option<&'a str>,
    pub precipitation: Option<f64>,
    pub windSpeed: Option<f64>,
    /// 0 to 100
    pub humidity: Option<i64>,
    /// 0 to 500
    pub airQualityIndex: Option<f64>,
}

/// `weather_data`
pub fn weather(row: WeatherIn<'_>) -> Result<Weather<'_>, Reject> {
    check_id(row.id)?;
    let (latitude, longitude) = location::parse(row.location)?;
    Ok(Weather {
        id: row.id,
        deviceId: row.deviceId,
        latitude,
        longitude,
        timestamp: row.timestamp,
        temperature: row.temperature,
        weatherCondition: row.weatherCondition,
        precipitation: row.precipitation,
        windSpeed: row.windSpeed,
        humidity: row.humidity,
        airQualityIndex: row.airQualityIndex,
    })
}

/// A record of `emergency_data`.
#[derive(Row)]
pub struct EmergencyIn<'a> {
    id: &'a str,
    deviceId: Option<&'a str>,
    incidentId: Option<&'a str>,
    r#type: Option<&'a str>,
    location: Option<&'a str>,
    timestamp: Timestamp,
    status: Option<&'a str>,
    description: Option<&'a str>,
}

/// A row of `emergency_data`.
#[derive(Row, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Emergency<'a> {
    pub id: &'a str,
    pub deviceId: Option<&'a str>,
    pub incidentId: Option<&'a str>,
    /// `Accident`, `Fire`, `Medical`, `Police` or `None`
    pub r#type: Option<&'a str>,
    /// degrees
    pub latitude: Option<f64>,
    /// degrees
    pub longitude: Option<f64>,
    pub timestamp: Timestamp,
    /// `Active` or `Resolved`
    pub status: Option<&'a str>,
    pub description: Option<&'a str>,
}

/// `emergency_data`
pub fn emergency(row: EmergencyIn<'_>) -> Result<Emergency<'_>, Reject> {
    check_id(row.id)?;
    let (latitude, longitude) = location::parse(row.location)?;
    let EmergencyIn { id, deviceId, incidentId, r#type, location: _, timestamp, status, description } = row;
    Ok(Emergency { id, deviceId, incidentId, r#type, latitude, longitude, timestamp, status, description })
}
