//! What is drawn from the seed: what a schedule is like, what the store does to requests, and what strikes whom.

use std::cell::Cell;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use fastrand::Rng;
use tokio::time::Instant;

use super::LogOptions;
use super::exchange::BEHIND;
use super::points::Doing;

const HOUR: Duration = Duration::from_secs(3600);

/// What a schedule is like: drawn from its seed.
#[derive(Debug, Clone)]
pub struct Plan {
    pub partitions: i32,
    /// Records of each partition.
    pub records: usize,
    pub instances: usize,
    /// How long faults go on, and the longest pause between two of them.
    pub lasts: Duration,
    pub pause_ms: u64,
    /// Hours may pass with nothing to do, so that the log is cleaned.
    pub has_quiet_hours: bool,
    /// Kafka may lose records: by retention, or because the topic is made anew.
    pub loses_records: bool,
    /// Some rows go to a topic.
    pub sends: bool,
    /// Control files are in another store than the tables.
    pub is_apart: bool,
    pub every: Duration,
    pub rows: u64,
    pub part_bytes: usize,
    /// Names in a page of a listing.
    pub page: usize,
    /// What is sent goes through an exchange.
    pub exchange: Option<ExchangePlan>,
}

/// What an exchange is like, and what goes through it.
#[derive(Debug, Clone)]
pub struct ExchangePlan {
    /// Of its topic.
    pub partitions: i32,
    pub keys: u8,
    /// How far records are out of order in event time.
    pub delay_ms: i64,
    /// How far each partition's are behind those of the one before it.
    pub apart_ms: i64,
    /// The size of windows; `None`: groups last for ever.
    pub window_ms: Option<i64>,
    pub on_change: bool,
    pub sends_states: bool,
    pub idle_after: Option<Duration>,
}

impl ExchangePlan {
    fn draw(rng: &mut Rng, has_quiet_hours: bool) -> Self {
        // What comes to an idle partition may be no further behind than what the others have. Nor does anyone say so for hours.
        let idle_after = (!has_quiet_hours && rng.bool()).then(|| Duration::from_millis(rng.u64(1_000..=6_000)));
        let apart_ms = if idle_after.is_some() { 0 } else { [0, 20_000, 3_600_000][rng.usize(..3)] };
        Self {
            partitions: rng.i32(1..=3),
            keys: rng.u8(1..=6),
            delay_ms: if rng.bool() { 0 } else { rng.i64(0..=10_000) },
            apart_ms,
            window_ms: (rng.u8(..4) > 0).then(|| [200, 5_000, 60_000][rng.usize(..3)]),
            on_change: rng.u8(..3) == 0,
            sends_states: rng.bool(),
            idle_after,
        }
    }

    /// Whether groups are given out at each commit that has changed them: where there are no windows they never close.
    pub fn gives_out_changes(&self) -> bool {
        self.on_change || self.window_ms.is_none()
    }
}

impl Plan {
    pub fn draw(rng: &mut Rng, seed: u64) -> Self {
        let has_quiet_hours = rng.u8(..6) == 0;
        let mut plan = Self {
            partitions: rng.i32(1..=3),
            records: rng.usize(10..=60),
            instances: rng.usize(1..=4),
            lasts: Duration::from_secs(rng.u64(60..=240)),
            pause_ms: [2_000, 8_000, 20_000][rng.usize(..3)],
            has_quiet_hours,
            loses_records: rng.u8(..5) == 0,
            sends: rng.bool(),
            is_apart: rng.u8(..4) == 0,
            every: Duration::from_millis(rng.u64(300..=6000)),
            rows: rng.u64(4..=16),
            part_bytes: if rng.bool() { 1 << 20 } else { rng.usize(12..=40) },
            page: [2, 5, 1000][rng.usize(..3)],
            exchange: None,
        };
        // By a generator of its own: schedules without an exchange stay what they are.
        let mut rng = Rng::with_seed(!seed);
        if rng.u8(..4) == 0 {
            plan.exchange = Some(ExchangePlan::draw(&mut rng, has_quiet_hours));
            plan.sends = true;
            // A record of an exchange is longer than a line.
            plan.part_bytes *= 50;
        }
        plan
    }

    /// Numbers of all tasks: those that read the source, and those behind an exchange.
    pub fn tasks(&self) -> Vec<i32> {
        let behind = self.exchange.as_ref().map_or(0, |exchange| exchange.partitions);
        (0..self.partitions).chain(BEHIND..BEHIND + behind).collect()
    }

    /// Options of the commit log. Retention is long enough for clocks that are off by an hour, twice.
    pub fn log_options(&self) -> LogOptions {
        let retention = if self.has_quiet_hours { 5 * HOUR } else { 7 * 24 * HOUR };
        LogOptions { clean_every: 3, clock: writers_clock, ..LogOptions::new(retention, true) }
    }
}

thread_local! {
    /// By how much writers' clocks are off on this thread, in milliseconds since 1970: a schedule has a thread to itself.
    static WRITERS_CLOCK_MS: Cell<i64> = const { Cell::new(0) };
}

/// Sets them.
pub fn set_writers_clock(ms: i64) {
    WRITERS_CLOCK_MS.set(ms);
}

fn writers_clock() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::milliseconds(WRITERS_CLOCK_MS.get())
}

/// What the store does to requests, in so many of a thousand.
#[derive(Debug, Clone, Default)]
pub struct Weather {
    pub refused: u32,
    pub conflict: u32,
    pub request_lost: u32,
    pub answer_lost: u32,
    /// The client sent it twice by itself.
    pub twice: u32,
    /// It takes effect long after the client has given it up.
    pub late: u32,
    /// Batches that trap.
    pub traps: u32,
    /// Latency of each way, in milliseconds.
    pub latency_ms: u64,
    pub outage_until: Option<Instant>,
    pub disk_full_until: Option<Instant>,
    pub slow_until: Option<Instant>,
}

impl Weather {
    pub fn draw(rng: &mut Rng) -> Self {
        let mut rate = |most: u32| if rng.bool() { 0 } else { rng.u32(1..=most) };
        Self {
            refused: rate(60),
            conflict: rate(60),
            request_lost: rate(30),
            answer_lost: rate(60),
            twice: rate(60),
            late: rate(30),
            traps: rate(60),
            latency_ms: [2, 20, 200][rng.usize(..3)],
            ..Self::default()
        }
    }
}

/// What shall befall the next process that does something at the store.
#[derive(Debug, Clone)]
pub struct Strike {
    pub doing: Doing,
    /// When the request is done at the store rather than before it is sent.
    pub after: bool,
    pub blow: Blow,
}

#[derive(Debug, Clone, Copy)]
pub enum Blow {
    Kill,
    Stop(Duration),
    Term,
    /// SIGTERM, and SIGKILL after that time.
    TermThenKill(Duration),
    Rebalance,
}
