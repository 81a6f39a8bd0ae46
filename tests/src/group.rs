//! Several hosts in one consumer group: partitions move while records flow, and no record is lost or doubled by it.

use support::flow::{Flow, Producing, TABLE};
use support::kafka::Cluster;
use support::store::Place;
use support::wait::seconds;
use support::watch::Watch;

#[test]
fn hosts_come_and_go_on_files() {
    hosts_come_and_go(&Place::local());
}

#[test]
fn hosts_come_and_go_on_s3() {
    hosts_come_and_go(&Place::s3());
}

fn hosts_come_and_go(place: &Place) {
    let flow = Flow::new(&Cluster::shared(), "group", 6);
    let config = flow.config(place, "300ms");
    let watch = Watch::start(place, TABLE, "id");
    let producing = Producing::start(&flow);

    let mut first = config.run();
    flow.expect_progress(place, &mut first);
    let mut second = config.run();
    flow.expect_members(2);
    flow.expect_progress(place, &mut second);
    first.stop();
    flow.expect_members(1);
    flow.expect_progress(place, &mut second);
    let mut third = config.run();
    flow.expect_members(2);
    second.kill_after(seconds(0));
    flow.expect_members(1);
    flow.expect_progress(place, &mut third);
    third.stop();

    let sent = producing.finish();
    flow.expect_complete(&config, place, sent);
    watch.finish();
}

/// A host that was stopped as a whole (a virtual machine that is moved, a laptop that sleeps) loses its partitions and wakes up
/// in the middle of what it was doing.
#[test]
fn a_host_that_wakes_up_after_its_partitions_have_moved() {
    let place = Place::s3();
    let flow = Flow::new(&Cluster::shared(), "zombie", 4);
    let config = flow.config(&place, "200ms");
    let watch = Watch::start(&place, TABLE, "id");
    let producing = Producing::start(&flow);

    let mut first = config.run();
    flow.expect_progress(&place, &mut first);
    for _ in 0..3 {
        first.signal("STOP");
        let mut second = config.run();
        flow.expect_progress(&place, &mut second);
        first.signal("CONT");
        flow.expect_members(2);
        flow.expect_progress(&place, &mut first);
        second.stop();
        flow.expect_members(1);
        flow.expect_progress(&place, &mut first);
    }
    first.stop();

    let sent = producing.finish();
    flow.expect_complete(&config, &place, sent);
    watch.finish();
}
