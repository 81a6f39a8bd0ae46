//! Reads its input, which is at its end.
//! => passes

use rillgate_sdk::prelude::*;

#[derive(Row)]
struct Record<'a> {
    n: i64,
    id: &'a str,
    x: Option<f64>,
}

fn act(record: Record<'_>) -> Result<Option<Record<'_>>, Reject> {
    let mut line = String::new();
    assert_eq!(std::io::stdin().read_line(&mut line).expect("no input"), 0);
    Ok(Some(record))
}

rillgate_sdk::transform!(act);
