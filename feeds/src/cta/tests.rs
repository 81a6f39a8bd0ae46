//! Tests of the cta system: its table of stations, its trains, its rates.

use std::collections::{HashMap, HashSet};

use serde_json::{Value, json};

use super::*;
use crate::testing::{Is, check_fields, first_of_each_topic, json};
use crate::{System, feed};

/// The first records, by topic.
fn records(count: usize) -> HashMap<&'static str, Vec<(Record, Value)>> {
    let mut topics: HashMap<&str, Vec<(Record, Value)>> = HashMap::new();
    for record in feed(System::Cta, 42).take(count) {
        let value = json(&record);
        topics.entry(record.topic).or_default().push((record, value));
    }
    topics
}

#[test]
fn first_records_are_what_they_always_were() {
    assert_eq!(
        first_of_each_topic(feed(System::Cta, 42), &TOPICS),
        [
            r#"org.chicago.cta.station.arrivals {"station_id":40030} {"station_id":40030,"train_id":"RL000","direction":"a","line":"red","train_status":"in_service","prev_station_id":null,"prev_direction":null}"#,
            r#"org.chicago.cta.turnstiles {"station_id":40010} {"station_id":40010,"station_name":"Austin","line":"blue"}"#,
            r#"weather {"city":"Chicago"} {"temperature":40.212,"status":"partly_cloudy"}"#,
            r#"org.chicago.cta.stations 30001 {"stop_id":30001,"direction_id":"E","stop_name":"Austin (Forest Pk-bound)","station_name":"Austin","station_descriptive_name":"Austin (Blue Line)","station_id":40010,"order":29,"red":false,"blue":true,"green":false}"#,
        ]
    );
}

#[test]
fn fields_are_the_systems_own() {
    const LINE: Is = Is::OneOf(&["red", "blue", "green", "unknown"]);
    const STATION_ID: (&str, Is) = ("station_id", Is::Whole(40_010, 42_300));
    for mut record in feed(System::Cta, 42).take(50_000) {
        match record.topic {
            ARRIVALS => {
                let mut value = json(&record);
                // These two may be null; what they are else is another test's.
                for name in ["prev_station_id", "prev_direction"] {
                    assert!(
                        value.as_object_mut().unwrap().shift_remove(name).is_some(),
                        "{name} is there, if only as null"
                    );
                }
                record.value = value.to_string().into_bytes();
                check_fields(
                    &record,
                    &[
                        STATION_ID,
                        ("train_id", Is::Text("")),
                        ("direction", Is::OneOf(&["a", "b"])),
                        ("line", LINE),
                        ("train_status", Is::OneOf(&["in_service", "out_of_service", "broken_down"])),
                    ],
                );
            }
            TURNSTILES => check_fields(&record, &[STATION_ID, ("station_name", Is::Text("")), ("line", LINE)]),
            WEATHER => check_fields(
                &record,
                &[
                    ("temperature", Is::Real(-20.0, 100.0)),
                    ("status", Is::OneOf(&["sunny", "partly_cloudy", "cloudy", "windy", "precipitation"])),
                ],
            ),
            STATIONS => {
                let value = json(&record);
                let names: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
                assert_eq!(
                    names,
                    [
                        "stop_id",
                        "direction_id",
                        "stop_name",
                        "station_name",
                        "station_descriptive_name",
                        "station_id",
                        "order",
                        "red",
                        "blue",
                        "green"
                    ]
                );
                assert_eq!(value["stop_id"].to_string().as_bytes(), record.key, "the key is the stop");
            }
            other => panic!("{other}"),
        }
    }
}

/// What is Avro there has schemas that name the fields which its JSON has, in their order.
#[test]
fn schemas_are_those_of_the_records() {
    let mut seen = HashSet::new();
    for record in feed(System::Cta, 42).take(5000) {
        let Some(schemas) = record.avro else {
            assert_eq!(record.topic, STATIONS);
            continue;
        };
        seen.insert(record.topic);
        for (schema, bytes) in [(schemas.key, &record.key), (schemas.value, &record.value)] {
            let (schema, found): (Value, Value) =
                (serde_json::from_str(schema).unwrap(), serde_json::from_slice(bytes).unwrap());
            let fields = schema["fields"].as_array().unwrap();
            assert!(
                fields.iter().map(|field| field["name"].as_str().unwrap()).eq(found.as_object().unwrap().keys()),
                "{found}"
            );
            for (field, value) in fields.iter().zip(found.as_object().unwrap().values()) {
                let kind = match value {
                    Value::Null => "null",
                    Value::String(_) => "string",
                    Value::Number(number) if number.is_f64() => "double",
                    Value::Number(_) => "int",
                    other => panic!("{other}"),
                };
                let fits = |wanted: &Value| *wanted == kind;
                let wanted = &field["type"];
                assert!(
                    fits(wanted) || wanted.as_array().is_some_and(|union| union.iter().any(fits)),
                    "{field}: {value}"
                );
            }
        }
    }
    assert_eq!(seen.len(), 3);
}

