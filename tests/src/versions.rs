//! A plugin in the place of another, between two runs of a host: what the one before counted is carried over or refused, and no count is
//! off by one.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;

use super::entries::{AGAIN, Entries, STATIONS, expected};
use support::host::Config;
use support::reader::Reader;
use support::servers::{clone, target, unique};
use support::store::Place;
use support::wait::seconds;

/// The first version, and those after it, from `tests/versions`.
fn version(name: &str) -> PathBuf {
    let (file, made_by) = match name {
        "first" => (clone().join("plugins/cta_summary.wasm"), "make plugins"),
        name => (target().join(format!("versions/{name}.wasm")), "make guests"),
    };
    assert!(file.is_file(), "{} is missing: run `{made_by}`", file.display());
    file
}

/// A pipeline whose plugin changes.
struct Changing {
    entries: Entries,
    place: Place,
    table: String,
    aggregate: String,
}

impl Changing {
    fn new(entries: Entries, aggregate: &str) -> Self {
        Self { entries, place: Place::local(), table: unique("counts"), aggregate: aggregate.to_owned() }
    }

    /// With this version of the plugin, and more in `aggregate`.
    fn with(&self, name: &str, more: &str) -> Config {
        let rest = format!("sink = {{ table = \"{}\", format = \"parquet\", every = \"200ms\" }}", self.table);
        let config = self.entries.config(&self.place, &format!("{}{more}", self.aggregate), &rest);
        let [first, now] = ["first", name].map(|name| version(name).display().to_string());
        let text = std::fs::read_to_string(config.path()).unwrap();
        assert!(text.contains(&first));
        std::fs::write(config.path(), text.replace(&first, &now)).unwrap();
        config
    }

    /// The highest count of each station that has come out.
    fn counts(&self) -> BTreeMap<u64, u64> {
        let mut reader = Reader::open(&self.place, &self.table, "parquet");
        let rows = reader.rows("select station_id, max(count) from t group by all");
        rows.iter().map(|row| (row[0].as_u64().unwrap(), row[1].as_u64().unwrap())).collect()
    }

    /// Each station's state as `state show` has it.
    fn states(&self, config: &Config) -> Vec<Value> {
        let shown = config.host(&["state", "show", &self.entries.topic, "--json"]).ends_within(seconds(30));
        let lines = shown.expect_code(0).output;
        lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["row"].clone()).collect()
    }
}

fn number(state: &Value, column: &str) -> Option<u64> {
    state[format!("value.{column}").as_str()].as_str().unwrap_or_else(|| panic!("no {column} in {state}")).parse().ok()
}

#[test]
fn states_go_over_to_another_version_or_are_kept_for_the_one_before() {
    let aggregate = r#"time = "at", delay = "29s", dedup = ["id"], exchange = "none""#;
    let changing = Changing::new(Entries::new("versions"), aggregate);
    let (entries, place) = (&changing.entries, &changing.place);
    entries.send(0..1000);
    changing.with("first", "").catch_up(seconds(60));
    assert_eq!(changing.counts(), expected(1000));

    // A nullable column more: null in the states of stations that nothing comes of.
    let wider = changing.with("wider", "");
    wider.catch_up(seconds(60));
    assert_eq!(changing.counts(), expected(1000), "nothing came, nothing is given out");
    entries.send(1000..2000);
    wider.catch_up(seconds(60));
    assert_eq!(changing.counts(), expected(2000));
    let states = changing.states(&wider);
    assert_eq!(states.len() as u64, STATIONS);
    for state in &states {
        let station: u64 = state["key.station_id"].as_str().unwrap().parse().unwrap();
        let since = expected(2000)[&station] - expected(1000)[&station];
        assert_eq!((number(state, "count"), number(state, "since")), (Some(expected(2000)[&station]), Some(since)));
    }

    // Other columns, and a way to make them of those before.
    let migrating = changing.with("migrating", "");
    entries.send(2000..3000);
    migrating.catch_up(seconds(60));
    assert_eq!(changing.counts(), expected(3000));
    let counted = |state: &Value| number(state, "dozens").unwrap() * 12 + number(state, "rest").unwrap();
    assert_eq!(changing.states(&migrating).iter().map(counted).sum::<u64>(), 3000);

    // Other columns, and no way: refused, with nothing changed.
    entries.send(3000..3100);
    let before = place.list("");
    let refused = changing.with("incompatible", "").host(&["run", "--until-caught-up"]).ends_within(seconds(60));
    let said = refused.expect_code(1).output;
    for words in ["column `counted` is new, and not nullable", "export `migrate`", "on_state_change"] {
        assert!(said.contains(words), "{words} in {said}");
    }
    let files =
        |files: BTreeMap<String, _>| files.into_keys().filter(|path| !path.contains("/log/")).collect::<Vec<_>>();
    assert_eq!(files(place.list("")), files(before), "nothing was written but claims");
    migrating.catch_up(seconds(60));
    assert_eq!(changing.counts(), expected(3100));

    // Begun anew, since that is wanted. What was seen before is a double still.
    let anew = changing.with("incompatible", ", on_state_change = \"reset\"");
    entries.send(3100..4100);
    let said = anew.host(&["run", "--until-caught-up"]).ends_within(seconds(60)).expect_code(0).output;
    assert!(said.contains("groups begin anew with nothing"), "{said}");
    let gone = said.lines().filter_map(|line| line.split_once("groups=")?.1.split(' ').next()?.parse::<u64>().ok());
    assert_eq!(gone.sum::<u64>(), STATIONS, "{said}");
    let counted = |config: &Config| -> u64 {
        changing.states(config).iter().map(|state| number(state, "counted").unwrap()).sum()
    };
    assert_eq!(counted(&anew), 1000);
    // It goes on from there, without being told again.
    let incompatible = changing.with("incompatible", "");
    entries.send(4100..4200);
    incompatible.catch_up(seconds(60));
    assert_eq!(counted(&incompatible), 1100);
    incompatible.verify();
}

/// Behind an exchange, whose records hold states of whichever version sent them.
#[test]
fn states_go_over_to_another_version_behind_an_exchange() {
    let changing = Changing::new(Entries::scattered("versions"), "exchange = \"kafka\"");
    let entries = &changing.entries;
    // Nothing is remembered of what comes twice: it counts twice.
    let expected = |sent: u64| {
        let mut expected = expected(sent);
        (0..sent - AGAIN).filter(|i| i % 9 == 4).for_each(|i| *expected.get_mut(&(i % STATIONS)).unwrap() += 1);
        expected
    };
    let mut sent = 0;
    for name in ["first", "wider", "migrating"] {
        entries.send(sent..sent + 1000);
        sent += 1000;
        let config = changing.with(name, "");
        config.catch_up(seconds(120));
        assert_eq!(changing.counts(), expected(sent), "{name}");
        config.verify();
    }
}
