//! The host is killed at each step of a swap, held there by the store's own requests or by the version that comes, and starts again: the
//! version is live then, or the one before where the step says so, and each record is there once.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::guests::guest;
use super::numbers::{Numbers, PARTITIONS, Write, adding, digest, version, version_that};
use support::flow::Producing;
use support::host::{Ended, Host, signal};
use support::proxy::{Moment, Proxy, Request};
use support::servers::servers;
use support::store::Place;
use support::wait::{seconds, until};

/// No epoch ends by itself, so that the one that ends is the one that a swap ends.
const BY_SWAPS_ALONE: &str = "1h";
const OFTEN: &str = "500ms";

/// One pipeline, through a proxy before the store, and the versions that it has had.
struct Swapping {
    numbers: Numbers,
    proxy: Arc<Proxy>,
    versions: BTreeMap<String, u64>,
    sending: Producing,
    /// The version that comes next.
    next: u64,
    live: Vec<u8>,
}

impl Swapping {
    fn start() -> Self {
        let proxy = Proxy::before(servers().s3.address());
        let place = Place::s3().through(&proxy.address());
        let numbers = Numbers::new(place, r#"{ shadow = "500 rows", probation = "60s" }"#);
        let sending = numbers.sending();
        let live = version(0);
        let versions = BTreeMap::from([(digest(&live), 0)]);
        Self { numbers, proxy: Arc::new(proxy), versions, sending, next: 1, live }
    }

    /// A version that was not there before.
    fn come(&mut self, make: impl Fn(u64) -> Vec<u8>) -> Vec<u8> {
        let v = self.next;
        self.next += 1;
        let plugin = make(v);
        self.versions.insert(digest(&plugin), v);
        plugin
    }

    fn run(&self, every: &str) -> Host {
        self.numbers.every(every);
        self.numbers.config.run()
    }

    /// Kills the host when such a request comes: `Before` it has come to the store, or `After` the store has done it.
    fn trap(&self, host: &Host, (request, moment): (Request, Moment), holding: &[&str]) {
        let pid = host.pid();
        self.proxy.trap_holding(request, holding, moment, Box::new(move || !signal(pid, "KILL")));
    }

    /// How the host ended, which was killed at the step that the trap is for.
    fn expect_killed(&self, host: Host, step: &str) -> Ended {
        let ended = host.ends_within(seconds(60));
        assert_eq!(
            (ended.code, self.proxy.disarm()),
            (None, false),
            "{step} did not come; it wrote:\n{}",
            ended.output
        );
        println!("killed: {step}");
        ended
    }

    /// Starts the host again. This version must be live then, make rows, and be what the store says of the pipeline.
    fn start_again(&mut self, plugin: &[u8]) -> Host {
        let mut host = self.run(OFTEN);
        self.numbers.expect_live(&mut host, plugin);
        let (digest, topic) = (digest(plugin), &self.numbers.topic);
        until(seconds(60), "commits of that version of all partitions", || {
            host.expect_running();
            let newest = self.numbers.newest(1);
            let is_its = |commit: &Value| commit["plugins"][0] == digest.as_str();
            (newest.len() as u64 == PARTITIONS && newest.iter().all(is_its)).then_some(())
        });
        until(seconds(60), "the store to say that it is live, and to keep it", || {
            host.expect_running();
            let events = self.numbers.place.list(&format!("_rillgate/@swaps/{topic}"));
            let event: Value = serde_json::from_slice(&self.numbers.place.read(events.keys().next_back()?)?).unwrap();
            let kept = self.numbers.place.read(&format!("_rillgate/@plugins/{topic}/{digest}.wasm"));
            (event["live"][0] == digest.as_str() && kept.as_deref() == Some(plugin)).then_some(())
        });
        self.live = plugin.to_vec();
        host
    }

    fn has_committed(&self, plugin: &[u8]) -> bool {
        let digest = digest(plugin);
        self.numbers.commits().iter().any(|commit| commit["plugins"][0] == digest.as_str())
    }
}

/// A version that says so each time that it is opened, and takes about a tenth of a second for it.
fn opened_slowly(v: u64) -> Vec<u8> {
    let imports = r#"(import "rillgate:plugin/log@0.1.0" (instance $log
          (type $level-0 (enum "debug" "info" "warn" "error"))
          (export "level" (type $level (eq $level-0)))
          (export "log" (func (param "level" $level) (param "message" string)))))
        (core func $log (canon lower (func $log "log") (memory $memory)))
        (core instance $core-log (export "log" (func $log)))"#;
    let code = r#"(import "log" "log" (func $log (param i32 i32 i32)))
        (global $left (mut i32) (i32.const 50000000))
        (data (i32.const 1024) "being opened")"#;
    let in_open = "(call $log (i32.const 1) (i32.const 1024) (i32.const 12))
        (loop (global.set $left (i32.sub (global.get $left) (i32.const 1))) (br_if 0 (global.get $left)))";
    let code = code.to_owned() + &guest::identity(in_open, &adding(v, ""), "");
    guest::Guest { imports, with: r#"(with "log" (instance $core-log))"#, code: &code, ..guest::Guest::default() }
        .build()
}

