//! What a host takes when there is much to catch up on.

use super::numbers::{BACKLOG, Numbers, PARTITIONS, digest, version};
use support::flow::CATCH_UP;
use support::store::Place;
use support::wait::until;

/// Of the host, with a plugin and its workers, before any task is busy.
const HOST_MIB: u64 = 64;
/// What docs/benchmarks.md states for a busy task.
const BUSY_TASK_MIB: u64 = 32;

#[test]
fn a_backlog_of_small_records_takes_no_more_memory_than_is_stated() {
    let numbers = Numbers::new(Place::local(), r#"{ probation = "0s" }"#);
    let sent = numbers.sending_after(BACKLOG).finish();
    let mut host = numbers.config.run();
    until(CATCH_UP, "the host to catch up", || {
        host.expect_running();
        (host.metric("rillgate_messages_total") >= sent as f64).then_some(())
    });
    let peak_mib = host.peak_mib().unwrap();
    println!("{peak_mib} MiB at most for {sent} small records in {PARTITIONS} partitions");
    assert!(peak_mib <= HOST_MIB + PARTITIONS * BUSY_TASK_MIB, "{peak_mib} MiB");
    host.stop();
    numbers.expect_exactly_once(sent, &[(digest(&version(0)), 0)].into());
}
