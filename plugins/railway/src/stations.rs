//! People at a station: validated tickets and the flow of passengers, one record of each per arrival.

use rillgate_sdk::prelude::*;

use crate::{Settings, some, time};

/// A record of `ticket_validations`.
#[derive(Row)]
pub struct TicketValidationIn<'a> {
    id: &'a str,
    train_id: Option<&'a str>,
    station: Option<&'a str>,
    timestamp: Option<Timestamp>,
    #[row(optional)]
    time: Option<Timestamp>,
    validations: Option<i64>,
}

/// A row of `ticket_validations`.
#[derive(Row, Debug, PartialEq)]
pub struct TicketValidation<'a> {
    pub id: &'a str,
    pub train_id: Option<&'a str>,
    pub station: Option<&'a str>,
    pub timestamp: Timestamp,
    pub validations: Option<i64>,
}

pub fn ticket_validation<'a>(
    row: TicketValidationIn<'a>,
    settings: &Settings,
) -> Result<Option<TicketValidation<'a>>, Reject> {
    let timestamp = time(row.id, row.timestamp, row.time)?;
    let TicketValidationIn { id, train_id, station, validations, .. } = row;
    let kept = settings.keeps([some(train_id), some(station), validations.is_some()]);
    Ok(kept.then_some(TicketValidation { id, train_id, station, timestamp, validations }))
}

/// A record of `passenger_flow`.
#[derive(Row)]
pub struct PassengerFlowIn<'a> {
    id: &'a str,
    train_id: Option<&'a str>,
    station: Option<&'a str>,
    timestamp: Option<Timestamp>,
    #[row(optional)]
    time: Option<Timestamp>,
    waiting_time: Option<f64>,
    ticket_check_time: Option<f64>,
    reduced_flow_factor: Option<f64>,
}

/// A row of `passenger_flow`.
#[derive(Row, Debug, PartialEq)]
pub struct PassengerFlow<'a> {
    pub id: &'a str,
    pub train_id: Option<&'a str>,
    pub station: Option<&'a str>,
    pub timestamp: Timestamp,
    /// minutes
    pub waiting_time: Option<f64>,
    /// minutes
    pub ticket_check_time: Option<f64>,
    /// 0.5 while the station has an incident, else 1
    pub reduced_flow_factor: Option<f64>,
}

pub fn passenger_flow<'a>(row: PassengerFlowIn<'a>, settings: &Settings) -> Result<Option<PassengerFlow<'a>>, Reject> {
    let timestamp = time(row.id, row.timestamp, row.time)?;
    let PassengerFlowIn { id, train_id, station, waiting_time, ticket_check_time, reduced_flow_factor, .. } = row;
    let numbers = waiting_time.is_some() && ticket_check_time.is_some() && reduced_flow_factor.is_some();
    Ok(settings.keeps([some(train_id), some(station), numbers]).then_some(PassengerFlow {
        id,
        train_id,
        station,
        timestamp,
        waiting_time,
        ticket_check_time,
        reduced_flow_factor,
    }))
}
