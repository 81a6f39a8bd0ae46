//! The reference job and a windowed one on a real Kafka, as users run them: the command from its start to its end, and what comes
//! out checked. And what needs servers beside them: latency, the ends of the way alone (fetch, commit), what grows with what,
//! memory, start, and what a state costs.
//!
//! 5,000,000 records of 190 bytes in 4 partitions go through the railway's plugin into Parquet (zstd-1) in a local folder;
//! the plugin drops the one in a hundred that is dirty. Wall time and CPU time hold everything: starting, joining the
//! group, the last commit. The windowed job is that of the mta system: 5,000,000 lines of CSV, without doubles, summed in windows of
//! five minutes by 10,000 turnstiles.
//!
//! `make bench` starts the servers. By itself: `tests/servers/up`, then
//! `cargo bench --workspace --bench reference [a name of PARTS]...`. `RILLGATE_BIN` names another `rillgate` for `pipeline` and `window` to
//! measure, several with colons between them to run in turns: what is compared shares what the machine does meanwhile.

mod commit;
#[path = "../../../host/benches/common/mod.rs"]
mod common;
mod fetch;
mod generate;
#[path = "../../../host/src/plugin/tests/guest.rs"]
mod guest;
mod job;
mod latency;
mod memory;
mod partitions;
mod peers;
mod pipeline;
mod process;
mod reading;
mod record;
mod sizes;
mod start;
mod state;
mod swap;
mod window;

use support::kafka::Cluster;

/// Something to measure, and its name.
type Part = (&'static str, fn(&Cluster));

/// What there is to measure.
const PARTS: [Part; 11] = [
    ("pipeline", pipeline::measure),
    ("window", window::measure),
    ("latency", latency::measure),
    ("swap", swap::measure),
    ("fetch", fetch::measure),
    ("commit", |_| commit::measure()),
    ("partitions", partitions::measure),
    ("sizes", sizes::measure),
    ("memory", memory::measure),
    ("start", start::measure),
    ("state", state::measure),
];
/// Only where they are asked for: Spark takes minutes.
const PEERS: [Part; 2] = [("peers", peers::measure), ("window-peers", window::measure_peers)];

fn main() {
    // Cargo passes `--bench` of its own.
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let parts = PARTS.iter().filter(|_| wanted.is_empty());
    let named = PARTS.iter().chain(&PEERS).filter(|(name, _)| wanted.iter().any(|wanted| wanted == name));
    for (name, measure) in parts.chain(named) {
        println!("\n== {name}");
        measure(&Cluster::shared());
    }
    common::print_table();
}
