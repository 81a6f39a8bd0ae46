//! The running host at each step of an epoch, held there by the store's own requests: asked to stop, killed while it stops,
//! deprived of its partitions in mid-flush, or with a disk that is full.

use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use support::flow::{Flow, Producing, TABLE};
use support::host::{Host, limit_file_size, signal};
use support::kafka::Cluster;
use support::proxy::{Mode, Moment, Proxy, Request};
use support::servers::servers;
use support::store::Place;
use support::wait::{never, seconds, until};
use support::watch::Watch;

/// A step, as the store sees it: a request that has come, or one that was done and is not answered yet.
const STEPS: [(Request, Moment); 8] = [
    (Request::Stage, Moment::Before),
    (Request::Stage, Moment::After),
    (Request::Entry, Moment::Before),
    (Request::Entry, Moment::After),
    (Request::BeginCopy, Moment::After),
    (Request::Copy, Moment::After),
    (Request::Publish, Moment::After),
    (Request::Remove, Moment::Before),
];

/// Does something to the process, once, at a step of its; the request then goes on, or is cut.
fn act_at(
    proxy: &Proxy,
    (request, moment): (Request, Moment),
    act: impl FnOnce() -> bool + Send + 'static,
) -> Receiver<()> {
    let (tell, acted) = mpsc::channel();
    let spring = move || {
        let goes_on = act();
        let _ = tell.send(());
        goes_on
    };
    proxy.trap(request, 0, moment, Box::new(spring));
    acted
}

#[test]
fn sigterm_at_each_step_ends_in_order() {
    let proxy = Proxy::before(servers().s3.address());
    let place = Place::s3().through(&proxy.address());
    let flow = Flow::new(&Cluster::shared(), "sigterm", 3);
    let config = flow.config(&place, "300ms");
    let watch = Watch::start(&place, TABLE, "id");
    let producing = Producing::start(&flow);
    for step in STEPS {
        let mut host = config.run();
        flow.expect_progress(&place, &mut host);
        let pid = host.pid();
        let asked = act_at(&proxy, step, move || signal(pid, "TERM"));
        asked.recv_timeout(seconds(60)).unwrap_or_else(|_| panic!("no {step:?} came"));
        host.ends_within(seconds(60)).expect_code(0);
    }
    let sent = producing.finish();
    flow.expect_complete(&config, &place, sent);
    watch.finish();
}

#[test]
fn sigkill_at_each_step_after_a_sigterm_loses_and_doubles_nothing() {
    let proxy = Proxy::before(servers().s3.address());
    let place = Place::s3().through(&proxy.address());
    let flow = Flow::new(&Cluster::shared(), "sigterm_sigkill", 3);
    // Nothing is decided before the stop is asked for, but for what shows that the host is at work.
    let config = flow.config(&place, "1s");
    let watch = Watch::start(&place, TABLE, "id");
    let producing = Producing::start(&flow);
    for step in STEPS {
        let killed = || {
            let mut host = config.run();
            flow.expect_progress(&place, &mut host);
            let pid = host.pid();
            host.signal("TERM");
            act_at(&proxy, step, move || !signal(pid, "KILL"));
            let killed = host.ends_within(seconds(60)).code.is_none();
            assert_eq!(proxy.disarm(), !killed, "killed where it was to be");
            killed
        };
        // A stop that comes right after a commit has nothing to do, and doesn't come to the step.
        assert!((0..10).any(|_| killed()), "no {step:?} came in ten stops");
    }
    let sent = producing.finish();
    flow.expect_complete(&config, &place, sent);
    watch.finish();
}

/// A request that stands still until it is released.
fn hold(proxy: &Proxy, step: (Request, Moment)) -> (Sender<()>, Receiver<()>) {
    let (release, released) = mpsc::channel::<()>();
    let (arrive, arrived) = mpsc::channel();
    let spring = move || {
        let _ = arrive.send(());
        // Released by being dropped, too.
        let _ = released.recv();
        true
    };
    proxy.trap(step.0, 0, step.1, Box::new(spring));
    (release, arrived)
}

