//! The host is killed at random moments, again and again, while records flow and a reader looks on.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::support::flow::{Flow, Producing, TABLE};
use super::support::kafka::Cluster;
use super::support::store::Place;
use super::support::watch::Watch;

const ROUNDS: u32 = 20;

#[test]
fn killed_twenty_times_on_files() {
    killed_again_and_again(&Place::local(), 1);
}

#[test]
fn killed_twenty_times_on_s3() {
    killed_again_and_again(&Place::s3(), 2);
}

/// The seed decides when; `RILLGATE_TEST_SEED` is another one, to look further.
fn killed_again_and_again(place: &Place, seed: u64) {
    let seed = std::env::var("RILLGATE_TEST_SEED").map_or(seed, |seed| seed.parse().unwrap());
    println!("RILLGATE_TEST_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let flow = Flow::new(&Cluster::shared(), "kill", 4);
    let config = flow.config(place, "200ms");
    let watch = Watch::start(place, TABLE, "id");
    let producing = Producing::start(&flow);
    for round in 0..ROUNDS {
        let mut host = config.run();
        if round % 2 == 1 {
            // Every other time it gets to commit first, so that there is something to recover: then at any point of the next epochs.
            flow.expect_progress(place, &mut host);
            host.kill_after(Duration::from_millis(random.random_range(0..600)));
        } else {
            // Else while it starts, joins the group, claims or publishes what its forerunner decided.
            host.kill_after(Duration::from_millis(random.random_range(0..4000)));
        }
    }
    let sent = producing.finish();
    flow.expect_complete(&config, place, sent);
    let seen = watch.finish();
    assert!(seen.listings > u64::from(ROUNDS), "the reader looked only {} times", seen.listings);
}
