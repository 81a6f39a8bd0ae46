//! Keeps a MiB of each row. It is replaced before it has used up its memory.
//! => passes

use rillgate_sdk::prelude::*;

#[derive(Row)]
struct Record<'a> {
    n: i64,
    id: &'a str,
    x: Option<f64>,
}

fn act(record: Record<'_>) -> Result<Option<Record<'_>>, Reject> {
    std::mem::forget(std::hint::black_box(vec![record.n as u8; 1 << 20]));
    Ok(Some(record))
}

rillgate_sdk::transform!(act);
