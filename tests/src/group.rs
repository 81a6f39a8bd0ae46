//! Several hosts in one consumer group: partitions move while records flow, and no record is lost or doubled by it.

use super::support::flow::{Flow, Producing, TABLE};
use super::support::kafka::Cluster;
use super::support::store::Place;
use super::support::wait::{seconds, until};
use super::support::watch::Watch;

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
    expect_members(&flow, 2);
    flow.expect_progress(place, &mut second);
    first.stop();
    expect_members(&flow, 1);
    flow.expect_progress(place, &mut second);
    let mut third = config.run();
    expect_members(&flow, 2);
    second.kill_after(seconds(0));
    expect_members(&flow, 1);
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
        expect_members(&flow, 2);
        flow.expect_progress(&place, &mut first);
        second.stop();
        expect_members(&flow, 1);
        flow.expect_progress(&place, &mut first);
    }
    first.stop();

    let sent = producing.finish();
    flow.expect_complete(&config, &place, sent);
    watch.finish();
}

fn expect_members(flow: &Flow, count: usize) {
    until(seconds(60), &format!("{count} hosts with partitions"), || {
        (flow.cluster.members_with_partitions(&flow.group()) == count).then_some(())
    });
}
