//! Tests of the railway: its records, its clock, its rates.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::*;
use crate::testing::{Is, check_fields, first_of_each_topic, json};
use crate::{System, feed};

/// What happens at one station in one tick.
type Tick = HashMap<&'static str, Value>;

/// All ticks of the first days with seed 42, by number and station.
fn days(days: u64) -> HashMap<(u64, String), Tick> {
    let mut ticks: HashMap<(u64, String), Tick> = HashMap::new();
    for record in feed(System::Railway, 42).take_while(|record| record.due_ms < days * TICKS_PER_DAY * TICK_MS) {
        let value = json(&record);
        let station = value["station"].as_str().unwrap().to_owned();
        let before = ticks.entry((record.due_ms / TICK_MS, station)).or_default().insert(record.topic, value);
        assert_eq!(before, None, "two records of {} in one tick of a station", record.topic);
    }
    ticks
}

fn hour(tick: u64) -> u64 {
    6 + tick % TICKS_PER_DAY / 12
}

#[test]
fn first_records_are_what_they_always_were() {
    assert_eq!(
        first_of_each_topic(feed(System::Railway, 42), &TOPICS),
        [
            r#"incidents inc001 {"id":"inc001","type":"Technique","station":"Station C","location":"Dock 4, Platform","timestamp":"2026-01-01T11:00:00","severity":"Minor","duration":33.727}"#,
            r#"equipment_failures eqf001 {"id":"eqf001","equipment":"validator","station":"Station A","location":"Dock 1, Corridor","timestamp":"2026-01-01T11:40:00","duration":12.668}"#,
            r#"train_arrivals arr001 {"id":"arr001","station":"Station A","timestamp":"2026-01-01T06:00:00","passengers":21,"dock_number":3,"wagon_count":4,"direction":"East"}"#,
            r#"train_departures dep001 {"id":"dep001","station":"Station A","timestamp":"2026-01-01T07:00:00","passengers":41,"dock_number":1,"wagon_count":7,"direction":"North"}"#,
            r#"ticket_validations tkv001 {"id":"tkv001","train_id":"arr001","station":"Station A","timestamp":"2026-01-01T06:00:00","validations":17}"#,
            r#"passenger_flow psf001 {"id":"psf001","train_id":"arr001","station":"Station A","timestamp":"2026-01-01T06:00:00","waiting_time":0.461,"ticket_check_time":2.259,"reduced_flow_factor":1.0}"#,
        ]
    );
}

