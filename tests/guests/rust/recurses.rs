//! Calls itself until the stack is used up.
//! => fails: trap: …

use rillgate_sdk::prelude::*;

#[derive(Row)]
struct Record<'a> {
    n: i64,
    id: &'a str,
    x: Option<f64>,
}

fn depth(n: i64) -> i64 {
    // Neither a loop nor a tail call can be made of it.
    if std::hint::black_box(n) == i64::MIN { 0 } else { 1 + std::hint::black_box(depth(std::hint::black_box(n))) }
}

fn act(record: Record<'_>) -> Result<Option<Record<'_>>, Reject> {
    Ok((depth(record.n) > 0).then_some(record))
}

rillgate_sdk::transform!(act);
