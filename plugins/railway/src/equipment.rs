//! What goes wrong at a station: incidents and failures of equipment.

use rillgate_sdk::prelude::*;

use crate::{Settings, some, time};

/// A record of `incidents`.
#[derive(Row)]
pub struct IncidentIn<'a> {
    id: &'a str,
    r#type: Option<&'a str>,
    station: Option<&'a str>,
    location: Option<&'a str>,
    timestamp: Option<Timestamp>,
    #[row(optional)]
    time: Option<Timestamp>,
    severity: Option<&'a str>,
    duration: Option<f64>,
}

/// A row of `incidents`.
#[derive(Row, Debug, PartialEq)]
pub struct Incident<'a> {
    pub id: &'a str,
    /// `suspect package` or `Technique`
    pub r#type: Option<&'a str>,
    pub station: Option<&'a str>,
    /// `Dock n, Corridor` or `Dock n, Platform`
    pub location: Option<&'a str>,
    pub timestamp: Timestamp,
    /// `Minor` or `Major`
    pub severity: Option<&'a str>,
    /// minutes
    pub duration: Option<f64>,
}

pub fn incident<'a>(row: IncidentIn<'a>, settings: &Settings) -> Result<Option<Incident<'a>>, Reject> {
    let timestamp = time(row.id, row.timestamp, row.time)?;
    let IncidentIn { id, r#type, station, location, severity, duration, .. } = row;
    let has_value = [some(r#type), some(station), some(location), some(severity), duration.is_some()];
    Ok(settings.keeps(has_value).then_some(Incident { id, r#type, station, location, timestamp, severity, duration }))
}

/// A record of `equipment_failures`.
#[derive(Row)]
pub struct EquipmentFailureIn<'a> {
    id: &'a str,
    equipment: Option<&'a str>,
    station: Option<&'a str>,
    location: Option<&'a str>,
    timestamp: Option<Timestamp>,
    #[row(optional)]
    time: Option<Timestamp>,
    duration: Option<f64>,
}

/// A row of `equipment_failures`.
#[derive(Row, Debug, PartialEq)]
pub struct EquipmentFailure<'a> {
    pub id: &'a str,
    /// `validator`, `escalator` or `notice board`
    pub equipment: Option<&'a str>,
    pub station: Option<&'a str>,
    /// `Dock n, Corridor` or `Dock n, Platform`
    pub location: Option<&'a str>,
    pub timestamp: Timestamp,
    /// minutes
    pub duration: Option<f64>,
}

pub fn equipment_failure<'a>(
    row: EquipmentFailureIn<'a>,
    settings: &Settings,
) -> Result<Option<EquipmentFailure<'a>>, Reject> {
    let timestamp = time(row.id, row.timestamp, row.time)?;
    let EquipmentFailureIn { id, equipment, station, location, duration, .. } = row;
    let has_value = [some(equipment), some(station), some(location), duration.is_some()];
    Ok(settings.keeps(has_value).then_some(EquipmentFailure { id, equipment, station, location, timestamp, duration }))
}
