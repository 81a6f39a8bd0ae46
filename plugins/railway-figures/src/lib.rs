//! Railway station: the figures of each station and hour, from the topics as they are.
//!
//! The setting `figures` says which; `_topic` tells the topics of one pipeline apart. The time of every row is `timestamp`.
//!
//! | figures | key | window | columns in | columns out |
//! |---|---|---|---|---|
//! | `traffic` | `station` | tumbling, 1 h | `_topic`, `passengers`, `validations` | station, hour, arrivals, departures, passengers, passengers_arrived, passengers_departed, validations, share_rejected |
//! | `punctuality` | `station` | hopping, 1 h 15 min every hour | `_topic`, `timestamp` | station, hour, arrivals, punctual, share_punctual |
//! | `faults` | `station`, `type`, `equipment` | tumbling, 1 h | `type`, `equipment` | station, hour, fault, kind, count |
//!
//! `traffic` and `punctuality` read `train_arrivals` and `train_departures`, `traffic` also `ticket_validations`; settings `arrivals`,
//! `departures`, `validations` give the topics other names. A row of any other topic is rejected. `faults` reads `incidents`,
//! `equipment_failures` or both: what a topic lacks may be missing from the input and from the key.

mod faults;
mod moments;
mod punctuality;
mod traffic;

use rillgate_sdk::prelude::*;

use faults::Faults;
use punctuality::Punctuality;
use traffic::Traffic;

rillgate_sdk::aggregate!(match figures {
    "traffic" => Traffic,
    "punctuality" => Punctuality,
    "faults" => Faults,
});

/// A row of a topic that says nothing about these figures: the pipeline reads one too many, or calls it otherwise.
#[cold]
fn other_topic(topic: &str) -> Reject {
    Reject::new(format!("topic `{topic}` is none of those that these figures are made of"))
}