#[test]
fn fields_are_the_systems_own() {
    const STATION: Is = Is::OneOf(&STATIONS);
    const DIRECTION: Is = Is::OneOf(&["North", "South", "East", "West"]);
    let train = |id| {
        [
            ("id", Is::Text(id)),
            ("station", STATION),
            ("timestamp", Is::Time),
            ("passengers", Is::Whole(0, 150)),
            ("dock_number", Is::Whole(1, 5)),
            ("wagon_count", Is::Whole(4, 10)),
            ("direction", DIRECTION),
        ]
    };
    for record in feed(System::Railway, 42).take(50_000) {
        match record.topic {
            INCIDENTS => check_fields(
                &record,
                &[
                    ("id", Is::Text("inc")),
                    ("type", Is::OneOf(&["suspect package", "Technique"])),
                    ("station", STATION),
                    ("location", Is::Text("Dock ")),
                    ("timestamp", Is::Time),
                    ("severity", Is::OneOf(&["Minor", "Major"])),
                    ("duration", Is::Real(0.0, 1000.0)),
                ],
            ),
            FAILURES => check_fields(
                &record,
                &[
                    ("id", Is::Text("eqf")),
                    ("equipment", Is::OneOf(&["validator", "escalator", "notice board"])),
                    ("station", STATION),
                    ("location", Is::Text("Dock ")),
                    ("timestamp", Is::Time),
                    ("duration", Is::Real(0.0, 500.0)),
                ],
            ),
            ARRIVALS => check_fields(&record, &train("arr")),
            DEPARTURES => check_fields(&record, &train("dep")),
            VALIDATIONS => check_fields(
                &record,
                &[
                    ("id", Is::Text("tkv")),
                    ("train_id", Is::Text("arr")),
                    ("station", STATION),
                    ("timestamp", Is::Time),
                    ("validations", Is::Whole(0, 150)),
                ],
            ),
            FLOW => check_fields(
                &record,
                &[
                    ("id", Is::Text("psf")),
                    ("train_id", Is::Text("arr")),
                    ("station", STATION),
                    ("timestamp", Is::Time),
                    ("waiting_time", Is::Real(0.0, 100.0)),
                    ("ticket_check_time", Is::Real(1.0, 3.0)),
                    ("reduced_flow_factor", Is::Real(0.5, 1.0)),
                ],
            ),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn ids_are_never_given_twice_and_grow_past_three_digits() {
    let records: Vec<Record> = feed(System::Railway, 42).take(20_000).collect();
    let ids: HashSet<&[u8]> = records.iter().map(|record| record.key.as_slice()).collect();
    assert_eq!(ids.len(), records.len());
    for id in ["arr001", "arr999", "arr1000", "psf001", "dep001", "inc001", "eqf001", "tkv001"] {
        assert!(ids.contains(id.as_bytes()), "{id}");
    }
}

#[test]
fn the_clock_runs_from_six_to_five_to_eleven_and_round_again() {
    let ticks = days(2);
    let timestamps: HashSet<(u64, &str)> = ticks
        .iter()
        .flat_map(|((tick, _), topics)| topics.values().map(|value| (*tick, value["timestamp"].as_str().unwrap())))
        .collect();
    for expected in [
        (0, "2026-01-01T06:00:00"),
        (1, "2026-01-01T06:05:00"),
        (203, "2026-01-01T22:55:00"),
        (204, "2026-01-02T06:00:00"),
        (407, "2026-01-02T22:55:00"),
    ] {
        assert!(timestamps.contains(&expected), "{expected:?}");
    }
    assert_eq!(timestamps.len(), 408, "one time per tick");
}

#[test]
fn trains_come_and_go_as_the_hour_and_the_incidents_allow() {
    const DAYS: u64 = 200;
    let ticks = days(DAYS);
    // Peak and off peak: ticks of a station without an incident, arrivals, departures.
    let mut counts = [[0_u32; 3]; 2];
    let (mut incidents, mut failures) = (0, 0);
    for tick in 0..DAYS * TICKS_PER_DAY {
        for station in STATIONS {
            let nothing = Tick::new();
            let topics = ticks.get(&(tick, station.to_owned())).unwrap_or(&nothing);
            let has = |topic| u32::from(topics.contains_key(topic));
            incidents += has(INCIDENTS);
            failures += has(FAILURES);
            assert_eq!((has(ARRIVALS), has(ARRIVALS)), (has(VALIDATIONS), has(FLOW)), "one each per arrival");
            if let Some(arrival) = topics.get(ARRIVALS) {
                assert_eq!(topics[VALIDATIONS]["train_id"], arrival["id"]);
                assert_eq!(topics[FLOW]["train_id"], arrival["id"]);
            }
            if has(INCIDENTS) == 1 {
                assert_eq!(has(ARRIVALS) + has(DEPARTURES), 0, "no train while there is an incident");
            } else {
                let off_peak = usize::from(!matches!(hour(tick), 7..=9 | 17..=19));
                let [ticks, arrivals, departures] = &mut counts[off_peak];
                *ticks += 1;
                *arrivals += has(ARRIVALS);
                *departures += has(DEPARTURES);
            }
        }
    }
    let close = |count: u32, expected: f64| (f64::from(count) / expected - 1.0).abs() < 0.2;
    let station_ticks = (DAYS * TICKS_PER_DAY * 4) as f64;
    assert!(close(incidents, 0.005 * station_ticks), "{incidents} incidents");
    assert!(close(failures, 0.01 * station_ticks), "{failures} failures");
    let [[peak, peak_arrivals, peak_departures], [off_peak, off_peak_arrivals, off_peak_departures]] = counts;
    assert_eq!(peak_departures, peak);
    assert_eq!(off_peak_arrivals, off_peak);
    assert!(close(peak_arrivals, 0.05 * f64::from(peak)), "{peak_arrivals} arrivals in {peak}");
    assert!(close(off_peak_departures, 0.02 * f64::from(off_peak)), "{off_peak_departures} of {off_peak}");
}

#[test]
fn quantities_have_their_means() {
    let ticks = days(100);
    let mean = |topic: &str, field: &str, peak: bool| {
        let values: Vec<f64> = ticks
            .iter()
            .filter(|((tick, _), _)| matches!(hour(*tick), 7..=9 | 17..=19) == peak)
            .filter_map(|(_, topics)| topics.get(topic).map(|value| value[field].as_f64().unwrap()))
            .collect();
        values.iter().sum::<f64>() / values.len() as f64
    };
    for (topic, field, peak, expected) in [
        (ARRIVALS, "passengers", true, 50.0),
        (ARRIVALS, "passengers", false, 20.0),
        (DEPARTURES, "passengers", true, 50.0),
        (DEPARTURES, "passengers", false, 20.0),
        (VALIDATIONS, "validations", true, 45.0),
        (VALIDATIONS, "validations", false, 18.0),
        (FLOW, "waiting_time", false, 5.0),
        (FLOW, "ticket_check_time", false, 2.0),
        (FAILURES, "duration", false, 30.0),
        (INCIDENTS, "duration", false, 60.0),
    ] {
        let mean = mean(topic, field, peak);
        assert!((mean / expected - 1.0).abs() < 0.2, "{topic} {field}, peak {peak}: {mean}, not {expected}");
    }
}
