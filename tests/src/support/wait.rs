//! Waiting for a condition, never for time to pass.

use std::time::{Duration, Instant};

/// Asks twenty times a second until `condition` gives a value; panics, naming `what`, when `bound` has passed without one.
pub fn until<T>(bound: Duration, what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(start.elapsed() < bound, "waited {bound:?} in vain for {what}");
        // Nothing tells a test when another process gets on: it has to ask.
        std::thread::park_timeout(Duration::from_millis(50));
    }
}

/// Seconds, for bounds.
pub const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// Looks for so long that something doesn't happen; panics with `what` once it has.
#[track_caller]
pub fn never(bound: Duration, mut condition: impl FnMut() -> bool, what: &str) {
    let start = Instant::now();
    while start.elapsed() < bound {
        assert!(!condition(), "{what}");
        std::thread::park_timeout(Duration::from_millis(50));
    }
}