#[test]
fn partitions_revoked_in_mid_flush_are_committed_before_they_go() {
    for step in [(Request::Stage, Moment::Before), (Request::Entry, Moment::After), (Request::Publish, Moment::Before)]
    {
        let proxy = Proxy::before(servers().s3.address());
        let place = Place::s3();
        let flow = Flow::new(&Cluster::shared(), "revoked", 4);
        let watch = Watch::start(&place, TABLE, "id");
        let producing = Producing::start(&flow);
        let slowed = flow.config(&place.through(&proxy.address()), "300ms");
        let mut first = slowed.run();
        flow.expect_progress(&place, &mut first);
        let (release, arrived) = hold(&proxy, step);
        arrived.recv_timeout(seconds(60)).unwrap_or_else(|_| panic!("no {step:?} came"));
        // The other tasks come no further either, whichever of them are to go.
        proxy.set(Mode::Hold);

        let config = flow.config(&place, "300ms");
        let second = config.run();
        until(seconds(60), "the partitions to be revoked", || first.output().contains("revoked").then_some(()));
        // Longer than the group takes to give away what was let go.
        let is_given = |line: &str| line.contains("assigned") && !line.contains("partitions=\"\"");
        never(seconds(6), || second.output().lines().any(is_given), "given away in mid-flush");
        proxy.set(Mode::Pass);
        drop(release);
        flow.expect_members(2);
        let said = first.stop();
        assert!(!said.contains("fenced"), "it was to commit before its partitions went:\n{said}");
        second.stop();
        let sent = producing.finish();
        flow.expect_complete(&config, &place, sent);
        watch.finish();
    }
}

/// The consumer's thread waits for the flush for so long that the group goes on without it. What it sends at last comes too late.
#[test]
fn a_poll_interval_exceeded_in_mid_flush_costs_the_partitions_and_nothing_else() {
    let proxy = Proxy::before(servers().s3.address());
    let place = Place::s3();
    let flow = Flow::new(&Cluster::shared(), "poll_interval", 4);
    let watch = Watch::start(&place, TABLE, "id");
    let producing = Producing::start(&flow);
    let impatient = flow.by(&flow.cluster.clone().with("max.poll.interval.ms", "4000"));
    let impatient = impatient.config(&place.through(&proxy.address()), "300ms");
    let mut first = impatient.run();
    flow.expect_progress(&place, &mut first);
    let (release, arrived) = hold(&proxy, (Request::Entry, Moment::Before));
    arrived.recv_timeout(seconds(60)).expect("a COMMIT");
    proxy.set(Mode::Hold);

    let config = flow.config(&place, "300ms");
    let mut second = config.run();
    // The first one's heartbeats go on: nothing but its not polling can cost it its partitions.
    until(seconds(60), "the group to go on without it", || second.output().contains("assigned").then_some(()));
    flow.expect_progress(&place, &mut second);
    proxy.set(Mode::Pass);
    drop(release);
    flow.expect_members(2);
    flow.expect_progress(&place, &mut first);
    let said = first.stop();
    assert!(said.contains("fenced by"), "what came too late was to be refused:\n{said}");
    second.stop();
    let sent = producing.finish();
    flow.expect_complete(&config, &place, sent);
    watch.finish();
}

/// The group is about to share its partitions out anew, and one of its members leaves in the midst of that.
#[test]
fn a_host_that_is_told_to_stop_while_partitions_move_ends_in_time() {
    let place = Place::local();
    let flow = Flow::new(&Cluster::shared(), "rebalance", 4);
    let config = flow.config(&place, "300ms");
    let watch = Watch::start(&place, TABLE, "id");
    let producing = Producing::start(&flow);
    let mut host = config.run();
    flow.expect_progress(&place, &mut host);
    for round in 0..12 {
        let mut next = config.run();
        until(seconds(60), "partitions to be revoked", || host.output().contains("revoked").then_some(()));
        // From the first moment of it to the end.
        assert!(host.ends(Duration::from_millis(round * 5)).is_none(), "it was not to end yet");
        host.signal("TERM");
        host.ends_within(seconds(30)).expect_code(0);
        flow.expect_progress(&place, &mut next);
        host = next;
    }
    host.stop();
    let sent = producing.finish();
    flow.expect_complete(&config, &place, sent);
    watch.finish();
}

/// A limit on the size of files is a full disk that needs no disk to be filled: writes fail in the midst of a file.
#[test]
fn a_disk_that_is_full_is_waited_for() {
    let place = Place::local();
    let flow = Flow::new(&Cluster::shared(), "disk_full", 3);
    let config = flow.config(&place, "300ms");
    let watch = Watch::start(&place, TABLE, "id");
    let producing = Producing::start(&flow);
    let mut host = Host::start_limitable(&["run", "--config", config.path().to_str().unwrap()]);
    for _ in 0..3 {
        flow.expect_progress(&place, &mut host);
        let said = host.output().len();
        limit_file_size(host.pid(), Some(1000));
        until(seconds(60), "a write to fail", || {
            host.expect_running();
            host.output()[said..].contains("the store refused to stage a file").then_some(())
        });
        let files = place.list(TABLE);
        until(seconds(60), "more writes to fail", || {
            host.expect_running();
            (host.output()[said..].matches("the store refused").count() > 10).then_some(())
        });
        assert_eq!(place.list(TABLE).len(), files.len(), "published on a full disk");
        limit_file_size(host.pid(), None);
    }
    flow.expect_progress(&place, &mut host);
    host.stop();
    let sent = producing.finish();
    flow.expect_complete(&config, &place, sent);
    watch.finish();
}
