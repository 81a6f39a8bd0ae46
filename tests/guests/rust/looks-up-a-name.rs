//! Looks up the address of a name, which is a way to send something.
//! => fails: trap: the plugin called wasi:sockets/…: plugins have no network, files or environment

use rillgate_sdk::prelude::*;

#[derive(Row)]
struct Record<'a> {
    n: i64,
    id: &'a str,
    x: Option<f64>,
}

fn act(record: Record<'_>) -> Result<Option<Record<'_>>, Reject> {
    let found = std::net::ToSocketAddrs::to_socket_addrs(&("secret.example.com", 443)).expect("no address").count();
    Ok((found > 0).then_some(record))
}

rillgate_sdk::transform!(act);
