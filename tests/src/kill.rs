//! The host is killed at random moments, again and again, while records flow and a reader looks on.

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use support::flow::{Flow, Producing, TABLE};
use support::host::Host;
use support::kafka::Cluster;
use support::store::Place;
use support::watch::Watch;

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
        match round % 3 {
            // While it starts, joins the group, claims or publishes what its forerunner decided.
            0 => host.kill_after(Duration::from_millis(random.random_range(0..4000))),
            // At any time after a commit.
            1 => {
                flow.expect_progress(place, &mut host);
                host.kill_after(Duration::from_millis(random.random_range(0..600)));
            }
            // Right after it has staged, decided, published or removed something.
            _ => {
                expect_changes(place, &mut host, random.random_range(1..40));
                host.kill_after(Duration::ZERO);
            }
        }
    }
    let sent = producing.finish();
    flow.expect_complete(&config, place, sent);
    let seen = watch.finish();
    assert!(seen.listings > u64::from(ROUNDS), "the reader looked only {} times", seen.listings);
}

/// Returns as soon as `count` files, of any kind, have come or gone.
fn expect_changes(place: &Place, host: &mut Host, count: usize) {
    let bound = Instant::now() + Duration::from_secs(60);
    let mut before = place.list("");
    let mut changes = 0;
    while changes < count {
        assert!(Instant::now() < bound, "waited in vain for {count} files to come or go");
        host.expect_running();
        let now = place.list("");
        changes += now.keys().filter(|path| !before.contains_key(*path)).count();
        changes += before.keys().filter(|path| !now.contains_key(*path)).count();
        before = now;
    }
}
