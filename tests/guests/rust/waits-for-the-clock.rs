//! Waits until a second has passed, which it never does.
//! => fails: {time}

use rillgate_sdk::prelude::*;

#[derive(Row)]
struct Record<'a> {
    n: i64,
    id: &'a str,
    x: Option<f64>,
}

fn act(record: Record<'_>) -> Result<Option<Record<'_>>, Reject> {
    let start = std::time::Instant::now();
    while start.elapsed().as_secs() < 1 {}
    Ok(Some(record))
}

rillgate_sdk::transform!(act);
