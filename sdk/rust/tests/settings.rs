//! Settings, from text to a struct of the plugin's own.

use std::str::FromStr;

use rillgate_sdk::prelude::*;
use rillgate_sdk::test::{Input, Test};
use rillgate_sdk::wit::Error;

#[derive(FromSettings)]
struct Settings {
    name: String,
    limit: Option<i64>,
    #[setting(default = 0.5)]
    share: f64,
    #[setting(default)]
    strict: bool,
    #[setting(name = "time-zone", default = Zone(0))]
    zone: Zone,
}

struct Zone(i32);

impl FromStr for Zone {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.strip_prefix('+').and_then(|hours| hours.parse().ok()).map(Zone).ok_or("must be like +1")
    }
}

#[derive(Row)]
struct Id {
    id: i64,
}

#[derive(Row, Debug, PartialEq)]
struct Seen {
    text: String,
}

fn seen(row: Id, settings: &Settings) -> Seen {
    let Settings { name, limit, share, strict, zone } = settings;
    Seen { text: format!("{} {name} {limit:?} {share} {strict} {}", row.id, zone.0) }
}

rillgate_sdk::transform!(seen);

fn input() -> Input {
    Input::columns().column("id", [1_i64])
}

fn reason(test: Test) -> String {
    match test.open(&input()) {
        Err(Error::InvalidSetting(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn defaults_stand_in_for_what_is_left_out() {
    let tested = Test::new(PLUGIN).setting("name", "n").run(input());
    assert_eq!(tested.rows::<Seen>(), [Seen { text: "1 n None 0.5 false 0".to_owned() }]);
}

#[test]
fn all_may_be_set() {
    let test = Test::new(PLUGIN).setting("time-zone", "+2").setting("strict", true).setting("share", 1);
    let tested = test.setting("limit", 9).setting("name", "n").run(input());
    assert_eq!(tested.rows::<Seen>(), [Seen { text: "1 n Some(9) 1 true 2".to_owned() }]);
}

#[test]
fn what_is_wrong_is_named_and_values_are_kept_to_themselves() {
    let test = || Test::new(PLUGIN).setting("name", "n");
    assert_eq!(reason(Test::new(PLUGIN)), "setting `name`: is missing");
    assert_eq!(reason(test().setting("limit", "secret")), "setting `limit`: invalid digit found in string");
    assert_eq!(reason(test().setting("time-zone", "secret")), "setting `time-zone`: must be like +1");
    let unknown = "setting `shares`: is unknown; the plugin takes `name`, `limit`, `share`, `strict`, `time-zone`";
    assert_eq!(reason(test().setting("shares", "1")), unknown);
}

mod without {
    use super::{Id, Seen};

    fn plain(row: Id) -> Seen {
        Seen { text: row.id.to_string() }
    }

    rillgate_sdk::transform!(plain);
}

#[test]
fn a_plugin_without_settings_takes_none() {
    let test = Test::new(without::PLUGIN).setting("name", "n");
    assert_eq!(reason(test), "setting `name`: is unknown; the plugin takes none");
}
