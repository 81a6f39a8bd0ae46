//! Starts a shell.
//! => fails: trap: panicked at … no process: …

use rillgate_sdk::prelude::*;

#[derive(Row)]
struct Record<'a> {
    n: i64,
    id: &'a str,
    x: Option<f64>,
}

fn act(record: Record<'_>) -> Result<Option<Record<'_>>, Reject> {
    std::process::Command::new("/bin/sh").arg("-c").arg("id").status().expect("no process");
    Ok(Some(record))
}

rillgate_sdk::transform!(act);
