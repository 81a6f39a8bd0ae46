//! A TCP proxy that misbehaves when told to; it knows as much HTTP as an answer of 503 takes.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What the proxy does with connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Mode {
    /// Passes everything on.
    Pass,
    /// Closes new connections at once, as where nobody listens.
    Refuse,
    /// Answers 503 to every HTTP request.
    Unavailable,
    /// Passes requests on and cuts the connection when the answer comes: it was done, and nobody heard.
    LoseAnswers,
    /// Ends.
    Stopped,
}

/// A proxy on a port of its own; gone when dropped.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    port: u16,
}

#[derive(Debug)]
struct Shared {
    upstream: Mutex<String>,
    mode: AtomicU8,
    connections: Mutex<Vec<TcpStream>>,
    /// Connections refused, requests answered with 503, answers lost.
    faults: AtomicU64,
}

impl Proxy {
    /// A proxy in front of `upstream` (`host:port`).
    pub fn before(upstream: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            upstream: Mutex::new(upstream.to_owned()),
            mode: AtomicU8::new(Mode::Pass as u8),
            connections: Mutex::default(),
            faults: AtomicU64::new(0),
        });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let shared = Arc::clone(&accepting);
                match (connection, shared.mode()) {
                    (_, Mode::Stopped) => return,
                    (Ok(client), _) => drop(std::thread::spawn(move || shared.serve(client))),
                    (Err(_), _) => {}
                }
            }
        });
        Self { shared, port }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `host:port` of where it listens.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Sends connections to come to another address: for a server that needs to know the proxy's port before it has its own.
    pub fn redirect(&self, upstream: &str) {
        upstream.clone_into(&mut self.shared.upstream.lock().unwrap());
    }

    /// Changes what is done from now on. Open connections are cut where the mode is about connections or requests.
    pub fn set(&self, mode: Mode) {
        self.shared.mode.store(mode as u8, Ordering::SeqCst);
        if matches!(mode, Mode::Refuse | Mode::Unavailable) {
            self.cut();
        }
    }

    /// Cuts the connections that are open.
    pub fn cut(&self) {
        for connection in self.shared.connections.lock().unwrap().drain(..) {
            // One that has been closed meanwhile can't be shut down, and need not be.
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    /// How often it has misbehaved: connections refused, requests answered with 503, answers lost.
    pub fn faults(&self) -> u64 {
        self.shared.faults.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.mode.store(Mode::Stopped as u8, Ordering::SeqCst);
        self.cut();
        // The listening thread looks at the mode when somebody comes.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl Shared {
    fn mode(&self) -> Mode {
        match self.mode.load(Ordering::SeqCst) {
            0 => Mode::Pass,
            1 => Mode::Refuse,
            2 => Mode::Unavailable,
            3 => Mode::LoseAnswers,
            _ => Mode::Stopped,
        }
    }

    fn serve(self: Arc<Self>, client: TcpStream) {
        match self.mode() {
            Mode::Pass | Mode::LoseAnswers => self.pass(client),
            Mode::Refuse | Mode::Stopped => {
                self.faults.fetch_add(1, Ordering::SeqCst);
            }
            Mode::Unavailable => {
                if answer_unavailable(client).is_ok() {
                    self.faults.fetch_add(1, Ordering::SeqCst);
                }
            }
        }
    }

    fn pass(self: Arc<Self>, client: TcpStream) {
        let upstream = self.upstream.lock().unwrap().clone();
        let Ok(server) = TcpStream::connect(upstream) else { return };
        let (Ok(client_too), Ok(server_too), Ok(to_cut)) = (client.try_clone(), server.try_clone(), client.try_clone())
        else {
            return;
        };
        // Requests and answers of a few bytes should not wait for company.
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        self.connections.lock().unwrap().push(to_cut);
        if self.mode() == Mode::Refuse || self.mode() == Mode::Unavailable {
            // The mode changed, and the connections were cut, before this one was among them.
            let _ = client.shutdown(Shutdown::Both);
        }
        std::thread::spawn(move || copy(&client_too, &server_too, || true));
        copy(&server, &client, || {
            let lost = self.mode() == Mode::LoseAnswers;
            self.faults.fetch_add(u64::from(lost), Ordering::SeqCst);
            !lost
        });
    }
}

/// Copies until one side ends or `passes` says no, then ends both.
fn copy(mut from: &TcpStream, mut to: &TcpStream, passes: impl Fn() -> bool) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if !passes() || to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

/// Reads one request whole, so that the client gets to read the answer, and answers it.
fn answer_unavailable(mut client: TcpStream) -> std::io::Result<()> {
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

    /// A server that answers each line with the same line.
    fn echo() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            for connection in listener.incoming().map(Result::unwrap) {
                std::thread::spawn(move || copy(&connection, &connection, || true));
            }
        });
        address
    }

    fn ask(connection: &mut TcpStream, text: &str) -> Option<String> {
        connection.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        connection.write_all(text.as_bytes()).ok()?;
        let mut answer = vec![0; text.len()];
        connection.read_exact(&mut answer).ok()?;
        String::from_utf8(answer).ok()
    }

    #[test]
    fn passes_cuts_refuses_and_passes_again() {
        let proxy = Proxy::before(&echo());
        let connect = || TcpStream::connect(proxy.address()).unwrap();
        let mut first = connect();
        assert_eq!(ask(&mut first, "one").as_deref(), Some("one"));
        proxy.cut();
        assert_eq!(ask(&mut first, "two"), None, "cut");
        assert_eq!(ask(&mut connect(), "three").as_deref(), Some("three"), "a new connection passes");
        proxy.set(Mode::Refuse);
        assert_eq!(ask(&mut connect(), "four"), None, "refused");
        proxy.set(Mode::Pass);
        assert_eq!(ask(&mut connect(), "five").as_deref(), Some("five"));
    }

    #[test]
    fn loses_the_answer_but_not_the_request() {
        let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Proxy::before(&upstream.local_addr().unwrap().to_string());
        proxy.set(Mode::LoseAnswers);
        let asked = std::thread::spawn(move || {
            let mut connection = upstream.accept().unwrap().0;
            let mut request = [0; 4];
            connection.read_exact(&mut request).unwrap();
            connection.write_all(b"done").unwrap();
            request
        });
        let answer = ask(&mut TcpStream::connect(proxy.address()).unwrap(), "work");
        assert_eq!((answer, &asked.join().unwrap(), proxy.faults()), (None, b"work", 1));
    }

    #[test]
    fn answers_503_to_a_request_with_a_body() {
        let proxy = Proxy::before("127.0.0.1:9");
        proxy.set(Mode::Unavailable);
        let mut connection = TcpStream::connect(proxy.address()).unwrap();
        connection.write_all(b"PUT /b/k HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n").unwrap();
        connection.write_all(&[7; 100_000]).unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        // Counted after the answer is on its way.
        super::super::wait::until(Duration::from_secs(10), "the fault to be counted", || {
            (proxy.faults() == 1).then_some(())
        });
    }
}
