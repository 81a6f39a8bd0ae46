//! Each topic on records as the feed sends them, and on those it should not send.

use rillgate_sdk::test::{Input, Test, Tested};
use rillgate_sdk::wit::Error;

use super::*;
use crate::equipment::{EquipmentFailure, Incident};
use crate::stations::{PassengerFlow, TicketValidation};
use crate::trains::Train;

const SIX: &str = "2026-01-01T06:00:00";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn run(topic: &str, input: Input) -> Tested {
    Test::new(PLUGIN).setting("topic", topic).run(input)
}

/// One record with an id, a station and a timestamp, to which a topic's own columns are added.
fn record(id: &str) -> Input {
    Input::columns()
        .column("id", [Some(id)])
        .column("station", [Some("Station A")])
        .column("timestamp", [Some(at(SIX))])
}

#[test]
fn incidents() {
    let input = record("inc001")
        .column("type", [Some("suspect package")])
        .column("location", [Some("Dock 2, Corridor")])
        .column("severity", [Some("Major")])
        .column("duration", [Some(61.5)]);
    let expected = Incident {
        id: "inc001",
        r#type: Some("suspect package"),
        station: Some("Station A"),
        location: Some("Dock 2, Corridor"),
        timestamp: at(SIX),
        severity: Some("Major"),
        duration: Some(61.5),
    };
    assert_eq!(run("incidents", input).rows::<Incident>(), [expected]);
}

#[test]
fn equipment_failures() {
    let input = record("eqf001")
        .column("equipment", [Some("notice board")])
        .column("location", [Some("Dock 1, Platform")])
        .column("duration", [Some(12.25)]);
    let expected = EquipmentFailure {
        id: "eqf001",
        equipment: Some("notice board"),
        station: Some("Station A"),
        location: Some("Dock 1, Platform"),
        timestamp: at(SIX),
        duration: Some(12.25),
    };
    assert_eq!(run("equipment_failures", input).rows::<EquipmentFailure>(), [expected]);
}

#[test]
fn arrivals_and_departures() {
    for (topic, id) in [("train_arrivals", "arr01"), ("train_departures", "dep01")] {
        let input = record(id)
            .column("passengers", [Some(48_i64)])
            .column("dock_number", [Some(3_i64)])
            .column("wagon_count", [None::<i64>])
            .column("direction", [Some("North")]);
        let expected = Train {
            id,
            station: Some("Station A"),
            timestamp: at(SIX),
            passengers: Some(48),
            dock_number: Some(3),
            wagon_count: None,
            direction: Some("North"),
        };
        assert_eq!(run(topic, input).rows::<Train>(), [expected]);
    }
}

#[test]
fn ticket_validations() {
    let input = record("tkv001").column("train_id", [Some("arr01")]).column("validations", [Some(45_i64)]);
    let expected = TicketValidation {
        id: "tkv001",
        train_id: Some("arr01"),
        station: Some("Station A"),
        timestamp: at(SIX),
        validations: Some(45),
    };
    assert_eq!(run("ticket_validations", input).rows::<TicketValidation>(), [expected]);
}

/// Five records: whole, without a waiting time, with an empty station, without a factor, without an id.
fn flows() -> Input {
    Input::columns()
        .column("id", [Some("psf001"), Some("psf002"), Some("psf003"), Some("psf004"), None])
        .column("train_id", [Some("arr01"); 5])
        .column("station", [Some("Station A"), Some("Station B"), Some(""), Some("Station D"), Some("Station A")])
        .column("timestamp", [Some(at(SIX)); 5])
        .column("waiting_time", [Some(4.5), None, Some(4.5), Some(4.5), Some(4.5)])
        .column("ticket_check_time", [Some(1.5); 5])
        .column("reduced_flow_factor", [Some(1.0), Some(0.5), Some(1.0), None, Some(1.0)])
}

#[test]
fn passenger_flow_keeps_what_has_an_id_and_a_time() {
    let tested = run("passenger_flow", flows());
    let rows = tested.rows::<PassengerFlow>();
    assert_eq!(rows.iter().map(|row| row.id).collect::<Vec<_>>(), ["psf001", "psf002", "psf003", "psf004"]);
    let expected = PassengerFlow {
        id: "psf002",
        train_id: Some("arr01"),
        station: Some("Station B"),
        timestamp: at(SIX),
        waiting_time: None,
        ticket_check_time: Some(1.5),
        reduced_flow_factor: Some(0.5),
    };
    assert_eq!(rows[1], expected);
    assert_eq!(tested.rejected(), [(4, "column `id` is null")]);
}

#[test]
fn passenger_flow_may_ask_for_all_values() {
    let tested = Test::new(PLUGIN).setting("topic", "passenger_flow").setting("require", "all").run(flows());
    let rows = tested.rows::<PassengerFlow>();
    assert_eq!(rows.iter().map(|row| row.id).collect::<Vec<_>>(), ["psf001"]);
    assert_eq!(tested.rejected(), [(4, "column `id` is null")]);
}

#[test]
fn a_field_called_time_becomes_the_timestamp() {
    let later = at("2026-01-01T06:05:00");
    let input = Input::columns()
        .column("id", ["tkv001", "tkv002", "tkv003", "", "tkv005"])
        .column("train_id", [Some("arr01"); 5])
        .column("station", [Some("Station A"); 5])
        .column("timestamp", [Some(at(SIX)), None, None, Some(at(SIX)), Some(at(SIX))])
        .column("time", [None, Some(later), None, None, Some(later)])
        .column("validations", [Some(45_i64); 5]);
    let tested = run("ticket_validations", input);
    let times: Vec<_> = tested.rows::<TicketValidation>().iter().map(|row| row.timestamp).collect();
    assert_eq!(times, [at(SIX), later, at(SIX)]);
    assert_eq!(tested.rejected(), [(2, "column `timestamp` is null"), (3, "column `id` is empty")]);
}

#[test]
fn what_comes_out_has_the_right_types() {
    let tables = Test::new(PLUGIN).setting("topic", "passenger_flow").open(&flows()).unwrap();
    let columns: Vec<_> =
        tables[0].schema.iter().map(|field| (&*field.name, field.data_type.name(), field.nullable)).collect();
    assert_eq!(
        columns,
        [
            ("id", "utf8", false),
            ("train_id", "utf8", true),
            ("station", "utf8", true),
            ("timestamp", "timestamp", false),
            ("waiting_time", "float64", true),
            ("ticket_check_time", "float64", true),
            ("reduced_flow_factor", "float64", true),
        ]
    );
}

#[test]
fn a_topic_that_is_none_and_a_wish_that_is_none() {
    let open = |name, value| Test::new(PLUGIN).setting("topic", "incidents").setting(name, value).open(&flows());
    let reason = |opened: Result<_, Error>| match opened {
        Err(Error::InvalidSetting(reason)) => reason,
        other => panic!("{other:?}"),
    };
    assert_eq!(reason(open("require", "some")), "setting `require`: must be \"key\" or \"all\"");
    let unknown = Test::new(PLUGIN).setting("topic", "incident").open(&flows());
    assert!(reason(unknown).contains("must be one of `incidents`, `equipment_failures`"));
    assert!(matches!(open("require", "all"), Err(Error::UnsupportedSchema(reason)) if reason.contains("`severity`")));
}
