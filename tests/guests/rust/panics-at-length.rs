//! Panics with half a MiB of words.
//! => fails: trap: note: run with `RUST_BACKTRACE=1` …

use rillgate_sdk::prelude::*;

#[derive(Row)]
struct Record<'a> {
    n: i64,
    id: &'a str,
    x: Option<f64>,
}

fn act(record: Record<'_>) -> Result<Option<Record<'_>>, Reject> {
    if record.n >= 0 {
        panic!("{}", "x".repeat(1 << 19));
    }
    Ok(Some(record))
}

rillgate_sdk::transform!(act);
