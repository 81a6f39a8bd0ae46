//! Removes everything that is stored.
//! => fails: trap: panicked at … no folder: …

use rillgate_sdk::prelude::*;

#[derive(Row)]
struct Record<'a> {
    n: i64,
    id: &'a str,
    x: Option<f64>,
}

fn act(record: Record<'_>) -> Result<Option<Record<'_>>, Reject> {
    std::fs::remove_dir_all("/").expect("no folder");
    Ok(Some(record))
}

rillgate_sdk::transform!(act);
