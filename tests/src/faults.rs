//! Kafka or the store are away, refuse, or do something and don't say so: the host waits, goes on, and stays exact.

use support::flow::{Flow, Producing, TABLE};
use support::kafka::Cluster;
use support::proxy::{Mode, Proxy};
use support::servers::{OwnKafka, OwnS3, servers};
use support::store::Place;
use support::wait::{seconds, until};
use support::watch::Watch;

#[test]
fn a_right_password_is_let_in() {
    for mechanism in ["PLAIN", "SCRAM-SHA-256"] {
        let place = Place::local();
        let flow = Flow::new(&Cluster::shared_sasl(mechanism, &servers().kafka_password), "sasl", 2);
        flow.produce(0..1000);
        flow.expect_complete(&flow.config(&place, "1s"), &place, 1000);
    }
}

#[test]
fn a_wrong_password_ends_the_host_with_3_and_the_reason() {
    let place = Place::local();
    let flow = Flow::new(&Cluster::shared(), "sasl_wrong", 2);
    flow.produce(0..1000);
    let config = flow.by(&Cluster::shared_sasl("PLAIN", "not-the-password")).config(&place, "1s");
    let ended = config.host(&["run", "--until-caught-up"]).ends_within(seconds(60));
    let ended = ended.expect_code(3).expect_output("authentication");
    assert!(!ended.output.contains("not-the-password"), "a secret was printed:\n{}", ended.output);
    assert!(place.list(TABLE).is_empty());
}

#[test]
fn a_broker_that_restarts_or_dies_in_mid_stream() {
    let kafka = OwnKafka::start();
    let place = Place::local();
    let flow = Flow::new(&Cluster::at(&kafka.bootstrap), "broker", 3);
    let config = flow.config(&place, "200ms");
    let producing = Producing::start(&flow);
    let mut host = config.run();
    flow.expect_progress(&place, &mut host);
    kafka.restart();
    flow.expect_progress(&place, &mut host);
    kafka.kill();
    kafka.start_again();
    flow.expect_progress(&place, &mut host);
    host.stop();
    let sent = producing.finish();
    flow.expect_complete(&config, &place, sent);
}

#[test]
fn connections_to_kafka_that_are_cut_and_refused() {
    let proxy = Proxy::before("127.0.0.1:9");
    let kafka = OwnKafka::start_behind(std::slice::from_ref(&proxy));
    let place = Place::local();
    // Records get in by the plain listener: only the host suffers.
    let flow = Flow::new(&Cluster::at(&kafka.bootstrap), "cut", 3);
    let config = flow.by(&Cluster::at(&proxy.address())).config(&place, "200ms");
    let producing = Producing::start(&flow);
    let mut host = config.run();
    for _ in 0..5 {
        flow.expect_progress(&place, &mut host);
        proxy.cut();
        flow.expect_progress(&place, &mut host);
        let refused = proxy.faults();
        proxy.set(Mode::Refuse);
        until(seconds(60), "the host to try again", || (proxy.faults() > refused + 2).then_some(()));
        proxy.set(Mode::Pass);
    }
    flow.expect_progress(&place, &mut host);
    host.stop();
    let sent = producing.finish();
    flow.expect_complete(&config, &place, sent);
}

#[test]
fn a_store_that_answers_503_for_20_seconds() {
    let proxy = Proxy::before(servers().s3.address());
    let place = Place::s3().through(&proxy.address());
    let flow = Flow::new(&Cluster::shared(), "unavailable", 3);
    let config = flow.config(&place, "200ms");
    let watch = Watch::start(&place, TABLE, "id");
    let producing = Producing::start(&flow);
    let mut host = config.run();
    flow.expect_progress(&place, &mut host);
    proxy.set(Mode::Unavailable);
    let ended = host.ends(seconds(20));
    assert!(ended.is_none(), "a store that is away for a while must not end the host: {ended:?}");
    assert!(proxy.faults() > 0, "nothing was asked of the store in all that time");
    proxy.set(Mode::Pass);
    flow.expect_progress(&place, &mut host);
    host.stop();
    let sent = producing.finish();
    flow.expect_complete(&config, &place, sent);
    watch.finish();
}

/// The hardest answer to lose is that of the conditional PUT which decides an epoch, or of the copy which publishes it: it was
/// done, and asking again says that somebody has been there.
#[test]
fn a_store_whose_answers_are_lost() {
    let proxy = Proxy::before(servers().s3.address());
    let place = Place::s3().through(&proxy.address());
    let flow = Flow::new(&Cluster::shared(), "lost_answers", 3);
    let config = flow.config(&place, "200ms");
    let watch = Watch::start(&place, TABLE, "id");
    let producing = Producing::start(&flow);
    let mut host = config.run();
    for lost in 1..=12 {
        flow.expect_progress(&place, &mut host);
        let before = proxy.faults();
        proxy.set(Mode::LoseAnswers);
        until(seconds(60), "an answer to be lost", || (proxy.faults() > before + lost % 4).then_some(()));
        proxy.set(Mode::Pass);
    }
    flow.expect_progress(&place, &mut host);
    host.stop();
    let sent = producing.finish();
    flow.expect_complete(&config, &place, sent);
    watch.finish();
}

#[test]
fn a_store_that_dies_and_comes_back() {
    let own = OwnS3::start();
    let place = Place::on(&own.s3);
    let flow = Flow::new(&Cluster::shared(), "store", 3);
    let config = flow.config(&place, "200ms");
    let producing = Producing::start(&flow);
    let mut host = config.run();
    for _ in 0..5 {
        flow.expect_progress(&place, &mut host);
        own.kill();
        own.start_again();
    }
    flow.expect_progress(&place, &mut host);
    host.stop();
    let sent = producing.finish();
    flow.expect_complete(&config, &place, sent);
}
