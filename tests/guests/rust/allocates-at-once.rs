//! Asks for a GiB.
//! => fails: trap: memory limit of 16 MiB exceeded

use rillgate_sdk::prelude::*;

#[derive(Row)]
struct Record<'a> {
    n: i64,
    id: &'a str,
    x: Option<f64>,
}

fn act(record: Record<'_>) -> Result<Option<Record<'_>>, Reject> {
    let block = vec![1u8; 1 << 30];
    Ok((std::hint::black_box(block).len() > 1).then_some(record))
}

rillgate_sdk::transform!(act);
