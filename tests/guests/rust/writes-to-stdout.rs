//! Writes a MiB to stdout for each row, of which nothing is kept.
//! => passes

use rillgate_sdk::prelude::*;

#[derive(Row)]
struct Record<'a> {
    n: i64,
    id: &'a str,
    x: Option<f64>,
}

fn act(record: Record<'_>) -> Result<Option<Record<'_>>, Reject> {
    for _ in 0..1 << 14 {
        println!("{:064}", record.n);
    }
    Ok(Some(record))
}

rillgate_sdk::transform!(act);
