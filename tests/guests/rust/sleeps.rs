//! Sleeps for an hour.
//! => fails: trap: the plugin called wasi:clocks/monotonic-clock#…: plugins can't wait

use rillgate_sdk::prelude::*;

#[derive(Row)]
struct Record<'a> {
    n: i64,
    id: &'a str,
    x: Option<f64>,
}

fn act(record: Record<'_>) -> Result<Option<Record<'_>>, Reject> {
    std::thread::sleep(std::time::Duration::from_secs(3600));
    Ok(Some(record))
}

rillgate_sdk::transform!(act);
