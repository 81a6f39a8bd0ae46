//! Lists the folder that it runs in.
//! => fails: trap: panicked at … no folder: …

use rillgate_sdk::prelude::*;

#[derive(Row)]
struct Record<'a> {
    n: i64,
    id: &'a str,
    x: Option<f64>,
}

fn act(record: Record<'_>) -> Result<Option<Record<'_>>, Reject> {
    let files = std::fs::read_dir(".").expect("no folder").count();
    Ok((files > 0).then_some(record))
}

rillgate_sdk::transform!(act);
