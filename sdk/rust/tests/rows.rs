//! Rows: every type there and back, nulls, columns that are missing or of another type.

use std::borrow::Cow;

use rillgate_sdk::prelude::*;
use rillgate_sdk::test::{Input, Test};
use rillgate_sdk::wit::{DataType, Error};

#[derive(Row, Debug, PartialEq, Clone)]
struct All<'a> {
    boolean: bool,
    int32: i32,
    int64: i64,
    float32: f32,
    float64: f64,
    text: &'a str,
    owned: String,
    cow: Cow<'a, str>,
    bytes: &'a [u8],
    vec: Vec<u8>,
    date: Date,
    timestamp: Timestamp,
    maybe_boolean: Option<bool>,
    maybe_int: Option<i64>,
    maybe_text: Option<&'a str>,
    maybe_bytes: Option<&'a [u8]>,
    maybe_time: Option<Timestamp>,
}

fn all(number: i32, text: &str) -> All<'_> {
    let some = number % 3 == 0;
    All {
        boolean: number % 2 == 0,
        int32: -number,
        int64: i64::MAX - i64::from(number),
        float32: number as f32 / 2.0,
        float64: f64::from(number) * 1e300,
        text,
        owned: format!("{text}{number}"),
        cow: Cow::Owned(text.to_uppercase()),
        bytes: text.as_bytes(),
        vec: vec![0, 255, number as u8],
        date: Date(number),
        timestamp: Timestamp(i64::from(number)),
        maybe_boolean: some.then_some(number % 2 == 0),
        maybe_int: some.then_some(7),
        maybe_text: some.then_some(text),
        maybe_bytes: (!some).then_some(b"\xff"),
        maybe_time: some.then_some(Timestamp(-1)),
    }
}

fn same(row: All<'_>) -> All<'_> {
    row
}

mod identity {
    rillgate_sdk::transform!(super::same);
}

#[test]
fn every_type_goes_there_and_back() {
    for text in ["", "Station A", "Ünïversität 駅"] {
        for rows in [0, 1, 8, 9, 100] {
            let rows: Vec<_> = (0..rows).map(|number| all(number, text)).collect();
            let tested = Test::new(identity::PLUGIN).run(Input::rows(rows.clone()));
            assert_eq!(tested.rows::<All>(), rows);
        }
    }
}

#[derive(Row, Debug, PartialEq)]
struct Reading<'a> {
    id: &'a str,
    #[row(name = "deviceId")]
    device: Option<&'a str>,
    value: f64,
    r#type: Option<&'a str>,
    #[row(optional)]
    unit: Option<&'a str>,
}

fn reading(row: Reading<'_>) -> Reading<'_> {
    row
}

mod readings {
    rillgate_sdk::transform!(super::reading);
}

fn readings() -> Input {
    Input::columns()
        .column("value", [Some(1.0), None, Some(3.0)])
        .column("id", [Some("a"), Some("b"), None])
        .column("type", ["x", "y", "z"])
        .column("deviceId", [None, Some("d"), Some("e")])
}

#[test]
fn a_null_where_a_value_must_be_rejects_the_row() {
    let tested = Test::new(readings::PLUGIN).run(readings());
    let expected = Reading { id: "a", device: None, value: 1.0, r#type: Some("x"), unit: None };
    assert_eq!(tested.rows::<Reading>(), [expected]);
    assert_eq!(tested.rejected(), [(1, "column `value` is null"), (2, "column `id` is null")]);
}

#[test]
fn a_column_that_is_optional_may_be_there_too() {
    let tested = Test::new(readings::PLUGIN).run(readings().column("unit", [Some("m"), None, None]));
    assert_eq!(tested.rows::<Reading>()[0].unit, Some("m"));
}

#[test]
fn columns_out_are_the_fields_in_their_order() {
    let tables = Test::new(readings::PLUGIN).open(&readings()).unwrap();
    assert_eq!(tables.len(), 1);
    assert_eq!(tables[0].name, "main");
    let columns: Vec<_> =
        tables[0].schema.iter().map(|field| (&*field.name, field.data_type, field.nullable)).collect();
    assert_eq!(
        columns,
        [
            ("id", DataType::Utf8, false),
            ("deviceId", DataType::Utf8, true),
            ("value", DataType::Float64, false),
            ("type", DataType::Utf8, true),
            ("unit", DataType::Utf8, true),
        ]
    );
}

#[test]
fn all_that_is_wrong_with_the_columns_is_said_at_once() {
    let input = Input::columns().column("id", ["a"]).column("value", ["1.0"]).column("unit", [1_i32]);
    let expected = "column `deviceId` is missing, declare it: deviceId = \"utf8\"; \
                    column `value` is utf8, declare it as float64: value = \"float64\"; \
                    column `type` is missing, declare it: type = \"utf8\"; \
                    column `unit` is int32, declare it as utf8: unit = \"utf8\"";
    assert_eq!(Test::new(readings::PLUGIN).open(&input), Err(Error::UnsupportedSchema(expected.to_owned())));
}
