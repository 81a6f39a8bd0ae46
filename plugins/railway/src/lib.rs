//! Railway station: six topics, from JSON as the feed sends it to typed tables.
//!
//! The setting `topic` says which one. The columns in, all nullable, and the columns out are the same but for the time:
//! `timestamp` comes out never null, taken from a column `time` where a record has that instead. The input need not
//! have the column `time`.
//!
//! | topic | columns |
//! |---|---|
//! | `incidents` | id, type, station, location: utf8; timestamp: timestamp; severity: utf8; duration: float64 |
//! | `equipment_failures` | id, equipment, station, location: utf8; timestamp: timestamp; duration: float64 |
//! | `train_arrivals`, `train_departures` | id, station: utf8; timestamp: timestamp; passengers, dock_number, wagon_count: int64; direction: utf8 |
//! | `ticket_validations` | id, train_id, station: utf8; timestamp: timestamp; validations: int64 |
//! | `passenger_flow` | id, train_id, station: utf8; timestamp: timestamp; waiting_time, ticket_check_time, reduced_flow_factor: float64 |
//!
//! A record without an id or a time is rejected. With the setting `require = "all"` one that lacks any other value, or has
//! an empty text, is dropped; by default, `require = "key"`, it stays as it is.

mod equipment;
mod stations;
mod trains;

#[cfg(test)]
mod tests;

use std::str::FromStr;

use rillgate_sdk::prelude::*;

use equipment::{equipment_failure, incident};
use stations::{passenger_flow, ticket_validation};
use trains::train;

rillgate_sdk::transform!(match topic {
    "incidents" => incident,
    "equipment_failures" => equipment_failure,
    "train_arrivals" => train,
    "train_departures" => train,
    "ticket_validations" => ticket_validation,
    "passenger_flow" => passenger_flow,
});

#[derive(FromSettings)]
struct Settings {
    #[setting(default = Require::Key)]
    require: Require,
}

/// What a record must have to be kept.
#[derive(PartialEq)]
enum Require {
    /// an id and a time
    Key,
    /// a value in every column
    All,
}

impl FromStr for Require {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "key" => Ok(Require::Key),
            "all" => Ok(Require::All),
            _ => Err("must be \"key\" or \"all\""),
        }
    }
}

impl Settings {
    /// Whether a record stays, given whether each of its columns has a value.
    fn keeps<const N: usize>(&self, has_value: [bool; N]) -> bool {
        self.require == Require::Key || has_value.into_iter().all(|has_value| has_value)
    }
}

/// The time of a record; a rejection if that or the id is missing.
fn time(id: &str, timestamp: Option<Timestamp>, time: Option<Timestamp>) -> Result<Timestamp, Reject> {
    if id.is_empty() {
        reject!("column `id` is empty");
    }
    timestamp.or(time).ok_or_else(|| Reject::null("timestamp"))
}

/// Whether a text is there and says something.
fn some(text: Option<&str>) -> bool {
    text.is_some_and(|text| !text.is_empty())
}
