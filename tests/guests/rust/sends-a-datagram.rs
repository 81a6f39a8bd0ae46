//! Sends what it is given to another machine.
//! => fails: trap: the plugin called wasi:sockets/…: plugins have no network, files or environment

use rillgate_sdk::prelude::*;

#[derive(Row)]
struct Record<'a> {
    n: i64,
    id: &'a str,
    x: Option<f64>,
}

fn act(record: Record<'_>) -> Result<Option<Record<'_>>, Reject> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").expect("no socket");
    socket.send_to(record.id.as_bytes(), "192.0.2.1:53").expect("not sent");
    Ok(Some(record))
}

rillgate_sdk::transform!(act);
