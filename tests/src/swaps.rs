//! New versions of plugins on a real Kafka while records flow: each record exactly once, each row by the version that the commit log
//! names, and what is no good stays out or goes back by itself.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::guests::guest;
use super::numbers::{BACKLOG, Numbers, PARTITIONS, Write, digest, version, version_that, version_with};
use support::host::Host;
use support::servers::clone;
use support::store::Place;
use support::wait::{seconds, until};

/// Rows of a batch that a version rejects which is no good.
const REJECTED: u64 = 16;

/// What a host measured of its swaps: how many tasks went over, by whether they went on or began anew, and how long it took them.
pub fn print_times(host: &Host) -> [u64; 2] {
    let metrics = host.metrics();
    let value = |metric: &str, labels: [&str; 2]| {
        let is_it = |line: &&str| line.starts_with(metric) && labels.iter().all(|label| line.contains(label));
        metrics.lines().find(is_it)?.rsplit_once(' ')?.1.parse::<f64>().ok()
    };
    let print = |metric: &str, task: &str| {
        let count = value(&format!("{metric}_count{{"), [task, ""]).unwrap_or_default() as u64;
        let milliseconds = |quantile: &str| {
            let seconds = value(&format!("{metric}{{"), [task, &format!("quantile=\"{quantile}\"")]);
            seconds.unwrap_or_default() * 1000.0
        };
        let [p50, p99, max] = ["0.5", "0.99", "1"].map(milliseconds);
        println!("{metric} {task}, {count} times: p50 {p50:.1} ms, p99 {p99:.1} ms, max {max:.1} ms");
        count
    };
    print("rillgate_swap_pause_seconds", "");
    print("rillgate_batch_gap_seconds", "");
    [r#"task="goes_on""#, r#"task="begins_anew""#].map(|task| print("rillgate_swap_gap_seconds", task))
}

/// How many: twenty, or what `RILLGATE_SWAPS` says.
pub fn swaps() -> u64 {
    std::env::var("RILLGATE_SWAPS").map_or(20, |swaps| swaps.parse().expect("a number of swaps"))
}

#[test]
fn swaps_under_load_lose_and_double_nothing_and_move_no_partition() {
    let numbers = Numbers::new(Place::s3(), r#"{ probation = "1s" }"#);
    let mut versions = BTreeMap::from([(digest(&version(0)), 0)]);
    let (sending, began) = (numbers.sending(), Instant::now());
    let mut host = numbers.config.run();
    numbers.expect_rows_of(&mut host, &version(0));
    for v in 1..=swaps() {
        let plugin = version(v);
        versions.insert(digest(&plugin), v);
        numbers.write(&plugin, if v % 2 == 0 { Write::Rename } else { Write::InPlace });
        numbers.expect_live(&mut host, &plugin);
        numbers.expect_rows_of(&mut host, &plugin);
    }
    println!("{} swaps of {PARTITIONS} tasks in {:.0?}:", swaps(), began.elapsed());
    assert_eq!(print_times(&host), [swaps() * PARTITIONS, 0], "tasks that went on, tasks that began anew");
    let (sent, took) = (sending.finish(), began.elapsed());
    println!("{sent} records, {:.0} a second", sent as f64 / took.as_secs_f64());
    let said = host.stop();
    assert_eq!(said.matches("assigned").count(), 1, "partitions moved:\n{said}");
    assert!(!said.contains("begins anew"), "a task began anew:\n{said}");
    numbers.expect_exactly_once(sent, &versions);
    let used: std::collections::BTreeSet<u64> =
        numbers.commits().iter().map(|commit| versions[commit["plugins"][0].as_str().unwrap()]).collect();
    assert_eq!(used.len() as u64, swaps() + 1, "versions that made rows");
}

#[test]
fn what_is_no_good_stays_out_or_goes_back_by_itself() {
    let numbers = Numbers::new(Place::local(), r#"{ shadow = "3000 rows", probation = "60s" }"#);
    let versions = BTreeMap::from([(digest(&version(0)), 0)]);
    let sending = numbers.sending();
    let mut host = numbers.config.run();
    numbers.expect_rows_of(&mut host, &version(0));
    let live = |numbers: &Numbers, host: &Host| numbers.versions(host)["live"][0].as_str().unwrap().to_owned();

    // Not opened at all: what is said has no plugin to name.
    let other = std::fs::read(clone().join("plugins/railway_figures.wasm")).expect("make plugins");
    for (plugin, words) in [
        (version(1)[..1000].to_vec(), "it is no valid component"),
        (b"no plugin at all".to_vec(), "it is not WebAssembly"),
        (other, "it is an aggregate, and is asked for as a transform"),
        (
            guest::Guest { code: &guest::identity("unreachable", "", ""), ..guest::Guest::default() }.build(),
            "failed to open",
        ),
    ] {
        let before = numbers.versions(&host)["events"].as_array().unwrap().len();
        numbers.write(&plugin, Write::Rename);
        until(seconds(60), words, || {
            host.expect_running();
            let versions = numbers.versions(&host);
            let events = versions["events"].as_array()?;
            let is_it = |event: &Value| {
                event["outcome"] == "refused" && event["reason"].as_str().is_some_and(|why| why.contains(words))
            };
            events[before.min(events.len())..].iter().any(is_it).then_some(())
        });
        until(seconds(60), "the log to say why", || host.output().contains(words).then_some(()));
    }
    // Checked, and stays out.
    let after = |rows: u64, then: &str| {
        let code = "(global $seen (mut i64) (i64.const 0))";
        let in_apply = format!(
            "(global.set $seen (i64.add (global.get $seen) (i64.extend_i32_u (local.get $rows))))
             (if (i64.gt_u (global.get $seen) (i64.const {rows})) (then {then}))"
        );
        (code, in_apply)
    };
    let spin = "(local.set $i (i32.const 0)) (loop $l (local.set $i (i32.add (local.get $i) (i32.const 1)))
         (br_if $l (i32.lt_u (local.get $i) (i32.mul (local.get $rows) (i32.const 30000)))))";
    let (seen, traps_at_once) = after(0, "unreachable");
    let plugin = version_that(2, seen, &traps_at_once);
    numbers.write(&plugin, Write::InPlace);
    let reason = numbers.expect_outcome(&mut host, &plugin, "refused");
    assert!(reason.contains("unreachable"), "{reason}");
    let plugin = version_that(3, "", spin);
    numbers.write(&plugin, Write::InPlace);
    let reason = numbers.expect_outcome(&mut host, &plugin, "refused");
    assert!(reason.contains("times as long"), "{reason}");
    // Its `n` is a float64.
    let plugin = version_with(7, "", "(i32.store8 offset=8 (local.get $fields) (i32.const 4))", "", "");
    numbers.write(&plugin, Write::Rename);
    let reason = numbers.expect_outcome(&mut host, &plugin, "refused");
    assert_eq!(reason, "the column `n` of `main` was Int64 and would be Float64");
    assert_eq!(live(&numbers, &host), digest(&version(0)));

    // Live, and goes back.
    let (seen, traps_later) = after(10_000, "unreachable");
    let (_, slow_later) = after(10_000, spin);
    // Not before it is live: it would be refused as too slow on a busy machine.
    let (_, leaks) = after(10_000, "(drop (memory.grow (i32.const 40)))");
    let (_, counts) = after(0, "");
    let rejections: String = (0..REJECTED)
        .map(|row| {
            format!("(i64.store (i32.const {at}) (i64.const {}))", (512_u64 << 32) + row, at = 160 + 12 * row)
                + &format!("(i32.store (i32.const {}) (i32.const 8))", 168 + 12 * row)
        })
        .collect();
    // So many of each batch, for "a reason".
    let rejects = format!(
        "(if (i32.and (i64.gt_u (global.get $seen) (i64.const 10000)) (i32.ge_u (local.get $rows) (i32.const {REJECTED})))
           (then {rejections} (i32.store (i32.const 140) (i32.const 160)) (i32.store (i32.const 144) (i32.const {REJECTED}))))"
    );
    for (plugin, words) in [
        (version_with(8, seen, "", &counts, &rejects), "it rejected"),
        (version_that(4, seen, &traps_later), "unreachable"),
        (version_that(5, seen, &slow_later), "ns a row, and the version before it"),
        (version_that(6, seen, &leaks), "its memory grew past half of its limit"),
    ] {
        numbers.write(&plugin, Write::Rename);
        let reason = numbers.expect_outcome(&mut host, &plugin, "went_back");
        assert!(reason.contains(words), "{words}: {reason}");
        until(seconds(60), "the log to say why", || host.output().contains(words).then_some(()));
        assert_eq!(live(&numbers, &host), digest(&version(0)));
    }
    let counted = host.metric("rillgate_swaps_total");
    assert!(counted >= f64::from(1 + 4 + 3 + 4 * 2), "{counted} versions");

    let sent = sending.finish();
    host.stop();
    // A host that starts with a plugin that went back begins with the one before.
    let mut host = numbers.config.run();
    numbers.expect_live(&mut host, &version(0));
    host.stop();
    // So does one that starts with a plugin that can't be opened.
    numbers.write(&version(9)[..1000], Write::InPlace);
    let mut host = numbers.config.run();
    numbers.expect_live(&mut host, &version(0));
    host.stop();
    numbers.write(&version(0), Write::InPlace);
    let leaked = version_that(6, seen, &leaks);
    let versions: BTreeMap<String, u64> = versions.into_iter().chain([(digest(&leaked), 6)]).collect();
    let versions = versions
        .into_iter()
        .chain([(digest(&version_that(4, seen, &traps_later)), 4), (digest(&version_that(5, seen, &slow_later)), 5)])
        .chain([(digest(&version_with(8, seen, "", &counts, &rejects)), 8)]);
    numbers.expect_exactly_once(sent, &versions.collect());
}

/// It goes live where nothing comes, and breaks on the first row, long after the time that its probation lasts.
#[test]
fn a_version_does_not_prove_itself_by_doing_nothing() {
    let numbers = Numbers::new(Place::local(), r#"{ probation = "1s" }"#);
    let mut host = numbers.config.run();
    numbers.expect_live(&mut host, &version(0));
    let traps = version_that(1, "", "unreachable");
    numbers.write(&traps, Write::Rename);
    numbers.expect_live(&mut host, &traps);
    assert!(host.ends(seconds(3)).is_none(), "it was not to end");
    let sending = numbers.sending();
    let reason = numbers.expect_outcome(&mut host, &traps, "went_back");
    assert!(reason.contains("unreachable"), "{reason}");
    let sent = sending.finish();
    host.stop();
    numbers.write(&version(0), Write::InPlace);
    numbers.expect_exactly_once(sent, &BTreeMap::from([(digest(&version(0)), 0)]));
}

#[test]
fn a_host_that_is_killed_while_versions_come_and_go_loses_and_doubles_nothing() {
    let numbers = Numbers::new(Place::s3(), r#"{ probation = "1s" }"#);
    let mut versions = BTreeMap::from([(digest(&version(0)), 0)]);
    let sending = numbers.sending();
    let mut host = numbers.config.run();
    numbers.expect_rows_of(&mut host, &version(0));
    for v in 1..=12 {
        let plugin = version(v);
        versions.insert(digest(&plugin), v);
        numbers.write(&plugin, Write::Rename);
        // From before it is read to after it went live.
        assert!(host.ends(Duration::from_millis(v * 60)).is_none(), "it was not to end yet");
        host.kill();
        host = numbers.config.run();
        numbers.expect_live(&mut host, &plugin);
        numbers.expect_rows_of(&mut host, &plugin);
    }
    let sent = sending.finish();
    host.stop();
    numbers.expect_exactly_once(sent, &versions);
}

#[test]
fn hosts_of_a_group_may_have_different_versions() {
    let numbers = Numbers::new(Place::s3(), r#"{ probation = "1s" }"#);
    let others = numbers.beside(r#"{ probation = "1s" }"#);
    let mut versions = BTreeMap::from([(digest(&version(0)), 0)]);
    let sending = numbers.sending();
    let (mut host, mut other) = (numbers.config.run(), others.config.run());
    numbers.expect_rows_of(&mut host, &version(0));
    for v in 1..=4 {
        let plugin = version(v);
        versions.insert(digest(&plugin), v);
        let (first, second) = if v % 2 == 0 { (&numbers, &mut host) } else { (&others, &mut other) };
        first.write(&plugin, Write::Rename);
        first.expect_live(second, &plugin);
        first.expect_rows_of(second, &plugin);
    }
    let sent = sending.finish();
    host.stop();
    other.stop();
    numbers.write(&version(4), Write::InPlace);
    numbers.expect_exactly_once(sent, &versions);
}

#[test]
fn a_thousand_swaps_leave_the_memory_as_it_was() {
    let numbers = Numbers::new(Place::local(), r#"{ shadow = "1000 rows", probation = "0s" }"#);
    // With a backlog first: what tasks keep once they were busy is there before anything is looked at.
    let sending = numbers.sending_after(BACKLOG);
    let mut host = numbers.config.run();
    numbers.expect_rows_of(&mut host, &version(0));
    let mut memory = Vec::new();
    for swap in 1..=1000 {
        let (status, answer) = numbers.post(&host, "plugins/0", &version(swap % 7));
        assert_eq!(status, 200, "{answer}");
        assert!(answer.contains("live"), "{answer}");
        if swap % 100 == 0 {
            memory.push(host.memory_mib().unwrap());
        }
    }
    println!("memory in MiB after each hundred of 1,000 swaps: {memory:?}");
    let (early, late) = (memory[1], memory[9]);
    assert!(late <= early + early / 4, "{memory:?} MiB");
    let sent = sending.finish();
    host.stop();
    let last = version(1000 % 7);
    assert_eq!(std::fs::read(&numbers.plugin).unwrap(), last);
    let versions = (0..7).map(|v| (digest(&version(v)), v)).collect();
    numbers.expect_exactly_once(sent, &versions);
}
