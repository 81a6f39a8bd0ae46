//! Trains that arrive and depart: two topics with the same columns.

use rillgate_sdk::prelude::*;

use crate::{Settings, some, time};

/// A record of `train_arrivals` or `train_departures`.
#[derive(Row)]
pub struct TrainIn<'a> {
    id: &'a str,
    station: Option<&'a str>,
    timestamp: Option<Timestamp>,
    #[row(optional)]
    time: Option<Timestamp>,
    passengers: Option<i64>,
    dock_number: Option<i64>,
    wagon_count: Option<i64>,
    direction: Option<&'a str>,
}

/// A row of `train_arrivals` or `train_departures`.
#[derive(Row, Debug, PartialEq)]
pub struct Train<'a> {
    pub id: &'a str,
    pub station: Option<&'a str>,
    pub timestamp: Timestamp,
    pub passengers: Option<i64>,
    /// 1 to 5
    pub dock_number: Option<i64>,
    /// 4 to 10
    pub wagon_count: Option<i64>,
    /// `North`, `South`, `East` or `West`
    pub direction: Option<&'a str>,
}

pub fn train<'a>(row: TrainIn<'a>, settings: &Settings) -> Result<Option<Train<'a>>, Reject> {
    let timestamp = time(row.id, row.timestamp, row.time)?;
    let TrainIn { id, station, passengers, dock_number, wagon_count, direction, .. } = row;
    let numbers = passengers.is_some() && dock_number.is_some() && wagon_count.is_some();
    let kept = settings.keeps([some(station), numbers, some(direction)]);
    Ok(kept.then_some(Train { id, station, timestamp, passengers, dock_number, wagon_count, direction }))
}