/// A version that traps once an instance of it has seen more rows than a shadow run has. On no row alone: none becomes a dead letter.
fn traps_later(v: u64) -> Vec<u8> {
    let code = "(global $seen (mut i32) (i32.const 0))";
    let in_apply = "(global.set $seen (i32.add (global.get $seen) (local.get $rows)))
        (if (i32.and (i32.gt_u (global.get $seen) (i32.const 3000)) (i32.gt_u (local.get $rows) (i32.const 1)))
          (then unreachable))";
    version_that(v, code, in_apply)
}

/// Steps of which the store sees nothing: the log says when they begin, and how it ended that they were not over.
const UNSEEN: [(&str, &str, &str); 2] = [
    ("the version is opened, and not checked yet", "being opened", "beside the version that is live"),
    ("the version is checked, and no task knows of it", "beside the version that is live", "outcome=Live"),
];

/// Steps of the epoch that a swap ends, by the version before.
const ENDING: [(&str, (Request, Moment)); 6] = [
    ("the last epoch of the version before is about to be staged", (Request::Stage, Moment::Before)),
    ("the last epoch of the version before is staged", (Request::Stage, Moment::After)),
    ("its COMMIT is about to be created", (Request::Entry, Moment::Before)),
    ("its COMMIT is created", (Request::Entry, Moment::After)),
    ("its files are about to be published", (Request::Publish, Moment::Before)),
    ("its files are published", (Request::Publish, Moment::After)),
];

/// Steps of the version that comes.
const COMING: [(&str, (Request, Moment)); 6] = [
    ("that it is live is about to be written", (Request::Event, Moment::Before)),
    ("that it is live is written", (Request::Event, Moment::After)),
    ("its plugin is about to be kept", (Request::Archive, Moment::Before)),
    ("its plugin is kept", (Request::Archive, Moment::After)),
    ("its first COMMIT is about to be created", (Request::Entry, Moment::Before)),
    ("its first COMMIT is created", (Request::Entry, Moment::After)),
];

/// Steps of the way back.
const GOING_BACK: [(&str, (Request, Moment)); 4] = [
    ("that it went back is about to be written", (Request::Event, Moment::Before)),
    ("that it went back is written", (Request::Event, Moment::After)),
    ("the COMMIT of what is done again is about to be created", (Request::Entry, Moment::Before)),
    ("the COMMIT of what is done again is created", (Request::Entry, Moment::After)),
];

#[test]
fn sigkill_at_each_step_of_a_swap_loses_and_doubles_nothing() {
    let mut swapping = Swapping::start();
    let first = swapping.live.clone();
    let mut host = swapping.start_again(&first);
    for (step, begins, is_over) in UNSEEN {
        // On a machine that is busy elsewhere the kill may come too late.
        let in_time = (0..10).any(|_| {
            let plugin = swapping.come(opened_slowly);
            let said = host.output().len();
            swapping.numbers.write(&plugin, Write::Rename);
            until(seconds(60), step, || {
                host.expect_running();
                host.output()[said..].contains(begins).then_some(())
            });
            host.signal("KILL");
            let ended = host.ends(seconds(60)).expect("a host that is killed to end");
            println!("killed: {step}");
            host = swapping.start_again(&plugin);
            !ended.output[said..].contains(is_over)
        });
        assert!(in_time, "{step}: over before each kill");
    }
    for (step, at) in COMING {
        let plugin = swapping.come(version);
        let digest = digest(&plugin);
        let holding = if at.0 == Request::Event { vec![r#""outcome":"live""#, &digest] } else { vec![&digest[..]] };
        swapping.trap(&host, at, &holding);
        swapping.numbers.write(&plugin, Write::Rename);
        swapping.expect_killed(host, step);
        // Before that other partitions' COMMITs may come in the moment that a kill takes.
        assert!(at != (Request::Entry, Moment::After) || swapping.has_committed(&plugin), "{step}");
        host = swapping.start_again(&plugin);
    }
    for (step, at) in ENDING {
        host.stop();
        host = swapping.run(BY_SWAPS_ALONE);
        until(seconds(60), "records to be taken", || {
            host.expect_running();
            (host.metric("rillgate_messages_total") > 0.0).then_some(())
        });
        let plugin = swapping.come(version);
        swapping.trap(&host, at, &[]);
        swapping.numbers.write(&plugin, Write::Rename);
        swapping.expect_killed(host, step);
        assert!(!swapping.has_committed(&plugin), "{step}");
        host = swapping.start_again(&plugin);
    }
    for (step, at) in GOING_BACK {
        let (good, plugin) = (swapping.live.clone(), swapping.come(traps_later));
        let went_back = [r#""outcome":"went_back""#, &digest(&plugin)];
        match at.0 {
            Request::Event => swapping.trap(&host, at, &went_back),
            // By the version before, after it is known that the other went back.
            request => {
                let (proxy, pid, digest) = (Arc::clone(&swapping.proxy), host.pid(), digest(&good));
                let arm = move || {
                    proxy.trap_holding(request, &[&digest], at.1, Box::new(move || !signal(pid, "KILL")));
                    true
                };
                swapping.proxy.trap_holding(Request::Event, &went_back, Moment::Before, Box::new(arm));
            }
        }
        swapping.numbers.write(&plugin, Write::Rename);
        swapping.expect_killed(host, step);
        host = swapping.start_again(&good);
    }
    let sent = swapping.sending.finish();
    host.stop();
    swapping.numbers.expect_exactly_once(sent, &swapping.versions);
}
