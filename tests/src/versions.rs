//! A plugin in the place of another, between two runs of a host and while it runs: what the one before counted is carried over or refused, and no count is
//! off by one.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use serde_json::Value;
use tempfile::TempDir;

use super::entries::{AGAIN, Entries, PARTITIONS, STATIONS, Sending, expected};
use super::numbers::{BURST, digest};
use super::swaps::{print_times, swaps};
use support::flow::{CATCH_UP, Producing};
use support::host::{Config, Host};
use support::reader::Reader;
use support::servers::{clone, target, unique};
use support::store::Place;
use support::wait::{seconds, until};

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

    /// With the plugin in a file that changes, which is there as the first version.
    fn watched(&self) -> (Config, PathBuf, TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let plugin = folder.path().join("counts.wasm");
        std::fs::copy(version("first"), &plugin).unwrap();
        let config = self.with("first", "");
        let text = std::fs::read_to_string(config.path()).unwrap();
        let text = text.replace(&version("first").display().to_string(), &plugin.display().to_string());
        std::fs::write(config.path(), text).unwrap();
        (config, plugin, folder)
    }

    fn expect_live(&self, host: &mut Host, plugin: &[u8]) {
        let digest = digest(plugin);
        let path = format!("/api/v1/pipelines/{}/versions", self.entries.topic);
        let what = format!("{digest} to go live; it wrote:\n{}", host.output());
        until(seconds(60), &what, || {
            host.expect_running();
            let versions: Value = serde_json::from_str(&host.ask("GET", &path, &[]).1).unwrap();
            (versions["live"][0] == digest.as_str()).then_some(())
        });
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

/// While records flow: with the same columns in its states, with more, back again, and with others. And the host dies once.
#[test]
fn states_go_over_to_another_version_while_records_flow() {
    let aggregate = r#"time = "at", delay = "29s", dedup = ["id"], exchange = "none""#;
    let changing = Changing::new(Entries::new("flowing"), aggregate);
    let (config, plugin, _folder) = changing.watched();
    // Another version that keeps the same: a component may have any sections of names of their own.
    let same = [&std::fs::read(version("first")).unwrap()[..], b"\0\x02\x01v"].concat();
    let [first, wider, migrating] = ["first", "wider", "migrating"].map(|name| std::fs::read(version(name)).unwrap());

    let sending = Sending::start(&changing.entries);
    let mut host = config.run();
    let path = format!("/api/v1/pipelines/{}", changing.entries.topic);
    let goes_live = |host: &mut Host, plugin: &[u8]| {
        changing.expect_live(host, plugin);
        let files = changing.place.list(&changing.table).len();
        until(seconds(60), "files of that version", || {
            host.expect_running();
            (changing.place.list(&changing.table).len() > files + 6).then_some(())
        });
    };
    goes_live(&mut host, &first);
    for next in [&same, &wider] {
        std::fs::write(&plugin, next).unwrap();
        goes_live(&mut host, next);
    }
    assert_eq!(host.ask("POST", &format!("{path}/rollback"), &[]).0, 200);
    goes_live(&mut host, &same);
    assert_eq!(host.ask("POST", &format!("{path}/promote"), &[]).0, 200);
    host.kill();
    let mut host = config.run();
    goes_live(&mut host, &wider);
    std::fs::write(&plugin, &migrating).unwrap();
    goes_live(&mut host, &migrating);

    let sent = sending.finish();
    until(seconds(120), "all to be counted", || {
        host.expect_running();
        (changing.counts() == expected(sent)).then_some(())
    });
    let said = host.stop();
    assert_eq!(said.matches("assigned").count(), 1, "partitions moved:\n{said}");
    config.verify();
    assert_eq!(changing.counts(), expected(sent));
    let counted = |state: &Value| number(state, "dozens").unwrap() * 12 + number(state, "rest").unwrap();
    assert_eq!(changing.states(&config).iter().map(counted).sum::<u64>(), expected(sent).values().sum::<u64>());
}

/// One after another under load: twice with the same columns in its states, once with more, and once back again.
#[test]
fn swaps_under_load_of_a_pipeline_that_remembers_miscount_nothing() {
    let aggregate = r#"time = "at", delay = "29s", dedup = ["id"], exchange = "none""#;
    let changing = Changing::new(Entries::new("remembering"), aggregate);
    let (config, plugin, _folder) = changing.watched();
    let text = std::fs::read_to_string(config.path()).unwrap();
    std::fs::write(config.path(), text + "swap = { probation = \"1s\" }\n").unwrap();
    let [first, wider] = ["first", "wider"].map(|name| std::fs::read(version(name)).unwrap());
    let numbered = |plugin: &[u8], v: u64| [plugin, b"\0\x0a\x01v", &v.to_le_bytes()].concat();

    let (entries, producer, began) = (changing.entries.clone(), changing.entries.cluster.producer(), Instant::now());
    let sending = Producing::at_pace(0, BURST, producer, move |producer, records| entries.send_by(producer, records));
    let mut host = config.run();
    changing.expect_live(&mut host, &first);
    until(seconds(60), "rows of all tasks", || {
        host.expect_running();
        (host.metric("rillgate_groups") as u64 == STATIONS).then_some(())
    });
    let mut tasks = [0, 0];
    let mut same = first.clone();
    for v in 1..=swaps() {
        let (next, begins_anew) = match v % 4 {
            3 => (numbered(&wider, v), true),
            0 => (same.clone(), true),
            _ => (numbered(&first, v), false),
        };
        if v % 4 == 0 {
            let (status, answer) =
                host.ask("POST", &format!("/api/v1/pipelines/{}/rollback", changing.entries.topic), &[]);
            assert_eq!(status, 200, "{answer}");
        } else {
            std::fs::write(&plugin, &next).unwrap();
        }
        changing.expect_live(&mut host, &next);
        tasks[usize::from(begins_anew)] += PARTITIONS;
        until(seconds(60), "all tasks to go on with it", || {
            host.expect_running();
            (host.metric("rillgate_swap_gap_seconds_count") as u64 >= tasks.iter().sum()).then_some(())
        });
        if !begins_anew {
            same = next;
        }
    }
    println!("{} swaps of {PARTITIONS} tasks that remember in {:.0?}:", swaps(), began.elapsed());
    assert_eq!(print_times(&host), tasks, "tasks that went on, tasks that began anew");
    let (sent, took) = (sending.finish(), began.elapsed());
    println!("{sent} records, {:.0} a second", sent as f64 / took.as_secs_f64());
    let said = host.stop();
    assert_eq!(said.matches("assigned").count(), 1, "partitions moved:\n{said}");
    config.catch_up(CATCH_UP);
    config.verify();
    assert_eq!(changing.counts(), expected(sent));
}

/// The states are as the version before left them, and that goes on with them.
#[test]
fn a_version_that_breaks_on_the_states_of_the_one_before_goes_back() {
    let changing = Changing::new(Entries::new("trapping"), "exchange = \"none\"");
    let (config, plugin, _folder) = changing.watched();
    let trapping = std::fs::read(version("trapping")).unwrap();
    let counted = |host: &mut Host, sent: u64| {
        until(seconds(60), "all to be counted", || {
            host.expect_running();
            let are_there = changing.place.list(&changing.table).keys().any(|path| path.ends_with(".parquet"));
            (are_there && changing.counts().values().sum::<u64>() == sent).then_some(())
        });
    };
    // One in nine comes twice, and nothing is remembered of what was seen.
    let come = |sent: u64| sent + (0..sent - AGAIN).filter(|i| i % 9 == 4).count() as u64;

    changing.entries.send(0..1000);
    let mut host = config.run();
    counted(&mut host, come(1000));
    std::fs::write(&plugin, &trapping).unwrap();
    let path = format!("/api/v1/pipelines/{}/versions", changing.entries.topic);
    let reason = until(seconds(60), "the version to go back", || {
        host.expect_running();
        let versions: Value = serde_json::from_str(&host.ask("GET", &path, &[]).1).unwrap();
        let last =
            versions["events"].as_array()?.iter().rfind(|event| event["plugins"][0] == digest(&trapping).as_str())?;
        (last["outcome"] == "went_back").then(|| last["reason"].as_str().unwrap_or_default().to_owned())
    });
    assert!(reason.contains("`migrate` failed on states that another version of the plugin left"), "{reason}");
    changing.entries.send(1000..2000);
    counted(&mut host, come(2000));
    host.stop();
    config.verify();
}
