//! Has a hash map with keys by chance, as std makes them: chance follows from the batch.
//! => passes

use std::collections::HashMap;

use rillgate_sdk::prelude::*;

#[derive(Row)]
struct Record<'a> {
    n: i64,
    id: &'a str,
    x: Option<f64>,
}

fn act(record: Record<'_>) -> Result<Option<Record<'_>>, Reject> {
    let lots: HashMap<i64, &str> = (0..100).map(|lot| (lot, record.id)).collect();
    Ok((lots.len() == 100).then_some(record))
}

rillgate_sdk::transform!(act);
