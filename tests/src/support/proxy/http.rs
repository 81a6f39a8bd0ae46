//! As much HTTP as it takes to tell one request of an S3 client from another, and to refuse one.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// The requests by which the host does its steps in an S3 store. Those of its probe at the start are none of them, but for
/// the removing at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Request {
    /// A whole staged file.
    Stage,
    /// A file of what an aggregate remembers.
    State,
    /// An entry of a commit log: a CLAIM or a COMMIT.
    Entry,
    /// The beginning of a copy to a final name.
    BeginCopy,
    /// The copying itself, which nobody sees yet.
    Copy,
    /// The end of a copy: the file is there, if no other was.
    Publish,
    /// Files are removed: staged ones, after they have been published.
    Remove,
    /// What became of a version of a pipeline.
    Event,
    /// A plugin that is live, for whoever goes back to it.
    Archive,
}

impl Request {
    /// Those of an epoch, in order.
    pub const OF_AN_EPOCH: [Self; 7] =
        [Self::Stage, Self::State, Self::Entry, Self::BeginCopy, Self::Copy, Self::Publish, Self::Remove];

    /// Whether these bytes, as they came from a client, begin such a request. Clients begin a write with each request.
    pub(super) fn begins(self, bytes: &[u8]) -> bool {
        let line = bytes.split(|byte| *byte == b'\r').next().unwrap_or_default();
        let Ok(line) = std::str::from_utf8(line) else { return false };
        let Some((method, target)) = line.strip_suffix(" HTTP/1.1").and_then(|line| line.split_once(' ')) else {
            return false;
        };
        let has = |text: &str| target.contains(text);
        if has("/_rillgate/probe/") {
            return false;
        }
        match self {
            Self::Stage => method == "PUT" && has("/stage/"),
            Self::State => method == "PUT" && has("/state/"),
            Self::Entry => method == "PUT" && has("/log/"),
            Self::BeginCopy => method == "POST" && has("?uploads") && !has("/stage/"),
            Self::Copy => method == "PUT" && has("partNumber=") && !has("/stage/"),
            Self::Publish => method == "POST" && has("?uploadId=") && !has("/stage/"),
            Self::Remove => (method == "POST" && has("?delete")) || method == "DELETE",
            Self::Event => method == "PUT" && has("/%40swaps/"),
            Self::Archive => method == "PUT" && has("/%40plugins/"),
        }
    }
}

/// Reads one request whole, so that the client gets to read the answer, and answers it.
pub(super) fn answer_unavailable(mut client: TcpStream) -> std::io::Result<()> {
    client.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut request = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    let end_of_head = loop {
        if let Some(at) = request.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        match client.read(&mut buffer)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            count => request.extend_from_slice(&buffer[..count]),
        }
    };
    let head = String::from_utf8_lossy(&request[..end_of_head]).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    let mut missing = (end_of_head + length.unwrap_or(0)).saturating_sub(request.len());
    while missing > 0 {
        match client.read(&mut buffer)? {
            0 => break,
            count => missing = missing.saturating_sub(count),
        }
    }
    let body = "<?xml version=\"1.0\"?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>";
    write!(
        client,
        "HTTP/1.1 503 Slow Down\r\nContent-Type: application/xml\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_told_from_one_another() {
        for (line, expected) in [
            ("PUT /b/lake/_rillgate/p/t/0/stage/a1/7 HTTP/1.1", Some(Request::Stage)),
            ("PUT /b/lake/_rillgate/p/t/0/state/a1-7 HTTP/1.1", Some(Request::State)),
            ("PUT /b/lake/_rillgate/p/t/0/log/00000000000000000001.json HTTP/1.1", Some(Request::Entry)),
            ("POST /b/lake/t/date%3D2026-01-01/t-0-0-0.parquet?uploads= HTTP/1.1", Some(Request::BeginCopy)),
            ("PUT /b/lake/t/t-0-0-0.parquet?partNumber=1&uploadId=x HTTP/1.1", Some(Request::Copy)),
            ("POST /b/lake/t/t-0-0-0.parquet?uploadId=x HTTP/1.1", Some(Request::Publish)),
            ("POST /b?delete HTTP/1.1", Some(Request::Remove)),
            ("PUT /b/lake/_rillgate/%40swaps/p/00000001767225600000-7.json HTTP/1.1", Some(Request::Event)),
            ("PUT /b/lake/_rillgate/%40plugins/p/00ff.wasm HTTP/1.1", Some(Request::Archive)),
            ("GET /b/lake/_rillgate/%40plugins/p/00ff.wasm HTTP/1.1", None),
            ("GET /b/lake/_rillgate/p/t/0/log/00000000000000000001.json HTTP/1.1", None),
            ("POST /b/lake/_rillgate/probe/x-2?uploads= HTTP/1.1", None),
            ("some bytes of a file, PUT /stage/", None),
        ] {
            let request = format!("{line}\r\nHost: x\r\n\r\n");
            let all = Request::OF_AN_EPOCH.into_iter().chain([Request::Event, Request::Archive]);
            let found: Vec<Request> = all.filter(|wanted| wanted.begins(request.as_bytes())).collect();
            assert_eq!(found, expected.into_iter().collect::<Vec<_>>(), "{line}");
        }
    }
}
