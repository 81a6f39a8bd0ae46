//! `aggregate` of a pipeline: what doesn't go together in it, and what it means.

use super::*;
use crate::window::{Emit, Window, WindowOptions};

#[test]
fn what_does_not_go_together_in_an_aggregate_is_named() {
    let aggregate = |keys: &str, expect: &[&str]| {
        check(&format!("{KAFKA_AND_STORE}{PIPELINE}[pipeline.p.aggregate]\n{keys}\n"), expect);
    };
    aggregate("", &["7:1 pipeline.p.aggregate: the key `plugin` is missing"]);
    aggregate("plugin = ''", &["8:10 pipeline.p.aggregate.plugin: the plugin's file is not named"]);
    aggregate(
        "plugin = 'x.wasm'\ndedup = ['id']\nwindow = { tumbling = '5m' }",
        &[
            "9:9 pipeline.p.aggregate.dedup: `dedup` forgets by event time, and `time` names no column",
            "10:10 pipeline.p.aggregate.window: windows need event time, and `time` names no column",
        ],
    );
    aggregate(
        "plugin = 'x.wasm'\ntime = 'at'\non = 'close'\nidle_after = '1m'",
        &[
            "10:6 pipeline.p.aggregate.on: without a `window` no group is ever complete",
            "11:14 pipeline.p.aggregate.idle_after: without a `window` there is nothing to move on to",
        ],
    );
    aggregate(
        "plugin = 'x.wasm'\ntime = 'at'\nkey = ['a', 'b', 'a']\ndedup = ['c', 'c']",
        &[
            "10:18 pipeline.p.aggregate.key[2]: `a` is named twice",
            "11:15 pipeline.p.aggregate.dedup[1]: `c` is named twice",
        ],
    );
    let timed = "plugin = 'x.wasm'\ntime = 'at'\nwindow = { tumbling = '5m' }\n";
    aggregate(
        &format!("{timed}idle_after = '999ms'"),
        &["11:14 pipeline.p.aggregate.idle_after: must be at least \"1s\""],
    );
    aggregate(
        &format!("{timed}exchange = 'all'"),
        &["11:12 pipeline.p.aggregate.exchange: `all` is none of the values it can have"],
    );
    aggregate(timed, &[]);
    aggregate(
        &format!("{timed}key = ['a', 'window_end']"),
        &[
            "11:13 pipeline.p.aggregate.key[1]: `window_end` is what a window's own column is called beside those of the key",
        ],
    );
    aggregate("plugin = 'x.wasm'\nkey = ['window_start']", &[]);
    aggregate("plugin = 'x.wasm'\ntime = 'at'\ndedup = ['id']\non = 'change'", &[]);

    // Keys of an aggregate beside it are not keys of a later version.
    let problems = parse_with(&format!("{KAFKA_AND_STORE}{PIPELINE}dedup = ['id']\n"), &[]).unwrap_err();
    assert!(!problems.to_string().contains("version"), "{problems}");
}

#[test]
fn an_aggregate_means_what_is_typed() {
    let options = |keys: &str| {
        let text = format!("{KAFKA_AND_STORE}{PIPELINE}[pipeline.p.aggregate]\nplugin = 'x.wasm'\n{keys}\n");
        good(&text, &[]).pipelines["p"].aggregate.clone().unwrap().window_options()
    };
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let running = WindowOptions {
        key: names(&["a", "b"]),
        time: None,
        window: None,
        delay_us: 0,
        allowed_lateness_us: 0,
        emit: Emit::Change,
        dedup: Vec::new(),
    };
    assert_eq!(options("key = ['a', 'b']"), running);
    let all = "time = 'at'\nwindow = { tumbling = '5m' }\ndelay = '1m'\nallowed_lateness = '2s'\ndedup = ['id']\n";
    let windowed = WindowOptions {
        key: Vec::new(),
        time: Some("at".to_owned()),
        window: Some(Window::Tumbling { size_us: 300_000_000 }),
        delay_us: 60_000_000,
        allowed_lateness_us: 2_000_000,
        emit: Emit::Close,
        dedup: names(&["id"]),
    };
    assert_eq!(options(all), windowed);
    assert_eq!(options(&format!("{all}on = 'change'")), WindowOptions { emit: Emit::Change, ..windowed });
}
