//! End-to-end tests: the `rillgate` command against a real Kafka, a real S3 server and the readers that users have.
//!
//! `make test` starts the servers and ends them; to run one test again and again, `tests/servers/up` once and then
//! `cargo test --release --workspace --test all <name>`.

mod aggregates;
mod avro;
mod backlog;
mod bad_input;
mod bad_plugins;
mod check;
mod compiling;
mod cta;
mod entries;
mod exactly_once;
mod exchange;
mod faults;
mod group;
mod guests;
mod kill;
mod layering;
mod lineage;
mod mta;
mod numbers;
mod offsets;
mod operators;
mod railway;
mod replay;
mod servers;
mod steps;
mod swap_steps;
mod swaps;
mod systems;
mod topics;
mod versions;
mod windows;
