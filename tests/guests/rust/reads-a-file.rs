//! Reads a file of the machine.
//! => fails: trap: panicked at … no file: …

use rillgate_sdk::prelude::*;

#[derive(Row)]
struct Record<'a> {
    n: i64,
    id: &'a str,
    x: Option<f64>,
}

fn act(record: Record<'_>) -> Result<Option<Record<'_>>, Reject> {
    let text = std::fs::read_to_string("/etc/passwd").expect("no file");
    Ok((text.len() > 1).then_some(record))
}

rillgate_sdk::transform!(act);
