//! What the tests of the systems share: records as parsed JSON, and what their fields have to be.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::Record;

/// A record's value.
pub(crate) fn json(record: &Record) -> Value {
    serde_json::from_slice(&record.value).unwrap()
}

/// The first record of each topic, as text: `topic key value`.
pub(crate) fn first_of_each_topic(records: impl Iterator<Item = Record>, topics: &[&str]) -> Vec<String> {
    let mut first = BTreeMap::new();
    for record in records {
        first.entry(record.topic).or_insert(record);
        if first.len() == topics.len() {
            break;
        }
    }
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    topics.iter().map(|topic| format!("{topic} {} {}", text(&first[topic].key), text(&first[topic].value))).collect()
}

/// What a field has to be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Is {
    /// Text that starts so.
    Text(&'static str),
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// A time like `2026-01-01T06:00:00`, the record's own.
    Time,
    /// A UUID of version 4.
    Uuid,
    /// A whole number in this range.
    Whole(i64, i64),
    /// A number that JSON writes as a real one, in this range.
    Real(f64, f64),
    /// Latitude and longitude between London and Birmingham.
    Location,
}

/// Checks names, order, types and ranges of all fields of a record.
pub(crate) fn check_fields(record: &Record, fields: &[(&str, Is)]) {
    let value = json(record);
    let names: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, fields.iter().map(|(name, _)| *name).collect::<Vec<_>>(), "{}", record.topic);
    for (name, is) in fields {
        let value = &value[name];
        let right = match *is {
            Is::Text(start) => value.as_str().is_some_and(|text| text.starts_with(start)),
            Is::OneOf(texts) => value.as_str().is_some_and(|text| texts.contains(&text)),
            Is::Time => {
                let time = chrono::NaiveDateTime::parse_from_str(value.as_str().unwrap(), "%Y-%m-%dT%H:%M:%S").unwrap();
                time.and_utc().timestamp_millis() == record.event_time_ms
            }
            Is::Uuid => uuid::Uuid::parse_str(value.as_str().unwrap()).unwrap().get_version_num() == 4,
            Is::Whole(least, most) => value.as_i64().is_some_and(|number| (least..=most).contains(&number)),
            Is::Real(least, most) => value.is_f64() && (least..=most).contains(&value.as_f64().unwrap()),
            Is::Location => {
                let [latitude, longitude] = value.as_array().unwrap().as_slice() else { panic!("{value}") };
                (51.507..=52.4864).contains(&latitude.as_f64().unwrap())
                    && (-1.8096..=-0.127).contains(&longitude.as_f64().unwrap())
            }
        };
        assert!(right, "{}: `{name}` is {value} and should be {is:?}", record.topic);
    }
}
