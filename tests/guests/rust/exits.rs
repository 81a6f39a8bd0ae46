//! Ends the process with a code that says that all is well.
//! => fails: trap: the plugin exited

use rillgate_sdk::prelude::*;

#[derive(Row)]
struct Record<'a> {
    n: i64,
    id: &'a str,
    x: Option<f64>,
}

fn act(record: Record<'_>) -> Result<Option<Record<'_>>, Reject> {
    if record.n >= 0 {
        std::process::exit(0);
    }
    Ok(Some(record))
}

rillgate_sdk::transform!(act);
