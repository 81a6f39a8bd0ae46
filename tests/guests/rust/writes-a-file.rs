//! Writes a file in the folder of the host.
//! => fails: trap: panicked at … no file: …

use rillgate_sdk::prelude::*;

#[derive(Row)]
struct Record<'a> {
    n: i64,
    id: &'a str,
    x: Option<f64>,
}

fn act(record: Record<'_>) -> Result<Option<Record<'_>>, Reject> {
    std::fs::write("owned.txt", record.id).expect("no file");
    Ok(Some(record))
}

rillgate_sdk::transform!(act);