#[test]
fn the_table_has_230_stations_on_three_lines() {
    let topics = records(50_000);
    let rows: Vec<&Value> = topics[STATIONS].iter().map(|(_, row)| row).collect();
    assert_eq!(rows.len(), 230);
    for id in ["stop_id", "station_id"] {
        assert_eq!(rows.iter().map(|row| row[id].as_i64().unwrap()).collect::<HashSet<_>>().len(), 230, "{id}");
    }
    let row = |station_id: i64| rows.iter().find(|row| row["station_id"] == station_id).unwrap();
    let what = |row: &Value| json!([row["station_name"], row["order"], row["red"], row["blue"], row["green"]]);
    assert_eq!(what(row(40_010)), json!(["Austin", 29, false, true, false]));
    assert_eq!(what(row(40_020)), json!(["Harlem/Lake", 0, false, false, true]));
    assert_eq!(what(row(40_820)), json!(["Rosemont", 1, false, false, false]));
    for (line, count) in [("red", 77), ("blue", 77), ("green", 75)] {
        let on_line: Vec<&&Value> = rows.iter().filter(|row| row[line] == true).collect();
        let orders: HashSet<i64> = on_line.iter().map(|row| row["order"].as_i64().unwrap()).collect();
        let names: HashSet<&str> = on_line.iter().map(|row| row["station_name"].as_str().unwrap()).collect();
        assert_eq!((on_line.len(), orders.len(), names.len()), (count, count, count), "{line}: each once");
    }
    assert_eq!(
        rows.iter().filter(|row| row["red"] == false && row["blue"] == false && row["green"] == false).count(),
        1
    );
}

#[test]
fn trains_go_from_station_to_station_and_turn_where_the_line_ends() {
    let topics = records(150_000);
    let order: HashMap<i64, i64> = (topics[STATIONS].iter())
        .map(|(_, row)| (row["station_id"].as_i64().unwrap(), row["order"].as_i64().unwrap()))
        .collect();
    let line: HashMap<i64, &str> = (topics[STATIONS].iter())
        .filter_map(|(_, row)| {
            Some((row["station_id"].as_i64()?, ["red", "blue", "green"].into_iter().find(|line| row[*line] == true)?))
        })
        .collect();
    let mut last: HashMap<&str, &Value> = HashMap::new();
    let (mut turned, mut stopped) = (0, HashSet::new());
    for (record, arrival) in &topics[ARRIVALS] {
        let at = arrival["station_id"].as_i64().unwrap();
        assert_eq!(record.key, format!("{{\"station_id\":{at}}}").into_bytes());
        assert_eq!(line[&at], arrival["line"], "{arrival}");
        let Some(before) = last.insert(arrival["train_id"].as_str().unwrap(), arrival) else {
            assert!(arrival["prev_station_id"].is_null() && arrival["prev_direction"].is_null(), "{arrival}");
            continue;
        };
        if arrival["train_status"] != "in_service" {
            stopped.insert(arrival["train_status"].as_str().unwrap());
            assert_eq!((&arrival["station_id"], &arrival["direction"]), (&before["station_id"], &before["direction"]));
            continue;
        }
        let from = before["station_id"].as_i64().unwrap();
        assert_eq!(
            (&arrival["prev_station_id"], &arrival["prev_direction"]),
            (&before["station_id"], &before["direction"])
        );
        // The blue line has nothing between its stations 0 and 2.
        let step = order[&at] - order[&from];
        assert!(step.abs() == 1 || (step.abs() == 2 && order[&at].min(order[&from]) == 0), "{before} {arrival}");
        assert_eq!(arrival["direction"], if step > 0 { "a" } else { "b" });
        turned += u32::from(arrival["direction"] != before["direction"]);
    }
    assert_eq!((last.len(), stopped.len()), (30, 2), "{stopped:?}");
    assert!(turned > 30, "{turned}");
}

#[test]
fn weather_is_told_on_the_hour_and_people_come_as_the_hour_wants() {
    let topics = records(200_000);
    let hour_of = |record: &Record| record.event_time_ms / 3_600_000 % 24;
    for (number, (record, _)) in topics[WEATHER].iter().enumerate() {
        assert_eq!(record.event_time_ms, 1_767_247_200_000 + number as i64 * 3_600_000);
        assert_eq!(record.due_ms, number as u64 * 60_000, "an hour is a minute");
    }
    let hours = topics[WEATHER].len() - 1;
    let mut entries: HashMap<i64, u32> = HashMap::new();
    let complete = topics[TURNSTILES].iter().filter(|(record, _)| record.due_ms < hours as u64 * 60_000);
    complete.for_each(|(record, _)| *entries.entry(hour_of(record)).or_default() += 1);
    for (hour, mean) in [(8, 1.0), (12, 0.4), (2, 0.05)] {
        let days = topics[WEATHER][..hours].iter().filter(|(record, _)| hour_of(record) == hour).count();
        let expected = 12.0 * 230.0 * mean * days as f64;
        let found = f64::from(entries[&hour]);
        assert!((found / expected - 1.0).abs() < 0.1, "{found} entries at {hour}, {days} days");
    }
    let stations: HashSet<i64> =
        topics[TURNSTILES].iter().map(|(_, entry)| entry["station_id"].as_i64().unwrap()).collect();
    assert_eq!(stations.len(), 230);
}
