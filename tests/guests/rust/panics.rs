//! Panics, with words of several lines.
//! => fails: trap: panicked at … no such station: Süd

use rillgate_sdk::prelude::*;

#[derive(Row)]
struct Record<'a> {
    n: i64,
    id: &'a str,
    x: Option<f64>,
}

fn act(record: Record<'_>) -> Result<Option<Record<'_>>, Reject> {
    if record.n >= 0 {
        panic!("no such\n\n station: {}", record.id);
    }
    Ok(Some(record))
}

rillgate_sdk::transform!(act);
