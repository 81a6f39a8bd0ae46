//! `rillgate simulate`.

use std::io::IsTerminal;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use clap::Args;
use indicatif::ProgressBar;
use rillgate_feeds::System;

use super::{ConfigArgs, Exit, Say, load};
use crate::config::Config;
use crate::feed::{self, FeedError, FeedOptions};

#[derive(Debug, Args)]
pub(super) struct SimulateArgs {
    /// railway, smart-city, smart-travel, cta or mta.
    system: System,
    #[command(flatten)]
    config: ConfigArgs,
    /// Records a second. As the simulated system would send them unless given.
    #[arg(long, value_name = "N")]
    rate: Option<f64>,
    /// How many records to send; without it the feed goes on until it ends or is stopped.
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// The same seed and count give the same records.
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// How fast the clock of the simulation goes; 1 is real time.
    #[arg(long, value_name = "X")]
    speed: Option<f64>,
    /// Partitions of the topics that don't exist yet.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(i32).range(1..))]
    partitions: i32,
}

pub(super) fn simulate(args: &SimulateArgs, json: bool) -> Exit {
    match load(&args.config, json) {
        Ok(config) => send(args, &config, json),
        Err(exit) => exit,
    }
}

fn send(args: &SimulateArgs, config: &Config, json: bool) -> Exit {
    let mut options = FeedOptions::new(args.system, args.seed);
    (options.rate, options.count, options.speed) = (args.rate, args.count, args.speed);
    options.partitions = args.partitions;
    options.registry.clone_from(&config.schema_registry);
    let draw = !json && std::io::stderr().is_terminal();
    let bar =
        if draw { args.count.map_or_else(ProgressBar::new_spinner, ProgressBar::new) } else { ProgressBar::hidden() };
    bar.enable_steady_tick(Duration::from_millis(200));
    let sent = feed::run(&config.kafka, &options, &AtomicBool::new(false), &mut |sent| bar.set_position(sent));
    bar.finish_and_clear();
    let report = match sent {
        Ok(report) => report,
        Err(error) => return (exit_of(&error), error.to_string()).say("simulate"),
    };
    if json {
        println!("{}", serde_json::json!({ "system": args.system.name(), "records": report.records }));
    } else {
        for (topic, records) in &report.records {
            println!("{topic}: {records}");
        }
        println!("{} records in {:.1} s", report.total(), report.elapsed.as_secs_f64());
    }
    Exit::Fine
}

pub(super) fn exit_of(error: &FeedError) -> Exit {
    match error {
        FeedError::Unreachable { .. } | FeedError::Registry(_) => Exit::Environment,
        FeedError::Create { .. } | FeedError::Delivery { .. } | FeedError::Schema { .. } => Exit::Failed,
        FeedError::Option { .. } | FeedError::Property { .. } | FeedError::Client(_) | FeedError::NoRegistry { .. } => {
            Exit::BadInput
        }
    }
}
