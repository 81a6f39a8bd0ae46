//! `make chaos`: the host on a real Kafka, with local files and with a real S3 server, while everything that can happen to them
//! happens: again and again, drawn by a seed that is printed.
//!
//! Up to three instances share a pipeline that transforms and some that count; some thousand records a second come in; readers look
//! at tables and topics all the time and may never see anything wrong. Every round brings one fault and waits until all partitions
//! publish again. Every session of twenty rounds ends with everything healed, and what came out held against what was sent. The
//! exit code is not 0 where a record was seen twice or is missing, a count is not what a plain computation makes of what was sent,
//! `rillgate verify` finds anything, an instance ends that should not, or one doesn't recover.
//!
//! By itself: `tests/servers/up`, then `cargo test --release --workspace --test chaos -- [--rounds N] [--seed S]
//! [--place files|s3]`. A seed decides which faults come; when exactly they hit, the machine does.

mod counts;
mod entries;
mod faults;
mod lab;
mod report;
mod session;
mod steps;

use std::process::ExitCode;
use std::time::{Instant, UNIX_EPOCH};

use lab::Lab;
use report::Tally;
use support::servers::target;
use support::store::Place;

/// Instances of the host, at the most.
const INSTANCES: usize = 3;
/// Rounds, if not said otherwise, and instances killed in them: there are as many more sessions as that takes.
const ROUNDS: u32 = 240;
const KILLS: u64 = 201;
/// Rounds of a session, at the most. A longer one has longer listings, and no other kind of trouble.
const SESSION: u32 = 20;
/// A run of fewer rounds is not written into the documentation.
const DOCUMENTED: u32 = 200;

struct Arguments {
    rounds: u32,
    kills: u64,
    seed: u64,
    files: bool,
    s3: bool,
}

impl Arguments {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let now = UNIX_EPOCH.elapsed().unwrap_or_default().as_millis();
        // Short enough to be typed.
        let mut arguments = Self { rounds: ROUNDS, kills: KILLS, seed: now as u64 % 1_000_000, files: true, s3: true };
        while let Some(word) = words.next() {
            let value = words.next().ok_or(format!("{word} wants a value"))?;
            let number = || value.parse().map_err(|_| format!("{word}: {value} is no number"));
            match (word.as_str(), value.as_str()) {
                ("--rounds", _) => (arguments.rounds, arguments.kills) = (number()?, 0),
                ("--seed", _) => arguments.seed = u64::from(number()?),
                ("--place", "files") => arguments.s3 = false,
                ("--place", "s3") => arguments.files = false,
                _ => return Err(format!("{word} {value}: there are --rounds N, --seed S, --place files|s3")),
            }
        }
        Ok(arguments)
    }
}

fn main() -> ExitCode {
    let arguments = match Arguments::parse(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    println!("chaos: --rounds {} --seed {}", arguments.rounds, arguments.seed);
    entries::check();
    let lab = Lab::start();
    let (mut files, mut s3) = (Tally::default(), Tally::default());
    let mut failures = Vec::new();
    let (mut left, mut seed) = (arguments.rounds, arguments.seed);
    while left > 0 || (failures.is_empty() && files.kills + s3.kills < arguments.kills) {
        let rounds = if left > 0 { left.min(SESSION) } else { SESSION };
        let is_local =
            if arguments.files && arguments.s3 { (seed - arguments.seed).is_multiple_of(2) } else { arguments.files };
        let (place, tally) = if is_local { (Place::local(), &mut files) } else { (Place::on(&lab.s3.s3), &mut s3) };
        let evidence = target().join("chaos").join(seed.to_string());
        let start = Instant::now();
        if let Err(failure) = session::run(&lab, place, rounds, seed, tally, &evidence) {
            let only = if is_local { "files" } else { "s3" };
            println!("FAILED: {failure}\nagain: --rounds {rounds} --seed {seed} --place {only}");
            failures.push(failure);
        }
        tally.sessions += 1;
        tally.time += start.elapsed();
        left = left.saturating_sub(rounds);
        seed += 1;
    }
    let table = report::table(&files, &s3, arguments.seed);
    println!("\n{table}");
    if !failures.is_empty() || !files.is_clean() || !s3.is_clean() {
        println!("{} of the sessions failed", failures.len());
        return ExitCode::FAILURE;
    }
    if files.rounds.min(1) + s3.rounds.min(1) == 2 && files.rounds + s3.rounds >= u64::from(DOCUMENTED) {
        report::write(&table);
    }
    ExitCode::SUCCESS
}
