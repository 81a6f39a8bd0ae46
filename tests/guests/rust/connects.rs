//! Connects to a server.
//! => fails: trap: the plugin called wasi:sockets/…: plugins have no network, files or environment

use rillgate_sdk::prelude::*;

#[derive(Row)]
struct Record<'a> {
    n: i64,
    id: &'a str,
    x: Option<f64>,
}

fn act(record: Record<'_>) -> Result<Option<Record<'_>>, Reject> {
    let stream = std::net::TcpStream::connect("127.0.0.1:9092").expect("no connection");
    Ok(stream.peer_addr().is_ok().then_some(record))
}

rillgate_sdk::transform!(act);
