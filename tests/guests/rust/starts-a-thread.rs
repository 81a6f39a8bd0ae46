//! Starts a thread.
//! => fails: trap: panicked at …

use rillgate_sdk::prelude::*;

#[derive(Row)]
struct Record<'a> {
    n: i64,
    id: &'a str,
    x: Option<f64>,
}

fn act(record: Record<'_>) -> Result<Option<Record<'_>>, Reject> {
    std::thread::spawn(|| ()).join().expect("no thread");
    Ok(Some(record))
}

rillgate_sdk::transform!(act);
