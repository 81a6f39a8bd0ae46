//! What a plugin finds around it: a log, the batch's time and random numbers, and nothing else.

use super::*;
use crate::batch::Rejection;

/// A guest that imports functions of WASI and calls them in `apply`.
fn importing(imports: &str, with: &str, functions: &str, in_apply: &str) -> Result<Arc<Plugin>, PluginError> {
    let code = format!("{functions} {}", identity("", in_apply, ""));
    load(&Guest { imports, with, code: &code, ..Guest::default() }.build())
}

fn apply(plugin: &Arc<Plugin>, now: BatchTime) -> Result<Applied, ApplyError> {
    open(plugin, &limits()).unwrap().apply(&batch(9), now)
}

#[test]
fn the_network_is_a_trap_that_says_so() {
    let plugin = importing(
        "(import \"wasi:sockets/instance-network@0.2.3\" (instance $net
           (export \"network\" (type $network (sub resource)))
           (export \"instance-network\" (func (result (own $network))))))
         (core func $instance-network (canon lower (func $net \"instance-network\")))
         (core instance $core-net (export \"instance-network\" (func $instance-network)))",
        "(with \"net\" (instance $core-net))",
        "(import \"net\" \"instance-network\" (func $network (result i32)))",
        "(drop (call $network))",
    );
    assert_eq!(
        apply(&plugin.unwrap(), now()).unwrap_err().to_string(),
        "trap: the plugin called wasi:sockets/instance-network#instance-network: plugins have no network, files or environment"
    );
}

#[test]
fn waiting_is_a_trap_that_says_so() {
    let plugin = importing(
        "(import \"wasi:io/poll@0.2.0\" (instance $poll (export \"pollable\" (type (sub resource)))))
         (alias export $poll \"pollable\" (type $pollable))
         (import \"wasi:clocks/monotonic-clock@0.2.0\" (instance $clock
           (export \"pollable\" (type $p (eq $pollable)))
           (export \"subscribe-duration\" (func (param \"when\" u64) (result (own $p))))))
         (core func $subscribe (canon lower (func $clock \"subscribe-duration\")))
         (core instance $core-clock (export \"subscribe\" (func $subscribe)))",
        "(with \"clock\" (instance $core-clock))",
        "(import \"clock\" \"subscribe\" (func $subscribe (param i64) (result i32)))",
        "(drop (call $subscribe (i64.const 1000)))",
    );
    assert_eq!(
        apply(&plugin.unwrap(), now()).unwrap_err().to_string(),
        "trap: the plugin called wasi:clocks/monotonic-clock#subscribe-duration: plugins can't wait"
    );
}

/// stdout or stderr, to which `$print` writes what is at an address.
const PRINT: [&str; 3] = [
    "(import \"wasi:io/error@0.2.6\" (instance $error-i (export \"error\" (type (sub resource)))))
     (alias export $error-i \"error\" (type $io-error))
     (import \"wasi:io/streams@0.2.6\" (instance $streams
       (export \"error\" (type $e (eq $io-error)))
       (export \"output-stream\" (type $stream (sub resource)))
       (type $stream-error-0 (variant (case \"last-operation-failed\" (own $e)) (case \"closed\")))
       (export \"stream-error\" (type $stream-error (eq $stream-error-0)))
       (export \"[method]output-stream.blocking-write-and-flush\" (func
         (param \"self\" (borrow $stream)) (param \"contents\" (list u8)) (result (result (error $stream-error)))))))
     (alias export $streams \"output-stream\" (type $output-stream))
     (import \"wasi:cli/stderr@0.2.6\" (instance $stderr
       (export \"output-stream\" (type $s (eq $output-stream)))
       (export \"get-stderr\" (func (result (own $s))))))
     (import \"wasi:cli/exit@0.2.6\" (instance $exit (export \"exit\" (func (param \"status\" (result))))))
     (core func $get-stderr (canon lower (func $stderr \"get-stderr\")))
     (core func $write (canon lower (func $streams \"[method]output-stream.blocking-write-and-flush\") (memory $memory)))
     (core func $exit (canon lower (func $exit \"exit\")))
     (core instance $core-streams (export \"get-stderr\" (func $get-stderr)) (export \"write\" (func $write))
       (export \"exit\" (func $exit)))",
    "(with \"streams\" (instance $core-streams))",
    "(import \"streams\" \"get-stderr\" (func $stderr (result i32)))
     (import \"streams\" \"write\" (func $write (param i32 i32 i32 i32)))
     (import \"streams\" \"exit\" (func $exit (param i32)))
     (func $print (param $text i32) (param $length i32)
       (call $write (call $stderr) (local.get $text) (local.get $length) (i32.const 256))
       (if (i32.load8_u (i32.const 256)) (then unreachable)))
     (data (i32.const 1024) \"thread '<unnamed>' panicked at src/lib.rs:7:5:\\0ano such station\\0anote: run with\")",
];

#[test]
fn what_is_written_before_a_trap_is_its_reason() {
    let [imports, with, functions] = PRINT;
    let says = |in_apply: &str| apply(&importing(imports, with, functions, in_apply).unwrap(), now());
    let panics = "(call $print (i32.const 1024) (i32.const 76)) unreachable";
    assert_eq!(says(panics).unwrap_err().to_string(), "trap: panicked at src/lib.rs:7:5: no such station");
    let exits = "(call $exit (i32.const 1))";
    assert_eq!(says(exits).unwrap_err().to_string(), "trap: the plugin exited");
    let prints_and_exits = "(call $print (i32.const 1024) (i32.const 47)) (call $exit (i32.const 1))";
    assert_eq!(says(prints_and_exits).unwrap_err().to_string(), "trap: the plugin exited: panicked at src/lib.rs:7:5:");
    // All of its memory, a hundred times, and nothing happens.
    let chatters = "(local.set $rows (i32.const 100))
        (loop (call $print (i32.const 0) (i32.const 65536))
          (br_if 0 (local.tee $rows (i32.sub (local.get $rows) (i32.const 1)))))
        (local.set $rows (i32.const 9))";
    assert_eq!(says(chatters).unwrap().batches, [batch(9)]);
}

/// Whichever way a plugin says the value of a setting: in a panic, in an error, or in a rejection.
#[test]
fn values_of_settings_are_in_none_of_a_plugins_words() {
    let settings = ["no such station", "a reason"].map(|value| ("token".to_owned(), value.to_owned()));
    let [imports, with, functions] = PRINT;
    let says = |in_apply: &str, after: &str| {
        let code = format!("{functions} {}", identity("", in_apply, after));
        let plugin = load(&Guest { imports, with, code: &code, ..Guest::default() }.build()).unwrap();
        let mut transform = Transform::open(&plugin, &limits(), &settings, &schema()).unwrap();
        let applied = transform.apply(&batch(9), now());
        (applied, transform.take_failed().map(|failed| failed.reason))
    };
    for (in_apply, words) in [
        ("(call $print (i32.const 1024) (i32.const 76)) unreachable", "trap: panicked at src/lib.rs:7:5: ***"),
        (
            "(call $print (i32.const 1024) (i32.const 63)) (call $exit (i32.const 1))",
            "trap: the plugin exited: panicked at src/lib.rs:7:5: ***",
        ),
        ("(return (call $error (i32.const 2)))", "***"),
        ("(return (call $error (i32.const 0)))", "invalid setting: ***"),
    ] {
        let (applied, kept) = says(in_apply, "");
        assert_eq!((applied.unwrap_err().to_string(), kept), (words.to_owned(), Some(words.to_owned())));
    }
    // Row 3 is rejected with the text at 512.
    let rejects = "(i32.store (i32.const 140) (i32.const 160)) (i32.store (i32.const 144) (i32.const 1))
        (i32.store (i32.const 160) (i32.const 3)) (i32.store (i32.const 164) (i32.const 512)) (i32.store (i32.const 168) (i32.const 8))";
    assert_eq!(says("", rejects).0.unwrap().rejected, [Rejection { row: 3, reason: "***".to_owned() }]);
}

#[test]
fn what_was_written_in_an_earlier_call_is_not_the_reason_of_a_trap() {
    let [imports, with, functions] = PRINT;
    let first_prints_then_traps = "(if (i32.load (i32.const 8)) (then unreachable))
        (i32.store (i32.const 8) (i32.const 1)) (call $print (i32.const 1024) (i32.const 76))";
    let plugin = importing(imports, with, functions, first_prints_then_traps).unwrap();
    let mut transform = open(&plugin, &limits()).unwrap();
    assert_eq!(transform.apply(&batch(9), now()).unwrap().batches, [batch(9)]);
    assert_eq!(
        transform.apply(&batch(9), now()).unwrap_err().to_string(),
        "trap: wasm `unreachable` instruction executed"
    );
}

#[test]
fn time_and_random_numbers_are_the_batchs() {
    // Row 0 of `passengers` is the time, row 1 and 2 are random numbers.
    let plugin = importing(
        "(import \"wasi:clocks/monotonic-clock@0.2.9\" (instance $clock (export \"now\" (func (result u64)))))
         (import \"wasi:random/random@0.2.1\" (instance $random (export \"get-random-u64\" (func (result u64)))))
         (core func $now (canon lower (func $clock \"now\")))
         (core func $get-random (canon lower (func $random \"get-random-u64\")))
         (core instance $core-wasi (export \"now\" (func $now)) (export \"random\" (func $get-random)))",
        "(with \"wasi\" (instance $core-wasi))",
        "(import \"wasi\" \"now\" (func $now (result i64))) (import \"wasi\" \"random\" (func $random (result i64)))",
        "(i64.store (i32.load offset=36 (local.get $columns)) (call $now))
         (i64.store offset=8 (i32.load offset=36 (local.get $columns)) (call $random))
         (i64.store offset=16 (i32.load offset=36 (local.get $columns)) (call $random))",
    )
    .unwrap();
    let mut transform = open(&plugin, &limits()).unwrap();
    let mut seen = |now: BatchTime| -> [i64; 3] {
        let applied = transform.apply(&batch(9), now).unwrap();
        let values = applied.batches[0].column(1).as_any().downcast_ref::<Int64Array>().unwrap();
        [values.value(0), values.value(1), values.value(2)]
    };
    let first = seen(now());
    assert_eq!(first[0], 1_700_000_000_123_000_000);
    assert_ne!(first[1], first[2]);
    let other = seen(BatchTime { timestamp_ms: -1, seed: 8 });
    assert_eq!(other[0], 0);
    assert!(!other.contains(&first[1]) && !other.contains(&first[2]));
    assert_eq!(seen(now()), first);
    // SplitMix64's first number for seed 0, as its authors' reference code gives it.
    assert_eq!(seen(BatchTime::default())[1] as u64, 0xe220_a839_7b1d_cdaf);
}

#[test]
fn a_plugin_logs_without_the_length_of_its_lines_mattering() {
    let plugin = importing(
        "(import \"rillgate:plugin/log@0.1.0\" (instance $log
           (type $level-0 (enum \"debug\" \"info\" \"warn\" \"error\"))
           (export \"level\" (type $level (eq $level-0)))
           (export \"log\" (func (param \"level\" $level) (param \"message\" string)))))
         (core func $log (canon lower (func $log \"log\") (memory $memory)))
         (core instance $core-log (export \"log\" (func $log)))",
        "(with \"log\" (instance $core-log))",
        "(import \"log\" \"log\" (func $log (param i32 i32 i32)))",
        "(local.set $count (i32.const 1000))
         (loop (call $log (i32.const 3) (i32.const 1024) (i32.const 2048))
           (br_if 0 (local.tee $count (i32.sub (local.get $count) (i32.const 1)))))
         (local.set $count (i32.const 3))",
    );
    assert_eq!(apply(&plugin.unwrap(), now()).unwrap().batches, [batch(9)]);
}
